"""The intervals of tenants: what is read of a list, and that a large one is read in a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud import intervals
from airflow_provider_oceanbase.cloud.intervals import TenantList, read_tenant_list

MIDNIGHT = datetime(2026, 1, 20, tzinfo=UTC)


def at(hour: int) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def entry(name: str, *hours: tuple[int, int]) -> dict[str, Any]:
    times = [{"startTime": at(start).isoformat(), "endTime": at(end).isoformat()} for start, end in hours]
    return {"tenantId": f"id-{name}", "tenantName": name, "timeIntervalList": times}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=6),
    st.integers(-1, 15),
    st.booleans(),
)
def test_lookups(given: list[tuple[int, int]], hour: int, apart: bool) -> None:
    """What a search by halves finds is what a look at each interval finds."""
    hours = [(start, start + length) for start, length in given]
    parts = [entry("orders", one) for one in hours] if apart and hours else [entry("orders", *hours)]
    (tenant,) = read_tenant_list(parts).tenants
    found = tenant.containing(at(hour))
    containing = [end for start, end in hours if start <= hour <= end]
    assert (found and found.end) == (at(max(containing)) if containing else None)
    assert (tenant.last and tenant.last.end) == (at(max(end for _, end in hours)) if hours else None)
    assert tenant.begins_after(at(hour)) == (bool(hours) and all(hour < start for start, _ in hours))
    if not containing:
        before = [end for _, end in hours if end < hour]
        after = [start for start, _ in hours if hour < start]
        assert tenant.up_to(at(hour)) == (at(max(before)) if before else None)
        gap = (at(max(before)).isoformat(), at(min(after)).isoformat()) if before and after else None
        assert tenant.gap_around(at(hour)) == gap


def test_names_and_ids() -> None:
    listed = [entry("orders", (1, 2)), entry("id-orders"), entry("billing"), entry("orders", (4, 5))]
    tenants = read_tenant_list(listed)
    assert [one.tenant_id for one in tenants.named("id-orders")] == ["id-orders", "id-id-orders"]
    assert [len(one.intervals) for one in tenants.named("orders")] == [2]
    assert tenants.named("nobody") == []


def test_entries_of_one_tenant_are_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as an answer may have: sorted with each entry, they would hold up all other waits."""
    looks = 0

    def start(interval: intervals.Interval) -> datetime:
        nonlocal looks
        looks += 1
        return interval.start

    monkeypatch.setattr(intervals, "_start", start)
    count = 500
    TenantList([entry("orders", (1, 2))] * count)  # type: ignore[list-item]
    assert looks == count
