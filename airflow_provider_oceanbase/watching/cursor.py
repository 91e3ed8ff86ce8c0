"""Which backup sets a watcher has reported, and which are new: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from airflow_provider_oceanbase.cloud.backup_set import is_complete, time_of
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet

#: The most sets that are remembered: a set every ten minutes, for the whole of ``LOOKBACK``.
MAX_REPORTED = 1000
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
        complete = [
            one
            for one in backup_sets
            if is_complete(one, self.success_statuses, require_valid=self.require_valid)
        ]
        return sorted(complete, key=lambda one: (time_of(one, "endTime") or _NEVER, one["backupSetId"]))


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has come.

    Sets may end in another order than they began, and appear late. So the cursor holds the ID of each, for as
    long as it might be listed. Sets that began before ``since`` are settled, reported or not.

    :param since: when the earliest set began that still counts
    :param reported: IDs of the sets since then that need no event any more, and when each began
    """

    since: datetime
    reported: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def start(cls, now: datetime) -> Self:
        """Return the cursor of a new watcher."""
        return cls(now - LOOKBACK)

    def new(self, complete: Iterable[BackupSet]) -> list[BackupSet]:
        """Return those of the complete sets that need an event."""
        return [
            one
            for one in complete
            if (began := _began(one)) and began >= self.since and one["backupSetId"] not in self.reported
        ]

    def after(self, new: Iterable[BackupSet], listed: Iterable[BackupSet], now: datetime) -> Self:
        """Return the cursor once the new sets have been reported.

        :param listed: all sets of the instance, complete or not
        :param now: the time
        """
        reported = {**self.reported, **{one["backupSetId"]: began for one in new if (began := _began(one))}}
        # Neither a fast clock nor a set from the future may settle sets that were not seen.
        latest = min(now, max(filter(None, map(_began, listed)), default=self.since))
        since = latest - LOOKBACK if latest - self.since > LOOKBACK else self.since
        began_at = sorted(began for began in reported.values() if began >= since)
        if len(began_at) > MAX_REPORTED:
            since = began_at[-MAX_REPORTED]
        return type(self)(since, {name: began for name, began in reported.items() if began >= since})

    def to_json(self) -> dict[str, object]:
        """Return the cursor fit for JSON, for :meth:`from_json`."""
        return {
            "since": self.since.isoformat(),
            "reported": {name: began.isoformat() for name, began in self.reported.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Make the cursor from what :meth:`to_json` returned.

        :raises ValueError: the data are something else
        """
        match data:
            case {"since": str(since), "reported": dict(reported)}:
                return cls(_utc(since), {str(name): _utc(began) for name, began in reported.items()})
        raise ValueError("not a cursor of a watcher")


def _began(backup_set: BackupSet) -> datetime | None:
    # The API documents a startTime for each set.
    return time_of(backup_set, "startTime") or time_of(backup_set, "endTime")


def _utc(text: object) -> datetime:
    time = datetime.fromisoformat(text) if isinstance(text, str) else None
    if time is None or time.tzinfo is None:
        raise ValueError("not a time with a time zone")
    return time
