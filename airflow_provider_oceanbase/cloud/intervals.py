"""The intervals of time to which tenants can be restored, as far as they can be read."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple, cast

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.backup_set import is_word, parsed_time
from airflow_provider_oceanbase.cloud.restorable import entries_of, intervals_of, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_provider_oceanbase.cloud.restorable import RestorableInterval, RestorableTenant

#: A name, or a time that is none, has so many characters at most in a line of the log.
_NAME_CHARACTERS, _ODD_CHARACTERS = 40, 60


class Interval(NamedTuple):
    """An interval of time, with both ends: UTC, and as the API writes them."""

    start: datetime
    end: datetime
    start_text: str
    end_text: str
    storage_type: object


@dataclass(slots=True, eq=False)
class TenantIntervals:
    """A tenant, and its intervals; those of several entries with its ID and name belong together.

    An entry without an ID may be any tenant of its name: it has no interval that could be believed.

    :param tenant_id: its ID, empty without one
    :param name: its name, empty without one
    :param intervals: those that can be read, by their start
    :param odd: what cannot be read of it, in words
    """

    tenant_id: str
    name: str
    intervals: list[Interval] = field(default_factory=list)
    odd: str | None = None
    #: Whether an entry of it is none that is documented.
    is_malformed: bool = False
    #: For each interval, the one with the latest end of it and those before.
    _latest: list[Interval] = field(default_factory=list)

    @property
    def short_name(self) -> str:
        """Its name, else its ID, as long as a line of the log bears."""
        name = self._named
        return shown(f"{name[:_NAME_CHARACTERS]}…" if len(name) > _NAME_CHARACTERS else name)

    @property
    def label(self) -> str:
        """What it is called in the log."""
        return self.short_name + self._suffix

    @property
    def quoted(self) -> str:
        """What it is called in a sentence."""
        return repr(self.short_name) + self._suffix

    @property
    def _named(self) -> str:
        return self.name or self.tenant_id or "(unnamed)"

    @property
    def _suffix(self) -> str:
        # Names that are cut may begin alike.
        is_cut = len(self._named) > _NAME_CHARACTERS and self.tenant_id
        return f" (ID {shown(self.tenant_id)})" if is_cut else ""

    @property
    def begin(self) -> str | None:
        """When its first interval begins, as the API writes it; None without any."""
        return self.intervals[0].start_text if self.intervals else None

    @property
    def last(self) -> Interval | None:
        """The interval with the latest end, None without any."""
        return self._latest[-1] if self._latest else None

    def containing(self, time: datetime) -> Interval | None:
        """Return the interval that contains a time, the one with the latest end; None if none does."""
        found = self._begun(self._count_begun(time))
        return found if found is not None and time <= found.end else None

    def begins_after(self, time: datetime) -> bool:
        """Return whether all intervals are known, and begin later."""
        return self.odd is None and bool(self.intervals) and time < self.intervals[0].start

    def up_to(self, time: datetime) -> datetime | None:
        """Return the latest end before a time that no interval contains, None without any."""
        found = self._begun(self._count_begun(time))
        return None if found is None else found.end

    def gap_around(self, time: datetime) -> tuple[str, str] | None:
        """Return the end before a time that no interval contains, and the start after it.

        Both are as the API writes them; None without both.
        """
        count = self._count_begun(time)
        before = self._begun(count)
        if before is None or count == len(self.intervals):
            return None
        return before.end_text, self.intervals[count].start_text

    def add(self, entry: object) -> None:
        """Take an entry with its ID and name; after the last one, call :meth:`sort`."""
        if problem := problem_of(entry):
            self.odd, self.is_malformed = problem, True
            return
        for item in intervals_of(cast("RestorableTenant", entry)):
            if (interval := read_interval(item)) is None:
                words = (shown(repr(item.get(end))[:_ODD_CHARACTERS]) for end in ("startTime", "endTime"))
                self.odd = f"the interval {' to '.join(words)} is none that this provider can read"
            else:
                self.intervals.append(interval)

    def sort(self) -> None:
        """Sort the intervals: once, since there may be many."""
        self.intervals.sort(key=_start)
        for one in self.intervals:
            last = self.last
            self._latest.append(one if last is None or one.end >= last.end else last)

    def _count_begun(self, time: datetime) -> int:
        return bisect_right(self.intervals, time, key=_start)

    def _begun(self, count: int) -> Interval | None:
        """Return the one with the latest end of the first intervals."""
        return self._latest[count - 1] if count else None


class TenantList:
    """The tenants of an answer, by ID and name.

    Thousands of waits may share an answer: it is made once of it, and each wait looks up what it needs.

    :param listed: the entries, whatever they are: an odd one must not end the waits for other tenants
    """

    __slots__ = ("_by_name", "_last", "malformed", "tenants")

    def __init__(self, listed: Iterable[object]) -> None:
        listed = [*listed]
        names: dict[str, dict[str, None]] = {}
        for entry in listed:
            names.setdefault(_id(entry), {})[_name(entry)] = None
        found: dict[tuple[str, str], TenantIntervals] = {}
        for entry in listed:
            tenant_id, name = _id(entry), _name(entry)
            # If an ID is that of several names, the interval of one must not count for another. An entry
            # without a name belongs to the one that there is.
            others = [*names[tenant_id].keys() - {""}] if tenant_id and not name else []
            key = (tenant_id, others[0] if len(others) == 1 else name)
            found.setdefault(key, TenantIntervals(*key)).add(entry)
        #: In the order of the list.
        self.tenants = list(found.values())
        #: Those of them that have an odd entry.
        self.malformed = [tenant for tenant in self.tenants if tenant.is_malformed]
        self._by_name: dict[str, list[TenantIntervals]] = {}
        for tenant in self.tenants:
            tenant.sort()
            for name in {tenant.tenant_id, tenant.name} - {""}:
                self._by_name.setdefault(name, []).append(tenant)
        ends = ((tenant, tenant.last) for tenant in self.tenants)
        known = [(tenant, last) for tenant, last in ends if last is not None]
        self._last = max(known, key=lambda one: one[1].end, default=None)

    def named(self, name: str) -> list[TenantIntervals]:
        """Return the tenants with a name or an ID."""
        return self._by_name.get(name, [])

    def ending_after(self, time: datetime) -> tuple[TenantIntervals, Interval] | None:
        """Return the interval with the latest end of all, and its tenant, if that is after a time."""
        return self._last if self._last is not None and self._last[1].end > time else None


def read_tenant_list(data: object) -> TenantList:
    """Return ``data`` of the response as a list of tenants with their intervals.

    :raises ValueError: the data are no list, or nested too deep
    """
    return TenantList(entries_of(data))


def read_interval(item: RestorableInterval) -> Interval | None:
    """Return an interval, None if it is none: without a zone, nobody knows which time is meant."""
    start_text, end_text = item.get("startTime"), item.get("endTime")
    start, end = _time(start_text), _time(end_text)
    if start is None or end is None or end < start:
        return None
    return Interval(start, end, shown(str(start_text)), shown(str(end_text)), item.get("storageType"))


def _id(entry: object) -> str:
    """Return the ID in an entry of the list, an empty text without one."""
    tenant_id = entry.get("tenantId") if isinstance(entry, dict) else None
    return tenant_id if is_word(tenant_id) else ""


def _name(entry: object) -> str:
    """Return the name in an entry of the list, an empty text without one."""
    name = entry.get("tenantName") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def _start(interval: Interval) -> datetime:
    return interval.start


def _time(text: object) -> datetime | None:
    time = parsed_time(text, zone=None)
    try:
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else None
    except OverflowError:
        # At the end of the year 9999.
        return None
