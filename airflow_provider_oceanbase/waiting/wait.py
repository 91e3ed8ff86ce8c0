"""Whether to keep waiting after a poll, whatever the condition: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so they cannot disagree.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

from airflow_provider_oceanbase.cloud.query import T
from airflow_provider_oceanbase.waiting.advice import AWAY
from airflow_provider_oceanbase.waiting.metrics import count_poll
from airflow_provider_oceanbase.waiting.outage import Outage
from airflow_provider_oceanbase.waiting.progress import (
    LogSchedule,
    amount,
    gigabytes,
    moment,
    span,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.verdict import Condition, Notice, Verdict

#: So many kinds of warnings at most: a status may hold a percentage.
_MAX_NOTICES = 100
#: Seconds of a wait in which even a poll that remembers nothing repeats its warnings; then they come when a
#: line is due.
_REPEATED = 3600.0
#: In reschedule mode polls are further apart than pauses are long, by what the scheduler takes. If the gap is
#: taken to be too long, two polls log the same time; too short, none does.
_REAL_GAP = 1.25


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
    #: Whether to log that the status is another than before: not if what it was is not known.
    _logs_changes: bool = field(default=True, init=False)
    #: What :meth:`lasts` was called with.
    _schedule: PollSchedule | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)
    #: When to log again what has not changed, and the size that was logged last, in GB.
    _lines: LogSchedule | None = field(default=None, init=False)
    _size: float | None = field(default=None, init=False)
    #: How far it was at the last poll, in words.
    _progress: str = field(default="", init=False)
    #: What to do if it times out, by the last poll.
    _advice: str = field(default="", init=False)
    _outage: Outage = field(init=False)
    #: The kinds of notices that have been logged.
    _noticed: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._outage = Outage(self.log, self.condition)

    def lasts(self, schedule: PollSchedule, began: float, *, rescheduled: bool = False) -> None:
        """From now on, also log at growing intervals how the wait goes, from the time when it began.

        :param began: when the wait began, in seconds since the epoch
        :param rescheduled: whether polls before this one have left no memory. Then only what is due since the
            poll before is logged, or every poll would log the status
        """
        elapsed = passed(began)
        gap = schedule.pause(elapsed, seed=began) * _REAL_GAP if rescheduled else 0.0
        self._logs_changes = not rescheduled
        self._schedule, self._began = schedule, began
        self._lines = LogSchedule.after(elapsed - gap)

    def resumed(self, schedule: PollSchedule, began: float) -> None:
        """Log the state of a wait that began elsewhere, and from now on how it goes.

        :param began: when it began, in seconds since the epoch
        """
        self.lasts(schedule, began)
        self.log.info(
            "%s: waiting in the triggerer, last seen: %s. Polling every %g s%s, times out %s (%s).",
            self.condition.name,
            self.status or "nothing yet",
            schedule.poke_interval,
            " at first" if schedule.exponential_backoff else "",
            self._deadline,
            self.condition.details,
        )

    def answered(self, data: T, request_id: str) -> Any:
        """Judge an answer: return what is waited for, such as a backup set; None to keep waiting.

        :raises WaitFailedError: waiting would not help, for example because the backup failed
        :raises OceanBaseCloudError: the answer cannot be believed
        """
        return self._judged(self.condition.judge(data, request_id), request_id)

    def _judged(self, verdict: Verdict, request_id: str | None) -> Any:
        self._outage.answered()
        self.first = False
        self._progress = f"; {verdict.progress}" if verdict.progress else ""
        self._advice = verdict.advice
        self.retry_after = None
        elapsed = passed(self._began)
        is_due = self._lines is not None and self._lines.is_due(elapsed)
        warns = self._logs_changes or is_due or elapsed < _REPEATED
        if verdict.status != self.status or verdict.found:
            self._changed(verdict, request_id, is_due=is_due)
        elif is_due:
            self._log_progress(verdict)
        if warns or verdict.found:
            self._warn(verdict.notices)
        if verdict.failure:
            raise verdict.failure
        return verdict.found

    def _changed(self, verdict: Verdict, request_id: str | None, *, is_due: bool) -> None:
        self.status, self._size = verdict.status, None
        is_end = verdict.found is not None or verdict.failure is not None
        if self._logs_changes or is_end:
            condition = self.condition
            known = condition.described(verdict.found) if verdict.found else self._progress
            text = "%s: %s%s (%s, requestId %s)."
            self.log.info(text, condition.name, verdict.status, known, condition.details, request_id)
        elif is_due:
            self._log_progress(verdict)
        self._logs_changes = True

    def _warn(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if notice.kind not in self._noticed and len(self._noticed) < _MAX_NOTICES:
                self._noticed |= {notice.kind}
                self.log.warning("%s", notice.text)

    def _outlook(self) -> str:
        # A task that is about to defer says in its next line how it goes on.
        return f" The wait times out {self._deadline}." if self._schedule else ""

    def _log_progress(self, verdict: Verdict) -> None:
        if not self._left:
            # The message for the timeout follows, and says more.
            return
        former, self._size = self._size, gigabytes(verdict.underway)
        parts = [f"{verdict.status}{self._progress}"] if self.condition.missing else []
        if self._size is not None:
            grown = self._size - former if former is not None else 0.0
            growth = f" (+{amount(grown)} since the last line)" if grown > 0 else ""
            parts.append(f"{amount(self._size)} so far{growth}")
        parts += [f"times out {self._deadline}", self.condition.details]
        self.log.info("%s after %s: %s.", self._state, span(passed(self._began)), "; ".join(parts))

    @property
    def _state(self) -> str:
        """How it stands, in words: as in ``bak-1 still DOING``."""
        condition = self.condition
        if not self.status:
            return f"{condition.name} not seen"
        return f"{condition.name} still {condition.missing or self.status}"

    @property
    def _remembers_nothing(self) -> bool:
        """Whether polls before this one, in reschedule mode, may have found what is not known here."""
        return not self.status and not self._logs_changes

    @property
    def _left(self) -> float:
        """The seconds until the wait times out."""
        timeout = self._schedule.timeout if self._schedule else math.inf
        return max(timeout - passed(self._began), 0.0)

    @property
    def _deadline(self) -> str:
        """When the wait times out, in words."""
        return moment(self._left)

    def is_final(self, error: OceanBaseCloudError) -> bool:
        """Return whether a poll that failed ends the wait: waiting would not help, or it is the first.

        One that was not even sent is not the first: many waits may begin together.
        """
        ends = not error.transient or (self.first and not error.unsent)
        return ends and self.condition.judge_error(error, self.status) is None

    def failed(self, error: OceanBaseCloudError) -> None:
        """Judge a poll without a usable answer: return to keep waiting.

        :raises OceanBaseCloudError: the error, if waiting would not help or no poll has succeeded yet
        """
        if verdict := self.condition.judge_error(error, self.status):
            self._judged(verdict, error.request_id)
            return
        is_final, self.first = self.is_final(error), self.first and error.unsent
        if is_final:
            count_poll("failed")
            raise error
        self.retry_after = error.retry_after
        self._outage.failed(error, self._outlook)

    def cut_off(self, limit: float) -> None:
        """Take note of a poll without an answer in the time that was left.

        :param limit: that time in seconds
        """
        self._outage.cut_off(limit)

    def polls(
        self, schedule: PollSchedule, began: float, *, first_share: float, at_once: bool = False
    ) -> Iterator[NextPoll]:
        """Yield each poll of a wait; the last one begins when the timeout is over, whatever came before it.

        :param began: when the wait began, in seconds since the epoch
        :param first_share: the part of a whole pause that precedes the first poll: 0 to poll at once
        :param at_once: whether to poll once before that, with the time of a last poll
        """
        if at_once:
            yield NextPoll(0.0, 0.0, schedule.grace)
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
        condition, lasted = self.condition, span(passed(began))
        given = f"{condition.details}, timeout {span(schedule.timeout)}"
        if (seconds := self._outage.seconds) is None:
            seen = f" The last poll found: {self.status}{self._progress}." if self.status else ""
            return (
                f"{self._state} after {lasted}: timed out ({given}).{seen} {self._advice or condition.stuck}"
            )
        known = f" last seen {condition.missing or self.status}" if self.status else " not seen"
        silence = f"no answer for {span(seconds)}"
        if self._remembers_nothing:
            known, silence = "", "no answer to the last poll"
        return (
            f"{condition.name}{known}, {silence}: timed out after {lasted} ({given}). "
            f"The last poll failed: {self._outage.what}. {AWAY}"
        )


def passed(began: float) -> float:
    """Return the seconds since a wait began.

    :param began: in seconds since the epoch
    """
    # If the clock was set back, the wait begins now.
    return max(time.time() - began, 0.0)
