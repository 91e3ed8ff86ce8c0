"""Which backup sets a watcher has reported, and which are new: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from airflow_provider_oceanbase.cloud.backup_set import time_of
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK
from airflow_provider_oceanbase.waiting.lacks import Lack, NearMiss, completeness_lacks, is_unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet

#: The most reported sets that are remembered: a set every ten minutes, for the whole of ``LOOKBACK``.
MAX_REPORTED = 1000
#: The most sets that are remembered because they began before those, and have not been reported.
MAX_PENDING = 4000
#: A time without a zone, or a wrong clock, may be so far off.
_CLOCKS_DIFFER = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which backup sets are worth an event.

    :param success_statuses: statuses of a complete set
    :param require_valid: whether it must be VALID
    """

    success_statuses: Collection[str]
    require_valid: bool

    def select(self, backup_sets: Iterable[BackupSet]) -> list[BackupSet]:
        """Return the sets that are worth one, in the order of their end."""
        complete = [one for one in backup_sets if not self._lacks(one, require_valid=self.require_valid)]
        return sorted(complete, key=lambda one: (time_of(one, "endTime") or _NEVER, one["backupSetId"]))

    def doubt(self, backup_set: BackupSet) -> NearMiss | None:
        """Return a set as a near miss if it may be complete for all anybody knows, but is worth no event."""
        status = backup_set["status"]
        is_strange = is_unknown(status, self.success_statuses, None)
        if not is_strange and status not in self.success_statuses:
            return None
        # A validity may come later.
        lacks = self._lacks(backup_set, require_valid=self.require_valid and not is_strange)
        return NearMiss(backup_set, lacks) if lacks else None

    def _lacks(self, backup_set: BackupSet, *, require_valid: bool) -> list[Lack]:
        return completeness_lacks(backup_set, self.success_statuses, None, require_valid=require_valid)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has come.

    Sets may end in another order than they began, and appear late. So the cursor holds the ID of each, for as
    long as it might be listed. Of the older ones, if too many have been reported, it holds those that have
    not: all others that began before ``since`` are settled.

    :param since: when the earliest set began that is not settled
    :param reported: IDs of the sets since then that need no event any more, and when each began
    :param pending: IDs of the sets before then that may still need one, and when each began
    """

    since: datetime
    reported: Mapping[str, datetime] = field(default_factory=dict)
    pending: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def start(cls, now: datetime) -> Self:
        """Return the cursor of a new watcher."""
        return cls(now - LOOKBACK)

    def at(self, now: datetime) -> Self:
        """Return the cursor from which to go on.

        If a watch began by a clock that was days ahead, its ``since`` is yet to come. Then all sets within
        ``LOOKBACK`` need an event, even those that were complete before. But if a set has been reported that
        began since then, it is the clock that is behind now.
        """
        return self if self.since <= now or self.reported else replace(self, since=now - LOOKBACK)

    @property
    def earliest(self) -> datetime:
        """From when on a list must be complete."""
        return min([self.since, *self.pending.values()])

    def expects(self, backup_set: BackupSet) -> bool:
        """Return whether a set needs an event, now or when it completes."""
        name, began = backup_set["backupSetId"], start_of(backup_set)
        if began is None:
            return False
        return name in self.pending or (began >= self.since and name not in self.reported)

    def gives_up(self, backup_set: BackupSet, after: Self) -> bool:
        """Return whether a set that is not complete is settled by the cursor that comes after this one."""
        return self.expects(backup_set) and not after.expects(backup_set)

    def new(self, complete: Iterable[BackupSet]) -> list[BackupSet]:
        """Return those of the complete sets that need an event."""
        return [one for one in complete if self.expects(one)]

    def after(self, new: Iterable[BackupSet], listed: Collection[BackupSet], now: datetime) -> Self:
        """Return the cursor once the new sets have been reported.

        :param listed: all sets of the instance, complete or not
        :param now: the time
        """
        began_at = {one["backupSetId"]: began for one in listed if (began := start_of(one))}
        # Neither a fast clock nor a set from the future may settle sets that were not seen.
        latest = min(now, max(began_at.values(), default=self.since))
        earliest = latest - LOOKBACK if latest - self.earliest > LOOKBACK else self.earliest
        since = max(self.since, earliest)
        names = {one["backupSetId"] for one in new} & began_at.keys()
        reported = {**self.reported, **{name: began_at[name] for name in names}}
        times = sorted(began for began in reported.values() if began >= since)
        if len(times) > MAX_REPORTED:
            since = max(since, min(times[-MAX_REPORTED - 1], now) + datetime.resolution)
        expected = {one["backupSetId"] for one in listed if self.expects(one)}
        pending = {**self.pending, **{name: began_at[name] for name in expected}}
        waiting = sorted(
            (began, name)
            for name, began in pending.items()
            if earliest <= began < since and name not in reported
        )
        return type(self)(
            since,
            {name: began for name, began in reported.items() if began >= since},
            {name: began for began, name in waiting[-MAX_PENDING:]},
        )

    def to_json(self) -> dict[str, object]:
        """Return the cursor fit for JSON, for :meth:`from_json`."""
        return {
            "since": self.since.isoformat(),
            "reported": {name: began.isoformat() for name, began in self.reported.items()},
            "pending": {name: began.isoformat() for name, began in self.pending.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Make the cursor from what :meth:`to_json` returned.

        :raises ValueError: the data are something else
        """
        if isinstance(data, dict):
            # A cursor of earlier versions has none.
            data = {"pending": {}, **data}
        match data:
            case {"since": str(since), "reported": dict(reported), "pending": dict(pending)}:
                return cls(_utc(since), _times(reported), _times(pending))
        raise ValueError("not a cursor of a watcher")


def start_of(backup_set: BackupSet) -> datetime | None:
    """Return when a set began, None if that is unknown. The API documents a ``startTime`` for each set."""
    return time_of(backup_set, "startTime") or time_of(backup_set, "endTime")


def is_dated(backup_set: BackupSet, now: datetime) -> bool:
    """Return whether a set says when it began; a time from a far future is none.

    Once it was reported, such a set would have to be remembered for good.
    """
    began = start_of(backup_set)
    return began is not None and began <= now + _CLOCKS_DIFFER


def _times(texts: Mapping[object, object]) -> dict[str, datetime]:
    return {str(name): _utc(text) for name, text in texts.items()}


def _utc(text: object) -> datetime:
    time = datetime.fromisoformat(text) if isinstance(text, str) else None
    if time is None or time.tzinfo is None:
        raise ValueError("not a time with a time zone")
    return time
