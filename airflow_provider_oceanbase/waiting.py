"""The rule by which to wait for a backup set: plain code without I/O.

Poke, reschedule and deferrable mode all decide here, so that they cannot disagree.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from logging import Logger

    from airflow.sdk.types import Logger as AirflowLogger

    from airflow_provider_oceanbase.backup_set import BackupSet

#: The one status that the vendor documents for this endpoint.
SUCCESS_STATUSES = ("DONE",)
#: Final failures in the vendor's sister APIs; whether this endpoint uses the same words is inferred.
FAILURE_STATUSES = ("FAILED", "CANCELED", "OVERDUE")
VALID = "VALID"


@dataclass
class BackupSetWait:
    """One wait for one backup set: says of each outcome of a check whether to go on, and logs what changed.

    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task
    :param log: where changes are told
    :param success_statuses: statuses that end the wait well
    :param failure_statuses: statuses that end it with ``BackupSetFailedError``
    :param require_valid: whether a set that is not VALID counts as failed
    :param first: whether the next check is the first of its task: then no error is waited out
    """

    instance_id: str
    backup_task_id: str
    log: Logger | AirflowLogger
    success_statuses: Collection[str] = SUCCESS_STATUSES
    failure_statuses: Collection[str] = FAILURE_STATUSES
    require_valid: bool = False
    first: bool = True
    #: Seconds for which the server asked, with its last answer, to be left alone.
    retry_after: float | None = field(default=None, init=False)
    _status: str | None = field(default=None, init=False)
    _outage_began: float | None = field(default=None, init=False)

    def answered(self, backup_set: BackupSet | None, request_id: str) -> BackupSet | None:
        """Judge an answer: the set when it is done, None to wait on.

        :raises BackupSetFailedError: the backup failed
        """
        self.first = False
        self.retry_after = None
        if self._outage_began is not None:
            self.log.info(
                "OceanBase Cloud answers again after %.0f s.", time.monotonic() - self._outage_began
            )
            self._outage_began = None
        status = backup_set["status"] if backup_set else "not registered yet"
        if status != self._status:
            self.log.info("%s: status %s (requestId %s).", self._subject, shown(status), request_id)
            self._status = status
        if backup_set is None:
            return None
        return backup_set if self._is_done(backup_set, request_id) else None

    def failed(self, error: OceanBaseCloudError) -> None:
        """Judge a check that got no usable answer: return to wait on.

        :raises OceanBaseCloudError: the error, where waiting would not help, or where nothing worked before
        """
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

    @property
    def _subject(self) -> str:
        return f"Backup task {self.backup_task_id!r} of instance {self.instance_id!r}"

    def _is_done(self, backup_set: BackupSet, request_id: str) -> bool:
        status, validity = backup_set["status"], backup_set.get("validity")
        if status in self.failure_statuses:
            raise self._failure(f"ended with status {shown(status)}", backup_set, request_id)
        if status not in self.success_statuses:
            return False
        if validity not in (None, VALID):
            problem = f"is {status}, but its validity is {shown(validity)}, not {VALID}"
            if self.require_valid:
                raise self._failure(problem, backup_set, request_id)
            self.log.warning("%s %s. Set require_valid=True to fail then.", self._subject, problem)
        return True

    def _failure(self, reason: str, backup_set: BackupSet, request_id: str) -> BackupSetFailedError:
        return BackupSetFailedError(
            reason,
            instance_id=self.instance_id,
            backup_task_id=self.backup_task_id,
            status=backup_set["status"],
            validity=backup_set.get("validity"),
            request_id=request_id,
        )


def next_pause(
    *,
    poke_interval: float,
    exponential_backoff: bool,
    max_wait: float | None,
    elapsed: float,
    timeout: float,
    retry_after: float | None = None,
    seed: str = "",
) -> float:
    """Return the seconds until the next check; the last one comes when the timeout is over.

    With ``exponential_backoff`` the pause lies between half of ``poke_interval`` and the whole at first, and
    doubles from check to check. It follows from the time that has passed alone, so that nothing has to be
    remembered across a reschedule, a retry or a restart.

    :param max_wait: longest pause in seconds that ``exponential_backoff`` may reach, None for no limit
    :param elapsed: seconds since the wait began
    :param timeout: seconds that the wait may take in all
    :param retry_after: seconds that the server asked for; they can only lengthen the pause
    :param seed: what tells this wait from others, so that they do not check in step
    """
    pause = poke_interval
    if exponential_backoff:
        pause = _backoff(poke_interval, elapsed, seed)
        if max_wait is not None:
            pause = min(pause, max_wait)
    return min(max(pause, retry_after or 0.0), max(timeout - elapsed, 0.0))


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
