"""What the command and the check say of intervals: the same as RestorablePointSensor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oceanbase.cli.observing import Seen
from airflow_provider_oceanbase.cli.restorable import judge, remarks, restorable_rows
from airflow_provider_oceanbase.cloud.intervals import read_tenant_list
from airflow_provider_oceanbase.waiting.restorable import RestorableCondition

NOW = datetime.now(UTC).replace(microsecond=0)


def at(hours: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return f"{NOW + timedelta(hours=hours):{form}}"


NAIVE = "%Y-%m-%dT%H:%M:%S"
READ: dict[str, tuple[Any, ...]] = {
    # What the table shows, what is said, and whether the check confirms it.
    "behind": (at(-20), at(-8), "8 h", None, True),
    "up to now": (at(-20), at(0.01), "0 s", None, True),
    "naive": (at(-20, NAIVE), at(-8, NAIVE), "unreadable", "1 of 1 intervals cannot be read", False),
    "swapped": (at(-8), at(-20), "unreadable", "1 of 1 intervals cannot be read", False),
    "without a start": (None, at(-8), "unreadable", "1 of 1 intervals cannot be read", False),
    "at the end of time": (
        at(-20),
        "9999-12-31T23:59:59-08:00",
        "unreadable",
        "1 of 1 intervals cannot be read",
        False,
    ),
    "ahead": (at(-20), at(8), "in the future", "1 of 1 intervals end in the future", False),
}


# By names: the times are others in each process.
@pytest.mark.parametrize(("start", "end", "behind", "says", "confirmed"), READ.values(), ids=READ)
def test_an_interval(start: Any, end: Any, behind: str, says: str | None, confirmed: bool) -> None:
    tenant: Any = {
        "tenantId": "t1",
        "tenantName": "orders",
        "timeIntervalList": [{"startTime": start, "endTime": end}],
    }
    (row,) = restorable_rows(tenant, NOW)
    assert (row["from"], row["up to"], row["behind"]) == (start, end, behind)
    said = [*remarks([tenant], NOW)]
    assert [line.split(":")[0] for line in said] == ([says] if says else [])
    right, found = judge(Seen(status=200, envelope={"success": True, "data": [tenant]})) or (None, {})
    assert (right, found["unreadable"]) == (confirmed, int(behind == "unreadable"))
    # The sensor agrees: such an interval satisfies no wait.
    condition = RestorableCondition("ob-1", at(-9), fail_if_unreachable=False)
    verdict = condition.judge(read_tenant_list([tenant]), "r-1")
    assert (verdict.found is not None) == confirmed


def test_a_tenant_without_intervals() -> None:
    tenants: Any = [
        {"tenantId": "t1", "timeIntervalList": None},
        {"tenantId": "t2", "timeIntervalList": [{}]},
    ]
    assert [row["behind"] for tenant in tenants for row in restorable_rows(tenant, NOW)] == [
        None,
        "unreadable",
    ]
    assert [line.split(":")[0] for line in remarks(tenants, NOW)] == [
        "1 of 1 intervals cannot be read",
        "1 of 2 tenants have no interval",
    ]


@pytest.mark.parametrize("entry", [None, [], "x", {}, {"tenantName": ["x"], "tenantId": 7}])
def test_an_entry_that_is_no_tenant(entry: Any) -> None:
    (row,) = restorable_rows(entry, NOW)
    assert row["behind"] == "unreadable"
    assert [*remarks([entry, entry], NOW)] == [
        "2 of 2 entries cannot be read: there is an entry without tenantId. "
        "RestorablePointSensor does not count them; -o json shows them as they came."
    ]
