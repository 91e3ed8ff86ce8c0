"""What was seen of the data themselves."""

from __future__ import annotations

import pytest

from airflow_provider_oceanbase.cli import contents
from airflow_provider_oceanbase.cli.observing import Seen
from airflow_provider_oceanbase.cli.probes import Observations


def listed(*sets: dict[str, object]) -> Observations:
    page = Seen(status=200, envelope={"success": True, "data": {"dataList": [*sets]}})
    return Observations(Seen(status=200), page=page)


@pytest.mark.parametrize("status", ["DONE", "done", "SUCCESS", "Finished"])
def test_a_validity_is_seen_whatever_the_word_for_done(status: str) -> None:
    failed = {"status": "FAILED", "validity": "INVALID"}
    result = contents.validity(listed({"status": status, "validity": "VALID"}, failed))
    assert result == (True, {"done": ["VALID"], "others": ["INVALID"], "tenants": []})


@pytest.mark.parametrize("status", ["FAILED", "failed", "RUNNING", None])
def test_validities_of_other_sets_are_reported_without_a_verdict(status: str | None) -> None:
    result = contents.validity(listed({"status": status, "validity": "INVALID"}))
    assert result == (None, {"done": [], "others": ["INVALID"], "tenants": []})
    assert contents.validity(listed({"status": status})) is None


def test_a_list_without_a_set_says_nothing_of_its_fields() -> None:
    result = contents.list_(listed())
    assert result is not None
    assert result[0] is None
    assert contents.list_(listed({"status": "DONE"})) not in (None, result)
