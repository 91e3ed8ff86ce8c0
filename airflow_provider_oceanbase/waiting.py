"""The rule by which to wait, whatever for: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so that they cannot disagree.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_oceanbase.api import T
from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError, OceanBaseCloudError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import Logger

    from airflow.sdk.types import Logger as AirflowLogger

    from airflow_provider_oceanbase.backup_set import BackupSet
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
class Wait(Generic[T]):
    """One wait: says of each outcome of a check whether to go on, and logs what changed.

    :param goal: what is waited for
    :param log: where changes are told
    :param first: whether the next check is the first of its task: then no error is waited out
    :param status: the last status that is known
    """

    goal: Goal[T]
    log: Logger | AirflowLogger
    first: bool = True
    status: str | None = None
    #: Seconds for which the server asked, with its last answer, to be left alone.
    retry_after: float | None = field(default=None, init=False)
    _outage_began: float | None = field(default=None, init=False)

    def answered(self, data: T, request_id: str) -> BackupSet | None:
        """Judge an answer: the set that is waited for, None to wait on.

        :raises BackupSetFailedError: the backup failed
        """
        return self._judged(self.goal.judge(data, request_id), request_id)

    def _judged(self, verdict: Verdict, request_id: str | None) -> BackupSet | None:
        Stats.incr(POLLS_METRIC, tags={"outcome": "answered"})
        self.first = False
        self.retry_after = None
        if self._outage_began is not None:
            self.log.info(
                "OceanBase Cloud answers again after %.0f s.", time.monotonic() - self._outage_began
            )
            self._outage_began = None
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
        Stats.incr(POLLS_METRIC, tags={"outcome": "failed"})
        first, self.first = self.first, False
        if first or not error.transient:
            raise error
        self.retry_after = error.retry_after
        if self._outage_began is None:
            self._outage_began = time.monotonic()
            self.log.warning(
                "The check failed; the wait goes on, and the next line says when it works. %s", error
            )

    def wants_fresh_connection(self, error: OceanBaseCloudError) -> bool:
        """Whether to read the connection afresh and check again: the AccessKey may have been rotated."""
        return isinstance(error, OceanBaseAuthenticationError) and not self.first

    def pauses(self, pace: Pace, began: float, *, first_share: float) -> Iterator[float]:
        """Yield the seconds to sleep before each check, until the time is over.

        :param began: when the wait began, in seconds since the epoch
        :param first_share: how much of a whole pause comes before the first check: 0 to check at once
        """
        # Where the clock has been set back, the wait begins now.
        elapsed = max(time.time() - began, 0.0)
        since = time.monotonic() - elapsed
        pause = pace.pause(elapsed, seed=began) * first_share
        while True:
            is_last = time.monotonic() - since + pause >= pace.timeout
            yield pause
            elapsed = time.monotonic() - since
            if is_last or elapsed > pace.timeout:
                return
            pause = pace.pause(elapsed, retry_after=self.retry_after, seed=began)

    def timed_out(self, pace: Pace, began: float) -> str:
        """Return what to say when the time is over."""
        text = (
            f"Sensor has timed out; run duration of {max(time.time() - began, 0.0):.0f} seconds exceeds the "
            f"specified timeout of {pace.timeout:g}. {self.goal.subject} was last seen with {self.status}"
        )
        if self._outage_began is None:
            return f"{text}."
        return f"{text}; OceanBase Cloud has not answered for {time.monotonic() - self._outage_began:.0f} s."


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
