"""The command that shows up to when tenants can be restored, and the point of ``check`` about that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.cli.forms import answer_of, forms_of_times, words
from airflow_provider_oceanbase.cli.output import show
from airflow_provider_oceanbase.cli.run import Exit, command, opened
from airflow_provider_oceanbase.cli.terminal import progress, say
from airflow_provider_oceanbase.cloud.backup_set import CLOCKS_DIFFER
from airflow_provider_oceanbase.cloud.intervals import read_interval
from airflow_provider_oceanbase.cloud.restorable import (
    RestorableTenant,
    entries_of,
    intervals_of,
    problem_of,
    read_restorable_tenants,
    restorable_tenants_request,
    shortfall,
)
from airflow_provider_oceanbase.waiting.advice import LOCAL_TIMES, WRONG_ID
from airflow_provider_oceanbase.waiting.progress import span

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from airflow_provider_oceanbase.cli.observing import Seen
    from airflow_provider_oceanbase.cloud.intervals import Interval
    from airflow_provider_oceanbase.cloud.query import Request
    from airflow_provider_oceanbase.cloud.restorable import RestorableInterval

#: What decisions depend on.
_NEEDED = {"tenantId", "tenantName", "timeIntervalList"}


@command
def restorable(arguments: Namespace) -> Exit:
    """List the tenants that can be restored, and the intervals of time to which each can be."""
    given = arguments.parameter or []
    parameters = dict(given)
    if len(parameters) < len(given):
        arguments.parser.error("argument --parameter: a name is given twice")
    request: Request[Any] = restorable_tenants_request(
        arguments.instance_id, query_parameters=parameters or None
    )
    with opened(arguments) as hook, progress(lambda: f"Reading what {arguments.instance_id} can restore"):
        # As the sensor reads it: an odd entry hides no other.
        entries = hook.fetch(replace(request, read=entries_of)).data
    now = datetime.now(UTC)
    rows = [row for entry in entries for row in restorable_rows(entry, now)]
    show(arguments.output, entries, rows)
    for line in remarks(entries, now):
        say(line)
    return Exit.DONE


def remarks(entries: list[object], now: datetime) -> Iterator[str]:
    """Yield what RestorablePointSensor would make of the list."""
    if not entries:
        yield f"No tenants in the list. {WRONG_ID}"
    problems = [problem for entry in entries if (problem := problem_of(entry))]
    if problems:
        yield (
            f"{len(problems)} of {len(entries)} entries cannot be read: {problems[0]}. "
            "RestorablePointSensor does not count them; -o json shows them as they came."
        )
    tenants = [cast("RestorableTenant", entry) for entry in entries if not problem_of(entry)]
    items = [item for tenant in tenants for item in intervals_of(tenant)]
    intervals = [interval for item in items if (interval := read_interval(item))]
    if ahead := sum(_is_ahead(interval, now) for interval in intervals):
        yield (
            f"{ahead} of {len(items)} intervals end in the future: RestorablePointSensor fails. {LOCAL_TIMES}"
        )
    if unread := len(items) - len(intervals):
        yield (
            f"{unread} of {len(items)} intervals cannot be read: RestorablePointSensor does not count them. "
            "It needs ISO 8601 with a time zone, and an end that is not before the start."
        )
    if without := sum(not intervals_of(tenant) for tenant in tenants):
        yield f"{without} of {len(tenants)} tenants have no interval: they cannot be restored."


def restorable_rows(entry: object, now: datetime) -> list[dict[str, object]]:
    """Return what a table shows of an entry: a row for each interval, one without times if it has none."""
    tenant = cast("RestorableTenant", entry if isinstance(entry, dict) else {})
    is_odd = problem_of(entry) is not None
    items: list[RestorableInterval | None] = [None] if is_odd else [*intervals_of(tenant)] or [None]
    nothing = "unreadable" if is_odd else None
    return [
        {
            "tenant": tenant.get("tenantName"),
            "tenant id": tenant.get("tenantId"),
            "status": tenant.get("status"),
            "from": (item or {}).get("startTime"),
            "up to": (item or {}).get("endTime"),
            "behind": nothing if item is None else _behind(item, now),
            "storage": (item or {}).get("storageType"),
        }
        for item in items
    ]


def _behind(item: RestorableInterval, now: datetime) -> str:
    """Return how far the end of an interval is behind the clock, by the sensor's reading of it."""
    if (interval := read_interval(item)) is None:
        return "unreadable"
    if _is_ahead(interval, now):
        return "in the future"
    return span(max((now - interval.end).total_seconds(), 0.0))


def _is_ahead(interval: Interval, now: datetime) -> bool:
    return interval.end > now + CLOCKS_DIFFER


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
    forms = {
        name: forms_of_times(value for end, value in ends if end == name) for name in ("startTime", "endTime")
    }
    readable = [read for interval in intervals if (read := read_interval(interval))]
    unread = len(intervals) - len(readable)
    now = datetime.now(UTC)
    ahead = any(_is_ahead(one, now) for one in readable)
    found = {"missing": words(missing), "more": words(more), "intervals": bool(intervals), **forms}
    right = not unread and not missing and not ahead
    return right if intervals or missing else None, found | {"unreadable": unread, "in_the_future": ahead}
