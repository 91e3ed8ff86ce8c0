"""The condition that one backup set is complete, and what others share with it: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.backup_set import (
    VALID,
    backup_set_request,
    summary,
)
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.waiting.advice import STUCK
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, SUCCESS_STATUSES
from airflow_provider_oceanbase.waiting.lacks import status_lack, validity_lack
from airflow_provider_oceanbase.waiting.progress import described
from airflow_provider_oceanbase.waiting.verdict import Notice, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.cloud.query import Query
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError


_UNREGISTERED = Verdict("not registered yet")


class OfBackupSet:
    """A condition that a backup set satisfies."""

    __slots__ = ()
    stuck: ClassVar[str] = STUCK

    def summary(self, found: BackupSet) -> dict[str, Any]:
        """Return the summary of the set."""
        return dict(summary(found))

    def described(self, found: BackupSet) -> str:
        """Return what is known of the set."""
        return described(found)


@dataclass(frozen=True, slots=True)
class BackupSetCondition(OfBackupSet):
    """One backup set, known by its ID, is complete.

    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task
    :param success_statuses: statuses of a complete set
    :param failure_statuses: statuses that end the wait with ``BackupSetFailedError``
    :param require_valid: whether a complete set must be VALID: with another validity it counts as failed,
        without one as not complete yet
    :param registered_by: until when "not found" means "not registered yet", in seconds since the epoch; None:
        it never does
    """

    missing: ClassVar[str] = ""
    instance_id: str
    backup_task_id: str
    success_statuses: Collection[str] = SUCCESS_STATUSES
    failure_statuses: Collection[str] = FAILURE_STATUSES
    require_valid: bool = False
    registered_by: float | None = None

    @property
    def name(self) -> str:
        """The backup task."""
        return shown(str(self.backup_task_id))

    @property
    def details(self) -> str:
        """The instance."""
        return f"instance {shown(str(self.instance_id))!r}"

    @property
    def query(self) -> Query[BackupSet | None]:
        """What to request: the set."""
        return backup_set_request(self.instance_id, self.backup_task_id)

    def judge(self, backup_set: BackupSet | None, request_id: str) -> Verdict:
        """Judge the set as it is now; it is None if it is not registered yet."""
        if backup_set is None:
            return _UNREGISTERED if self._may_be_unregistered else self._missing()
        status, validity = backup_set["status"], backup_set.get("validity")
        known = shown(status)
        if status in self.failure_statuses:
            return self._failed(f"ended with status {known}", backup_set, request_id)
        if lack := status_lack(backup_set, self.success_statuses, self.failure_statuses):
            # A status that is known needs no remedy.
            notices = [lack.notice(self._about)] if lack.remedy else []
            return Verdict(known, notices=notices, underway=backup_set)
        if self.require_valid and not validity and (lack := validity_lack(backup_set)):
            notices = [lack.notice(self._about)]
            return Verdict(f"{known} without a validity", notices=notices, underway=backup_set)
        # Unlike a set of a list: this one was asked for by its ID, and the API may leave validity out.
        if validity in (None, VALID):
            return Verdict(known, backup_set)
        problem = f"is not {VALID}: {known}, validity {shown(validity)}"
        if self.require_valid:
            return self._failed(problem, backup_set, request_id)
        text = f"{self.name} {problem} ({self.details}). Set require_valid=True to fail then."
        return Verdict(known, backup_set, [Notice("validity", text)])

    def judge_error(self, error: OceanBaseCloudError, status: str | None) -> Verdict | None:
        """Take "not found" for a set that is not registered yet, as long as that is possible.

        What an unknown ID gets is not documented: a refusal may mean the same, until the set was seen.
        """
        if not self._may_be_unregistered:
            return None
        if isinstance(error, OceanBaseNotFoundError):
            return _UNREGISTERED
        if not isinstance(error, OceanBaseRefusedError) or error.status_code not in (200, 400):
            return None
        # Without an errorCode it is not the API's own, but a proxy's.
        if not error.error_code or status not in (None, _UNREGISTERED.status):
            return None
        text = f"Refused, which may mean not registered yet: {self._about} keeps waiting for now. {error}"
        return _UNREGISTERED._replace(notices=[Notice("refused", text)])

    @property
    def _about(self) -> str:
        return f"backup task {shown(str(self.backup_task_id))!r} of {self.details}"

    @property
    def _may_be_unregistered(self) -> bool:
        return self.registered_by is not None and datetime.now(UTC).timestamp() < self.registered_by

    def _missing(self) -> Verdict:
        text = (
            f"No data even after registration_timeout: {self._about} keeps waiting. OceanBase Cloud "
            "may answer so for a wrong ID: check the backup task ID and the instance ID."
        )
        return _UNREGISTERED._replace(notices=[Notice("missing", text)])

    def _failed(self, reason: str, backup_set: BackupSet, request_id: str) -> Verdict:
        error = failure(reason, self.instance_id, self.backup_task_id, backup_set, request_id)
        return Verdict(shown(backup_set["status"]), failure=error)


def failure(
    reason: str, instance_id: str, backup_task_id: str, backup_set: BackupSet, request_id: str
) -> BackupSetFailedError:
    """Return the error of a wait that a failed set ends.

    :param reason: what became of the set, a clause
    """
    return BackupSetFailedError(
        reason,
        instance_id=instance_id,
        backup_task_id=backup_task_id,
        status=backup_set["status"],
        validity=backup_set.get("validity"),
        request_id=request_id,
    )
