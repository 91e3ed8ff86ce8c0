"""Tenants of a history that can be restored: what is listed of them, and what a wait may make of that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from histories.clock import Clock

#: Names and IDs: two tenants have one name, and the name of another is an ID.
TENANTS = (("orders", "1"), ("billing", "2"), ("orders", "3"), ("2", "4"))
#: What can happen to a tenant, and to its intervals.
CHANGES = (
    "appears",
    "vanishes",
    "begins",  # an interval whose end moves on
    "has begun and ended",  # an interval whose end does not
    "start moves",
    "end stops",
    "end moves on",
    "splits",
    "goes",  # an interval
    "loses its zone",
    "is ahead",  # like a local time that counts as UTC
)
_HOURS_AHEAD = 8 * 3600.0
_GAP = 60.0
#: An end that is further ahead of the clock is none that can be believed.
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass
class Interval:
    """An interval of time, in seconds of the history.

    :param end: None: it moves on with the clock
    :param zone: what the times end with
    """

    start: float
    end: float | None
    zone: str = "Z"


class Served(NamedTuple):
    """An answer.

    :param at: when it was given, in seconds of the history
    """

    at: float
    project: str
    instance: str
    listed: list[dict[str, Any]]


@dataclass(eq=False)
class Restorable:
    """What the service lists; only the instance ob-1 of the project p1 has tenants.

    :param apart: whether each interval has an entry of its own
    """

    clock: Clock
    apart: bool = False
    tenants: dict[tuple[str, str], list[Interval]] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    #: When something was last changed.
    changed: float = 0.0

    def change(self, what: str, tenant: tuple[str, str], seconds: float) -> None:
        """Change something: one of :data:`CHANGES`, so many seconds ago as far as that has a time."""
        self.changed = now = self.clock.now
        moment = now - seconds
        intervals = self.tenants.setdefault(tenant, [])
        match what:
            case "vanishes":
                del self.tenants[tenant]
            case "begins":
                intervals.append(Interval(moment, None))
            case "has begun and ended":
                intervals.append(Interval(moment - 600.0, moment))
            case "is ahead":
                intervals.append(Interval(moment, now + _HOURS_AHEAD))
            case _ if intervals:
                self._change_interval(what, intervals, moment)

    def _change_interval(self, what: str, intervals: list[Interval], moment: float) -> None:
        last = intervals[-1]
        match what:
            case "start moves":
                last.start = moment
            case "end stops":
                last.end = moment
            case "end moves on":
                last.end = None
            case "splits":
                intervals.append(Interval(moment, last.end))
                last.end = moment - _GAP
            case "goes":
                intervals.pop(0)
            case "loses its zone":
                last.zone = ""

    def serve(self, project: str, instance: str) -> list[dict[str, Any]]:
        """Answer a request."""
        now = self.clock.now
        listed = self.listed(now) if (project, instance) == ("p1", "ob-1") else []
        self.served.append(Served(now, project, instance, listed))
        return listed

    def listed(self, now: float) -> list[dict[str, Any]]:
        """Return what is listed at a time, if nothing changes until then."""
        entries = []
        for (name, tenant_id), intervals in self.tenants.items():
            times = [self._item(one, now) for one in intervals]
            parts = [[one] for one in times] if self.apart and times else [times]
            entries += [{"tenantId": tenant_id, "tenantName": name, "timeIntervalList": one} for one in parts]
        return entries

    def _item(self, interval: Interval, now: float) -> dict[str, str]:
        ends = (interval.start, now if interval.end is None else interval.end)
        texts = [self.clock.text(end).removesuffix("Z") + interval.zone for end in ends]
        return dict(zip(("startTime", "endTime"), texts, strict=True))


@dataclass(frozen=True)
class Wish:
    """What a wait wants of an answer: plain, and apart from what the provider does.

    :param time: the point in time
    :param names: names or IDs of tenants, none for all
    """

    time: datetime
    names: Collection[str]

    def is_granted(self, listed: list[dict[str, Any]]) -> bool:
        """Return whether each tenant has an interval that contains the time, and there is one."""
        wanted = self._wanted(listed)
        ready = all(any(self._contains(one) for one in each) for each in wanted.values())
        return bool(wanted) and self._are_all(listed) and ready

    def is_granted_as(self, point: dict[str, Any], listed: list[dict[str, Any]]) -> bool:
        """Return whether a point says of an answer what it says: which intervals contain the time."""
        told = {one["tenantId"]: (one["startTime"], one["endTime"]) for one in point["tenants"]}
        wanted = self._wanted(listed)
        return (
            self._are_all(listed)
            and told.keys() == wanted.keys()
            and point["tenantCount"] == len(told) > 0
            and datetime.fromisoformat(point["restoreTime"]) == self.time
            and all(told[one] in [each for each in wanted[one] if self._contains(each)] for one in told)
        )

    def is_lost(self, listed: list[dict[str, Any]]) -> bool:
        """Return whether all intervals of a tenant are known, and begin after the time."""
        return any(
            each and all(_is_read(one) and self.time < datetime.fromisoformat(one[0]) for one in each)
            for each in self._wanted(listed).values()
        )

    def is_ahead(self, listed: list[dict[str, Any]], now: datetime) -> bool:
        """Return whether an interval ends in the future, whoever is waited for."""
        everyone = Wish(self.time, ())._wanted(listed)
        intervals = [one for each in everyone.values() for one in each if _is_read(one)]
        return any(datetime.fromisoformat(end) > now + _CLOCKS_DIFFER for _, end in intervals)

    def _wanted(self, listed: list[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
        """Return the intervals of each tenant that is wanted and listed, by its ID."""
        found: dict[str, list[tuple[str, str]]] = {}
        for entry in listed:
            if not self.names or {entry["tenantId"], entry["tenantName"]} & {*self.names}:
                times = [(one["startTime"], one["endTime"]) for one in entry["timeIntervalList"]]
                found.setdefault(entry["tenantId"], []).extend(times)
        return found

    def _are_all(self, listed: list[dict[str, Any]]) -> bool:
        known = {entry[key] for entry in listed for key in ("tenantId", "tenantName")}
        return {*self.names} <= known

    def _contains(self, interval: tuple[str, str]) -> bool:
        if not _is_read(interval):
            return False
        start, end = map(datetime.fromisoformat, interval)
        return start <= self.time <= end


def _is_read(interval: tuple[str, str]) -> bool:
    start, end = map(datetime.fromisoformat, interval)
    return start.tzinfo is not None and end.tzinfo is not None and start <= end
