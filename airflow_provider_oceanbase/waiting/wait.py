"""Whether to keep waiting after a poll, whatever the condition: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so they cannot disagree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, NamedTuple

from airflow_provider_oceanbase.cloud.query import T
from airflow_provider_oceanbase.waiting.metrics import count_poll
from airflow_provider_oceanbase.waiting.outage import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.waiting.conditions import Condition, Verdict
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule

_HALF_A_DAY = 43200
#: So many kinds of warnings at most: a status may hold a percentage.
_MAX_NOTICES = 100
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class NextPoll(NamedTuple):
    """A poll of a wait.

    :param pause: seconds to sleep before it
    :param max_age: the age in seconds up to which the answer to another wait will do; None for the last poll,
        which needs a request of its own
    :param limit: seconds after which to give it up
    """

    pause: float
    max_age: float | None
    limit: float


@dataclass(slots=True)
class Wait(Generic[T]):
    """One wait: decides after each poll whether to keep waiting, and logs what has changed.

    :param condition: what is waited for
    :param log: where to log changes
    :param first: whether the next poll is the first of its task: then no error is waited out
    :param status: the last known status
    """

    condition: Condition[T]
    log: logging.Logger | AirflowLogger
    first: bool = True
    status: str | None = None
    #: Seconds after which the server, in its last answer, allows the next request.
    retry_after: float | None = field(default=None, init=False)
    #: How old the last answer was when this wait received it: it may be another wait's.
    age: float = field(default=0.0, init=False)
    _outage: Outage = field(init=False)
    #: The kinds of notices that have been logged.
    _noticed: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._outage = Outage(self.log)

    def resumed(self, schedule: PollSchedule, began: float) -> None:
        """Log the state of a wait that began elsewhere.

        :param began: when it began, in seconds since the epoch
        """
        self.log.info(
            "%s was last seen with %s. Polling every %g s%s, times out %s.",
            self.condition.subject,
            self.status,
            schedule.poke_interval,
            " at first" if schedule.exponential_backoff else "",
            _moment(max(schedule.timeout - passed(began), 0.0)),
        )

    def answered(self, data: T, request_id: str) -> BackupSet | None:
        """Judge an answer: return the set that is waited for, None to keep waiting.

        :raises BackupSetFailedError: the backup failed
        """
        return self._judged(self.condition.judge(data, request_id), request_id)

    def _judged(self, verdict: Verdict, request_id: str | None) -> BackupSet | None:
        self._outage.answered()
        self.first = False
        self.retry_after = None
        if verdict.status != self.status:
            self.log.info("%s: %s (requestId %s).", self.condition.subject, verdict.status, request_id)
            self.status = verdict.status
        for notice in verdict.notices:
            if notice.kind not in self._noticed and len(self._noticed) < _MAX_NOTICES:
                self._noticed |= {notice.kind}
                self.log.warning("%s", notice.text)
        if verdict.failure:
            raise verdict.failure
        return verdict.backup_set

    def is_final(self, error: OceanBaseCloudError) -> bool:
        """Return whether a poll that failed ends the wait: waiting would not help, or it is the first."""
        return self.condition.judge_error(error, self.status) is None and (self.first or not error.transient)

    def failed(self, error: OceanBaseCloudError) -> None:
        """Judge a poll without a usable answer: return to keep waiting.

        :raises OceanBaseCloudError: the error, if waiting would not help or no poll has succeeded yet
        """
        if verdict := self.condition.judge_error(error, self.status):
            self._judged(verdict, error.request_id)
            return
        is_final, self.first = self.is_final(error), False
        if is_final:
            count_poll("failed")
            raise error
        self.retry_after = error.retry_after
        self._outage.failed(error)

    def cut_off(self, limit: float) -> None:
        """Take note of a poll without an answer in the time that was left.

        :param limit: that time in seconds
        """
        self._outage.cut_off(limit)

    def polls(self, schedule: PollSchedule, began: float, *, first_share: float) -> Iterator[NextPoll]:
        """Yield each poll of a wait; the last one begins when the timeout is over, whatever came before it.

        :param began: when the wait began, in seconds since the epoch
        :param first_share: the part of a whole pause that precedes the first poll: 0 to poll at once
        """
        elapsed = passed(began)
        since = time.monotonic() - elapsed
        interval = schedule.pause(elapsed, seed=began)
        pause = interval * first_share
        while (left := schedule.timeout - (time.monotonic() - since) - pause) > 0:
            yield NextPoll(pause, interval, left)
            elapsed = time.monotonic() - since
            interval = schedule.pause(elapsed, retry_after=self.retry_after, seed=began)
            pause = max(interval - self.age, 0.0)
        yield NextPoll(pause, None, schedule.grace)

    def timed_out(self, schedule: PollSchedule, began: float) -> str:
        """Return the message for the timeout."""
        text = (
            f"Sensor has timed out; run duration of {passed(began):.0f} seconds exceeds the specified "
            f"timeout of {schedule.timeout:g}. {self.condition.subject} "
            + (f"was last seen with {self.status}" if self.status else "has not been seen")
        )
        if (seconds := self._outage.seconds) is None:
            return f"{text}."
        return (
            f"{text}; OceanBase Cloud has not answered for {seconds:.0f} s. "
            f"The last poll failed: {self._outage.what}."
        )


def passed(began: float) -> float:
    """Return the seconds since a wait began.

    :param began: in seconds since the epoch
    """
    # If the clock was set back, the wait begins now.
    return max(time.time() - began, 0.0)


def _moment(seconds: float) -> str:
    """Return when a wait times out, such as ``at 10:03 UTC (in 6 h)``."""
    try:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return "never"
    clock = f"{at:%H:%M} UTC" if seconds < _HALF_A_DAY else f"{at:%Y-%m-%d %H:%M} UTC"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size or size == 1)
    number = f"{seconds / size:.1f}".removesuffix(".0")
    return f"at {clock} (in {number} {unit})"
