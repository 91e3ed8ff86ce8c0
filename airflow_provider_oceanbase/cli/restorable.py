"""The command that shows up to when tenants can be restored, and the point of ``check`` about that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.cli.forms import answer_of, form_of_time, words
from airflow_provider_oceanbase.cli.output import show
from airflow_provider_oceanbase.cli.run import Exit, command, opened
from airflow_provider_oceanbase.cli.terminal import progress, say
from airflow_provider_oceanbase.cloud.backup_set import CLOCKS_DIFFER, parsed_time
from airflow_provider_oceanbase.cloud.restorable import (
    RestorableTenant,
    intervals_of,
    read_restorable_tenants,
    shortfall,
)
from airflow_provider_oceanbase.waiting.progress import span

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_oceanbase.cli.observing import Seen
    from airflow_provider_oceanbase.cloud.restorable import RestorableInterval

#: What decisions depend on.
_NEEDED = {"tenantId", "tenantName", "timeIntervalList"}


@command
def restorable(arguments: Namespace) -> Exit:
    """List the tenants that can be restored, and the intervals of time to which each can be."""
    parameters = dict(arguments.parameter) if arguments.parameter else None
    with opened(arguments) as hook, progress(lambda: f"Reading what {arguments.instance_id} can restore"):
        tenants = hook.get_restorable_tenants(arguments.instance_id, query_parameters=parameters)
    now = datetime.now(UTC)
    rows = [row for tenant in tenants for row in restorable_rows(tenant, now)]
    show(arguments.output, tenants, rows)
    if without := sum(not intervals_of(tenant) for tenant in tenants):
        say(f"{without} of {len(tenants)} tenants have no interval: they cannot be restored.")
    return Exit.DONE


def restorable_rows(tenant: RestorableTenant, now: datetime) -> list[dict[str, object]]:
    """Return what a table shows of a tenant: a row for each interval, one without times if it has none."""
    return [
        {
            "tenant": tenant.get("tenantName"),
            "tenant id": tenant["tenantId"],
            "status": tenant.get("status"),
            "from": interval.get("startTime"),
            "up to": interval.get("endTime"),
            "behind": _behind(interval, now),
            "storage": interval.get("storageType"),
        }
        for interval in intervals_of(tenant) or [{}]
    ]


def _behind(interval: RestorableInterval, now: datetime) -> str | None:
    """Return how far the end of an interval is behind the clock."""
    end = parsed_time(interval.get("endTime"))
    return None if end is None else span(max((now - end).total_seconds(), 0.0))


def judge(seen: Seen | None) -> tuple[bool | None, dict[str, Any]] | None:
    """Judge the list of restorable tenants, for ``check``: as the functions of ``contents`` do."""
    if seen is None or seen.status is None:
        return None
    if seen.error is not None:
        return False, answer_of(seen)
    try:
        tenants: list[Mapping[str, Any]] = [*read_restorable_tenants(seen.data)]
    except ValueError as problem:
        return False, {"problem": str(problem)}
    if lacks := shortfall(seen.envelope):
        return False, {"problem": lacks}
    if not tenants:
        return None
    missing = {field for tenant in tenants for field in _NEEDED - tenant.keys()}
    more = {field for tenant in tenants for field in tenant.keys() - RestorableTenant.__annotations__.keys()}
    intervals = [interval for tenant in tenants for interval in tenant.get("timeIntervalList") or ()]
    ends = [(end, interval.get(end)) for interval in intervals for end in ("startTime", "endTime")]
    times = [parsed_time(value, zone=None) for _, value in ends]
    forms = {
        name: sorted({form_of_time(value) for end, value in ends if end == name})
        for name in ("startTime", "endTime")
    }
    zoned = all(time is not None and time.tzinfo is not None for time in times)
    latest = datetime.now(UTC) + CLOCKS_DIFFER
    ahead = any((time := parsed_time(value)) is not None and time > latest for _, value in ends)
    found = {"missing": words(missing), "more": words(more), "intervals": bool(intervals), **forms}
    right = zoned and not missing and not ahead
    return right if intervals or missing else None, found | {"in_the_future": ahead}
