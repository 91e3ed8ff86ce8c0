"""The rule by which to wait, whatever for: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so that they cannot disagree.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal

from airflow_provider_oceanbase._compat import Stats
from airflow_provider_oceanbase.api import T

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_oceanbase._compat import Logger as AirflowLogger
    from airflow_provider_oceanbase.backup_set import BackupSet
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.goals import Goal, Verdict

#: Counter of Airflow's metrics: checks, each tagged with its ``outcome``, ``answered`` or ``failed``.
POLLS_METRIC = "oceanbase.backup_set.polls"
#: Timer of Airflow's metrics: from the beginning of a wait until the backup set was seen done.
WAIT_METRIC = "oceanbase.backup_set.wait_duration"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a wait checks, and for how long.

    :param poke_interval: seconds between two checks
    :param exponential_backoff: whether the pause between checks grows
    :param max_wait: longest pause in seconds that it may grow to, None for no limit
    :param timeout: seconds that the wait may take in all
    """

    poke_interval: float = 60.0
    exponential_backoff: bool = False
    max_wait: float | None = None
    timeout: float = 604800.0

    def pause(self, elapsed: float, *, retry_after: float | None = None, seed: object = "") -> float:
        """Return the seconds until the next check; the last one comes when the timeout is over.

        With ``exponential_backoff`` the pause lies between half of ``poke_interval`` and the whole at first,
        and doubles from check to check. It follows from the time that has passed alone, so that nothing has
        to be remembered across a reschedule, a retry or a restart.

        :param elapsed: seconds since the wait began
        :param retry_after: seconds that the server asked for; they can only lengthen the pause
        :param seed: what tells this wait from others, so that they do not check in step
        """
        pause = self.poke_interval
        if self.exponential_backoff:
            pause = _backoff(pause, elapsed, str(seed))
            if self.max_wait is not None:
                pause = min(pause, self.max_wait)
        return min(max(pause, retry_after or 0.0), max(self.timeout - elapsed, 0.0))


@dataclass(slots=True)
class Outage:
    """Counts checks, and tells of those that fail: once when they begin to, and once when it is over.

    :param log: where it is told
    """

    log: logging.Logger | AirflowLogger
    _began: float | None = field(default=None, init=False)
    _told: int = field(default=logging.NOTSET, init=False)

    @property
    def seconds(self) -> float | None:
        """How long checks have been failing, None where the last one did not."""
        return None if self._began is None else time.monotonic() - self._began

    def answered(self) -> None:
        """Take note of a check that was answered."""
        count_check("answered")
        if (seconds := self.seconds) is not None:
            self.log.info("OceanBase Cloud answers again after %.0f s.", seconds)
            self._began, self._told = None, logging.NOTSET

    def failed(self, error: OceanBaseCloudError) -> None:
        """Take note of a check that failed and will be tried again; told once more only if it gets worse."""
        count_check("failed")
        if self._began is None:
            self._began = time.monotonic()
        level = logging.WARNING if error.transient else logging.ERROR
        if level > self._told:
            self._told = level
            text = "The check failed; the wait goes on, and the next line says when it works. %s"
            self.log.log(level, text, error)


def count_check(outcome: Literal["answered", "failed"]) -> None:
    """Count a check in Airflow's metrics."""
    Stats.incr(POLLS_METRIC, tags={"outcome": outcome})


