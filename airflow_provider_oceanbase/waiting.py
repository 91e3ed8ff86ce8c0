"""The rule by which to wait for a backup set: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so that they cannot disagree.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    shown,
)
from airflow_provider_oceanbase.statuses import FAILURE_STATUSES, SUCCESS_STATUSES

if TYPE_CHECKING:
    from collections.abc import Collection
    from logging import Logger

    from airflow.sdk.types import Logger as AirflowLogger

    from airflow_provider_oceanbase.backup_set import BackupSet

VALID = "VALID"
#: Counter of Airflow's metrics: checks, each tagged with its ``outcome``, ``answered`` or ``failed``.
POLLS_METRIC = "oceanbase.backup_set.polls"
#: Timer of Airflow's metrics: from the beginning of a wait until the backup set was seen done.
WAIT_METRIC = "oceanbase.backup_set.wait_duration"


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """What a wait waits for, how often it checks, and for how long.

    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task
    :param success_statuses: statuses that end the wait well
    :param failure_statuses: statuses that end it with ``BackupSetFailedError``
    :param require_valid: whether a set that is not VALID counts as failed
    :param poke_interval: seconds between two checks
    :param exponential_backoff: whether the pause between checks grows
    :param max_wait: longest pause in seconds that it may grow to, None for no limit
    :param timeout: seconds that the wait may take in all
    """

    instance_id: str
    backup_task_id: str
    success_statuses: Collection[str] = SUCCESS_STATUSES
    failure_statuses: Collection[str] = FAILURE_STATUSES
    require_valid: bool = False
    poke_interval: float = 60.0
    exponential_backoff: bool = False
    max_wait: float | None = None
    timeout: float = 604800.0

    @property
    def subject(self) -> str:
        """What is waited for, in words."""
        return f"Backup task {self.backup_task_id!r} of instance {self.instance_id!r}"

    def pause(self, elapsed: float, *, retry_after: float | None = None, seed: object = "") -> float:
        """Return the seconds until the next check; the last one comes when the timeout is over.

        With ``exponential_backoff`` the pause lies between half of ``poke_interval`` and the whole at first,
        and doubles from check to check. It follows from the time that has passed alone, so that nothing has
        to be remembered across a reschedule, a retry or a restart.

        :param elapsed: seconds since the wait began
        :param retry_after: seconds that the server asked for; they can only lengthen the pause
        :param seed: what tells this wait from others for the same set, so that they do not check in step
        """
        pause = self.poke_interval
        if self.exponential_backoff:
            pause = _backoff(pause, elapsed, f"{self.instance_id}#{self.backup_task_id}#{seed}")
            if self.max_wait is not None:
                pause = min(pause, self.max_wait)
        return min(max(pause, retry_after or 0.0), max(self.timeout - elapsed, 0.0))


@dataclass(slots=True)
class BackupSetWait:
    """One wait for one backup set: says of each outcome of a check whether to go on, and logs what changed.

    :param plan: what is waited for
    :param log: where changes are told
    :param first: whether the next check is the first of its task: then no error is waited out
    :param status: the last status that is known
    """

    plan: WaitPlan
    log: Logger | AirflowLogger
    first: bool = True
    status: str | None = None
    #: Seconds for which the server asked, with its last answer, to be left alone.
    retry_after: float | None = field(default=None, init=False)
    _outage_began: float | None = field(default=None, init=False)

    def answered(self, backup_set: BackupSet | None, request_id: str) -> BackupSet | None:
        """Judge an answer: the set when it is done, None to wait on.

        :raises BackupSetFailedError: the backup failed
        """
        Stats.incr(POLLS_METRIC, tags={"outcome": "answered"})
        self.first = False
        self.retry_after = None
        if self._outage_began is not None:
            self.log.info(
                "OceanBase Cloud answers again after %.0f s.", time.monotonic() - self._outage_began
            )
            self._outage_began = None
        status = shown(backup_set["status"]) if backup_set else "not registered yet"
        if status != self.status:
            self.log.info("%s: status %s (requestId %s).", self.plan.subject, status, request_id)
            self.status = status
        if backup_set is None:
            return None
        return backup_set if self._is_done(backup_set, request_id) else None

    def failed(self, error: OceanBaseCloudError) -> None:
        """Judge a check that got no usable answer: return to wait on.

        :raises OceanBaseCloudError: the error, where waiting would not help, or where nothing worked before
        """
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

    def timed_out(self, elapsed: float) -> str:
        """Return what to say when the time is over."""
        text = (
            f"Sensor has timed out; run duration of {elapsed:.0f} seconds exceeds the specified timeout of "
            f"{self.plan.timeout:g}. {self.plan.subject} was last seen with status {self.status}"
        )
        if self._outage_began is None:
            return f"{text}."
        return f"{text}; OceanBase Cloud has not answered for {time.monotonic() - self._outage_began:.0f} s."

    def _is_done(self, backup_set: BackupSet, request_id: str) -> bool:
        status, validity = backup_set["status"], backup_set.get("validity")
        if status in self.plan.failure_statuses:
            raise self._failure(f"ended with status {shown(status)}", backup_set, request_id)
        if status not in self.plan.success_statuses:
            return False
        if validity not in (None, VALID):
            problem = f"is {status}, but its validity is {shown(validity)}, not {VALID}"
            if self.plan.require_valid:
                raise self._failure(problem, backup_set, request_id)
            self.log.warning("%s %s. Set require_valid=True to fail then.", self.plan.subject, problem)
        return True

    def _failure(self, reason: str, backup_set: BackupSet, request_id: str) -> BackupSetFailedError:
        return BackupSetFailedError(
            reason,
            instance_id=self.plan.instance_id,
            backup_task_id=self.plan.backup_task_id,
            status=backup_set["status"],
            validity=backup_set.get("validity"),
            request_id=request_id,
        )


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
