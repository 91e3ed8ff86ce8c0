"""The intervals of time to which a tenant can be restored, as far as they can be read: plain code."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.backup_set import parsed_time
from airflow_provider_oceanbase.cloud.restorable import intervals_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_provider_oceanbase.cloud.restorable import RestorableInterval, RestorableTenant

#: A name has so many characters at most in a line of the log.
_NAME_CHARACTERS = 40


class Interval(NamedTuple):
    """An interval of time, with both ends: UTC, and as the API writes them."""

    start: datetime
    end: datetime
    start_text: str
    end_text: str
    storage_type: object


@dataclass(slots=True)
class TenantIntervals:
    """A tenant, and its intervals; those of several entries with its ID belong together.

    :param tenant_id: its ID
    :param names: its names; more than one if entries differ
    :param intervals: those that can be read, by their start
    :param odd: one that cannot be read, in words
    """

    tenant_id: str
    names: dict[str, None] = field(default_factory=dict)
    intervals: list[Interval] = field(default_factory=list)
    odd: str | None = None

    @property
    def label(self) -> str:
        """Its name in the log, else its ID."""
        return shown(next(iter(self.names), self.tenant_id)[:_NAME_CHARACTERS])

    @property
    def begin(self) -> str | None:
        """When its first interval begins, as the API writes it; None without any."""
        return self.intervals[0].start_text if self.intervals else None

    def containing(self, time: datetime) -> Interval | None:
        """Return the interval that contains a time, the one with the latest end; None if none does."""
        found = (one for one in self.intervals if one.start <= time <= one.end)
        return max(found, key=lambda one: one.end, default=None)

    def ending_after(self, time: datetime) -> Interval | None:
        """Return an interval that ends after a time, None if none does."""
        return next((one for one in self.intervals if one.end > time), None)

    def begins_after(self, time: datetime) -> bool:
        """Return whether all intervals are known, and begin later."""
        return self.odd is None and bool(self.intervals) and time < self.intervals[0].start

    def up_to(self, time: datetime) -> datetime | None:
        """Return the latest end before a time, None without any."""
        return max((one.end for one in self.intervals if one.end < time), default=None)

    def gap_around(self, time: datetime) -> tuple[str, str] | None:
        """Return the end before a time and the start after it, as the API writes them; None without both."""
        before = [one for one in self.intervals if one.end < time]
        after = [one for one in self.intervals if time < one.start]
        if not before or not after:
            return None
        return max(before, key=lambda one: one.end).end_text, after[0].start_text

    def add(self, entry: RestorableTenant) -> None:
        """Take an entry with its ID."""
        if isinstance(name := entry.get("tenantName"), str) and name:
            self.names[name] = None
        for item in intervals_of(entry):
            if (interval := _interval(item)) is None:
                words = (shown(repr(item.get(end))) for end in ("startTime", "endTime"))
                self.odd = " to ".join(words)
            else:
                self.intervals.append(interval)
        self.intervals.sort(key=lambda one: one.start)


def tenants_in(listed: Iterable[RestorableTenant]) -> list[TenantIntervals]:
    """Return the tenants of a list, in its order."""
    found: dict[str, TenantIntervals] = {}
    for entry in listed:
        name = entry["tenantId"]
        found.setdefault(name, TenantIntervals(name)).add(entry)
    return list(found.values())


def _interval(item: RestorableInterval) -> Interval | None:
    """Return an interval, None if it is none: without a zone, nobody knows which time is meant."""
    start_text, end_text = item.get("startTime"), item.get("endTime")
    start, end = _time(start_text), _time(end_text)
    if start is None or end is None or end < start:
        return None
    return Interval(start, end, shown(str(start_text)), shown(str(end_text)), item.get("storageType"))


def _time(text: object) -> datetime | None:
    time = parsed_time(text, zone=None)
    try:
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else None
    except OverflowError:
        # At the end of the year 9999.
        return None
