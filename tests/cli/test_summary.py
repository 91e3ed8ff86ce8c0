"""What ``check`` says below its table."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import CONN_ID

from airflow_provider_oceanbase.cli.points import findings
from airflow_provider_oceanbase.cli.probes import observe
from airflow_provider_oceanbase.cli.summary import problem, summary
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator, Profile
from airflow_provider_oceanbase.testing._envelope import Failure

#: What a list of an unknown instance may be, and what is said then.
ANSWERS = {
    "empty": ({"dataList": [], "total": 0}, "its list of backup sets is empty."),
    "HTTP 404": (Failure(404, error_message="nope"), "the service says: Not found (HTTP 404)"),
    "HTTP 400": (Failure(400, error_message="nope"), "the service says: Request refused (HTTP 400)"),
    "success: false": (Failure(200, error_message="nope"), "errorMessage nope"),
}


def told(cloud: CloudEmulator, instance_id: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the problem, empty if there is none, and the summary."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
    with closing(OceanBaseHook()) as hook:
        found = observe(hook, instance_id, lambda _: None)
    failed = problem(found, instance_id)
    lines = [*summary(found, findings(found), failed)]
    assert failed in (None, lines[0])
    return failed or "", "\n".join(lines)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.usefixtures("no_pauses")
def test_an_unknown_instance_comes_first(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, says = ANSWERS[answer]

    def listed(*_: Any) -> Any:
        return data

    with CloudEmulator() as cloud:
        cloud.add_backup_set("ob-1", "bak-1")
        monkeypatch.setattr(cloud._cloud, "_list_sets", listed)
        failed, lines = told(cloud, "ob-nope", monkeypatch)
        assert failed.startswith("No such instance: 'ob-nope' is not in the list of instances, and ")
        assert says in failed
        assert "Needed: an instance whose backup sets can be read." in lines
        # The same of an instance that is listed: what is wrong is the list.
        failed, _ = told(cloud, "ob-1", monkeypatch)
        assert not failed.startswith("No such instance")
        assert bool(failed) == (answer != "empty")


@pytest.mark.usefixtures("no_pauses")
def test_an_instance_of_a_later_page_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(profile=Profile(max_page_size=2)) as cloud:
        began = datetime.now(UTC) - timedelta(days=60)
        for number in range(5):
            cloud.add_backup_set(f"ob-{number}", "bak-1", start_time=began)
        failed, lines = told(cloud, "ob-4", monkeypatch)
    assert not failed
    assert "Needed: a backup set of the last 30 days: start a backup, or name another instance." in lines


@pytest.mark.usefixtures("no_pauses")
def test_no_instance_is_no_clean_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator() as cloud:
        failed, _ = told(cloud, None, monkeypatch)
    assert failed.startswith("No instance to look at: the list of instances is empty.")