@dataclass(slots=True)
class Wait(Generic[T]):
    """One wait: says of each outcome of a check whether to go on, and logs what changed.

    :param goal: what is waited for
    :param log: where changes are told
    :param first: whether the next check is the first of its task: then no error is waited out
    :param status: the last status that is known
    """

    goal: Goal[T]
    log: logging.Logger | AirflowLogger
    first: bool = True
    status: str | None = None
    #: Seconds for which the server asked, with its last answer, to be left alone.
    retry_after: float | None = field(default=None, init=False)
    #: How old the last answer was when it came: it may have been another's.
    age: float = field(default=0.0, init=False)
    _outage: Outage = field(init=False)

    def __post_init__(self) -> None:
        self._outage = Outage(self.log)

    def resumed(self, pace: Pace, began: float) -> None:
        """Tell what a wait that began elsewhere goes on with.

        :param began: when it began, in seconds since the epoch
        """
        self.log.info(
            "%s was last seen with %s. Waiting: a check every %g s%s, for %.0f s more at most.",
            self.goal.subject,
            self.status,
            pace.poke_interval,
            " at first" if pace.exponential_backoff else "",
            max(pace.timeout - _passed(began), 0.0),
        )

    def answered(self, data: T, request_id: str) -> BackupSet | None:
        """Judge an answer: the set that is waited for, None to wait on.

        :raises BackupSetFailedError: the backup failed
        """
        return self._judged(self.goal.judge(data, request_id), request_id)

    def _judged(self, verdict: Verdict, request_id: str | None) -> BackupSet | None:
        self._outage.answered()
        self.first = False
        self.retry_after = None
        if verdict.status != self.status:
            self.log.info("%s: %s (requestId %s).", self.goal.subject, verdict.status, request_id)
            self.status = verdict.status
            if verdict.warning:
                self.log.warning("%s", verdict.warning)
        if verdict.failure:
            raise verdict.failure
        return verdict.backup_set

    def failed(self, error: OceanBaseCloudError) -> None:
        """Judge a check that got no usable answer: return to wait on.

        :raises OceanBaseCloudError: the error, where waiting would not help, or where nothing worked before
        """
        if verdict := self.goal.judge_error(error):
            self._judged(verdict, error.request_id)
            return
        first, self.first = self.first, False
        if first or not error.transient:
            count_check("failed")
            raise error
        self.retry_after = error.retry_after
        self._outage.failed(error)

    def wants_fresh_connection(self, error: OceanBaseCloudError) -> bool:
        """Whether to read the connection afresh and check again."""
        return error.outdated and not self.first

    def pauses(self, pace: Pace, began: float, *, first_share: float) -> Iterator[tuple[float, float]]:
        """Yield the seconds to sleep before each check, until the time is over.

        Beside them stands the age in seconds up to which an answer to another wait will do.

        :param began: when the wait began, in seconds since the epoch
        :param first_share: how much of a whole pause comes before the first check: 0 to check at once
        """
        elapsed = _passed(began)
        since = time.monotonic() - elapsed
        interval = pace.pause(elapsed, seed=began)
        pause = interval * first_share
        while True:
            is_last = time.monotonic() - since + pause >= pace.timeout
            # What another has learned is not enough for the last word.
            yield pause, 0.0 if is_last else interval
            elapsed = time.monotonic() - since
            if is_last or elapsed > pace.timeout:
                return
            interval = pace.pause(elapsed, retry_after=self.retry_after, seed=began)
            pause = max(interval - self.age, 0.0)

    def timed_out(self, pace: Pace, began: float) -> str:
        """Return what to say when the time is over."""
        text = (
            f"Sensor has timed out; run duration of {_passed(began):.0f} seconds exceeds the "
            f"specified timeout of {pace.timeout:g}. {self.goal.subject} was last seen with {self.status}"
        )
        if (seconds := self._outage.seconds) is None:
            return f"{text}."
        return f"{text}; OceanBase Cloud has not answered for {seconds:.0f} s."


def _passed(began: float) -> float:
    # Where the clock has been set back, the wait begins now.
    return max(time.time() - began, 0.0)


def _backoff(poke_interval: float, elapsed: float, seed: str) -> float:
    base = max(poke_interval / 2, 1.0)
    passed, step = 0.0, 0
    while True:
        digest = hashlib.sha256(f"{seed}#{step}".encode()).digest()
        pause = base * 2.0**step * (1 + digest[0] / 256)
        passed += pause
        if passed > elapsed:
            return pause
        step += 1
