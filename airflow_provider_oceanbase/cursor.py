"""Which backup sets a watcher has told of, and which are new: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from airflow_provider_oceanbase.goals import LOOKBACK, is_good, time_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_oceanbase.backup_set import BackupSet

#: So many sets are remembered at most: a set every ten minutes, for the whole of ``LOOKBACK``.
MAX_TOLD = 1000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which backup sets are worth an event.

    :param success_statuses: statuses of a set that is done
    :param require_valid: whether it has to be VALID
    """

    success_statuses: Collection[str]
    require_valid: bool

    def select(self, backup_sets: Iterable[BackupSet]) -> list[BackupSet]:
        """Return the sets that are, in the order of their end."""
        good = filter(self._is_good, backup_sets)
        return sorted(good, key=lambda one: (time_of(one, "endTime") or _NEVER, one["backupSetId"]))

    def _is_good(self, backup_set: BackupSet) -> bool:
        return is_good(backup_set, self.success_statuses, require_valid=self.require_valid)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has come.

    Sets may end in another order than they began, and appear late. So each is known by its ID, for as long as
    it might still be listed; those that began before ``since`` are done with, told of or not.

    :param since: when the earliest set began that still counts
    :param told: IDs of the sets since then that need no event any more, and when each began
    """

    since: datetime
    told: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def start(cls, now: datetime) -> Self:
        """Return the cursor of a watcher that begins."""
        return cls(now - LOOKBACK)

    def new(self, good: Iterable[BackupSet]) -> list[BackupSet]:
        """Return those of the sets that need an event."""
        return [
            one
            for one in good
            if (began := _began(one)) and began >= self.since and one["backupSetId"] not in self.told
        ]

    def after(self, new: Iterable[BackupSet], listed: Iterable[BackupSet], now: datetime) -> Self:
        """Return the cursor once these new sets have been told of.

        :param listed: all sets there are, good or not
        :param now: the time
        """
        told = {**self.told, **{one["backupSetId"]: began for one in new if (began := _began(one))}}
        # Neither a clock that is fast nor a set from the future may end what has not been seen.
        latest = min(now, max(filter(None, map(_began, listed)), default=self.since))
        since = latest - LOOKBACK if latest - self.since > LOOKBACK else self.since
        began_at = sorted(began for began in told.values() if began >= since)
        if len(began_at) > MAX_TOLD:
            since = began_at[-MAX_TOLD]
        return type(self)(since, {name: began for name, began in told.items() if began >= since})

    def to_json(self) -> dict[str, object]:
        """Return the cursor as JSON can carry it, for :meth:`from_json`."""
        return {
            "since": self.since.isoformat(),
            "told": {name: began.isoformat() for name, began in self.told.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Make the cursor that :meth:`to_json` described.

        :raises ValueError: the data are something else
        """
        match data:
            case {"since": str(since), "told": dict(told)}:
                return cls(_utc(since), {str(name): _utc(began) for name, began in told.items()})
        raise ValueError("not a cursor of a watcher")


def _began(backup_set: BackupSet) -> datetime | None:
    # The API documents a startTime for each set.
    return time_of(backup_set, "startTime") or time_of(backup_set, "endTime")


def _utc(text: object) -> datetime:
    time = datetime.fromisoformat(text) if isinstance(text, str) else None
    if time is None or time.tzinfo is None:
        raise ValueError("not a time with a time zone")
    return time
