"""What a task can wait for, and whether an answer satisfies it: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from airflow_provider_oceanbase.cloud.arguments import checked_names, checked_text
from airflow_provider_oceanbase.cloud.backup_set import (
    VALID,
    backup_set_request,
    is_complete,
    tenants_of,
    time_of,
)
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK, BackupSetList, checked_time, day_of
from airflow_provider_oceanbase.cloud.query import T
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseNotFoundError,
    shown,
)
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, SUCCESS_STATUSES, is_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from dataclasses import Field

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, TenantBackupSet
    from airflow_provider_oceanbase.cloud.query import Query
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

#: Objects of a backup that holds a part of the instance. Source: "Start a backup" of the API reference.
_PARTS = frozenset({"TENANT", "DATABASE", "TABLE"})


class Verdict(NamedTuple):
    """What an answer means for a wait.

    :param status: what is known now, in words; logged when it changes
    :param backup_set: the set that satisfies the condition, None to keep waiting
    :param warning: what else to log then
    :param failure: why waiting would not help
    :param underway: the set that is being made, None if none is
    """

    status: str
    backup_set: BackupSet | None = None
    warning: str | None = None
    failure: BackupSetFailedError | None = None
    underway: BackupSet | None = None


_UNREGISTERED = Verdict("not registered yet")


class Condition(Protocol[T]):
    """What is waited for: a dataclass that can be made again from its fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    #: What the wait is still without, a phrase; empty: the status alone says it.
    missing: ClassVar[str]

    @property
    def name(self) -> str:
        """What the lines of the log begin with."""

    @property
    def details(self) -> str:
        """What else is given of what is waited for, in words."""

    @property
    def query(self) -> Query[T]:
        """What to request at each poll.

        :raises OceanBaseInputError: a field is unusable
        """

    def judge(self, data: T, request_id: str) -> Verdict:
        """Judge an answer."""

    def judge_error(self, error: OceanBaseCloudError) -> Verdict | None:
        """Judge a poll that failed; None if the error says nothing about the condition."""


@dataclass(frozen=True, slots=True)
class BackupSetCondition:
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
        return f"instance {self.instance_id!r}"

    @property
    def query(self) -> Query[BackupSet | None]:
        """What to request: the set."""
        return backup_set_request(self.instance_id, self.backup_task_id)

    def judge(self, backup_set: BackupSet | None, request_id: str) -> Verdict:
        """Judge the set as it is now; it is None if it is not registered yet."""
        if backup_set is None:
            return _UNREGISTERED
        status, validity = backup_set["status"], backup_set.get("validity")
        known = shown(status)
        if status in self.failure_statuses:
            return self._failed(f"ended with status {known}", backup_set, request_id)
        if status not in self.success_statuses:
            return Verdict(known, underway=backup_set)
        if self.require_valid and not validity:
            return Verdict(f"{known} without a validity", underway=backup_set)
        # Unlike is_complete(): this set was asked for by its ID, and the API may leave validity out.
        if validity in (None, VALID):
            return Verdict(known, backup_set)
        problem = f"is not {VALID}: {known}, validity {shown(validity)}"
        if self.require_valid:
            return self._failed(problem, backup_set, request_id)
        warning = f"{self.name} {problem} ({self.details}). Set require_valid=True to fail then."
        return Verdict(known, backup_set, warning)

    def judge_error(self, error: OceanBaseCloudError) -> Verdict | None:
        """Take "not found" for a set that is not registered yet, as long as that is possible."""
        if self.registered_by is None or not isinstance(error, OceanBaseNotFoundError):
            return None
        return _UNREGISTERED if datetime.now(UTC).timestamp() < self.registered_by else None

    def _failed(self, reason: str, backup_set: BackupSet, request_id: str) -> Verdict:
        error = _failure(reason, self.instance_id, self.backup_task_id, backup_set, request_id)
        return Verdict(shown(backup_set["status"]), failure=error)


@dataclass(frozen=True, slots=True)
class CheckpointCondition:
    """The instance has a complete backup set whose checkpoint is recent enough.

    :param instance_id: ID of the OceanBase cluster
    :param min_checkpoint: the earliest accepted checkpoint: ISO 8601, with a time zone
    :param tenants: names or IDs of tenants that the set must contain, each complete and recent enough itself;
        empty: it must be a set of the whole instance
    :param backup_mode: the ``backupMode`` that the set must have, None for any
    :param success_statuses: statuses of a complete set
    :param failure_statuses: statuses of a failed set
    :param require_valid: whether the set must be VALID
    :param fail_on_failed_backup: whether a failed backup that would have satisfied the condition ends the
        wait
    :raises OceanBaseInputError: ``tenants`` or ``backup_mode`` is unusable
    """

    missing: ClassVar[str] = "without a fresh backup"
    instance_id: str
    min_checkpoint: str
    tenants: Collection[str] = ()
    backup_mode: str | None = None
    success_statuses: Collection[str] = SUCCESS_STATUSES
    failure_statuses: Collection[str] = FAILURE_STATUSES
    require_valid: bool = True
    fail_on_failed_backup: bool = False

    def __post_init__(self) -> None:
        tenants = [] if is_left_out(self.tenants) else checked_names("tenants", self.tenants)
        object.__setattr__(self, "tenants", tenants)
        if self.backup_mode is not None:
            mode = checked_text("backup_mode", self.backup_mode, "backup mode")
            object.__setattr__(self, "backup_mode", mode)

    @property
    def name(self) -> str:
        """The instance."""
        return shown(str(self.instance_id))

    @property
    def details(self) -> str:
        """The checkpoint."""
        return f"wanted: a checkpoint from {self.min_checkpoint} on"

    @property
    def query(self) -> Query[list[BackupSet]]:
        """What to request: the sets of some days before the checkpoint.

        Whole days, so that waits for the same night send equal queries.

        :raises OceanBaseInputError: ``min_checkpoint`` is unusable
        """
        return BackupSetList(self.instance_id, start_time=day_of(self._earliest - LOOKBACK))

    def judge(self, backup_sets: list[BackupSet], request_id: str) -> Verdict:
        """Judge the sets that the instance has."""
        candidates = [one for one in backup_sets if self.backup_mode in (None, one.get("backupMode"))]
        if fitting := [one for one in candidates if self._fits(one)]:
            best = max(fitting, key=lambda one: (_time(one, "checkpoint"), _time(one, "startTime")))
            return Verdict(f"accepted {shown(best['backupSetId'])}, {shown(best['status'])}", best)
        if not candidates:
            return Verdict("no backup set")
        newest = max(candidates, key=_started)
        known = f"newest backup {_described(newest)}"
        final = {*self.success_statuses, *self.failure_statuses}
        underway = None if newest["status"] in final else newest
        failures = [one for one in candidates if self._has_failed(one)]
        own = [one for one in failures if self._would_have_fitted(one)]
        failed = max(own or failures, key=_started, default=None)
        if failed is None:
            return Verdict(known, underway=underway)
        if failed is not newest:
            known = f"{known}, and {_described(failed)}"
        if self.fail_on_failed_backup and own:
            reason = f"ended with status {shown(failed['status'])}, and no other is recent enough"
            name = shown(failed["backupSetId"])
            return Verdict(known, failure=_failure(reason, self.instance_id, name, failed, request_id))
        warning = f"A backup failed; still waiting: {_described(failed)}, instance {self.instance_id!r}."
        return Verdict(known, warning=warning, underway=underway)

    def judge_error(self, error: OceanBaseCloudError) -> Verdict | None:
        """Judge no error: it says nothing about the sets."""
        return None

    @property
    def _earliest(self) -> datetime:
        return checked_time("min_checkpoint", self.min_checkpoint)

    def _fits(self, backup_set: BackupSet) -> bool:
        return self._is_recent_enough(backup_set) and self._holds(backup_set, self._is_recent_enough)

    def _would_have_fitted(self, backup_set: BackupSet) -> bool:
        """Return whether a failed set would have satisfied the condition: False also if that is not known.

        A set is known to reach the checkpoint if it began after it, or says so.
        """
        reached = max(_time(backup_set, "checkpoint"), _time(backup_set, "startTime"))
        known = bool(_kind(backup_set)) and reached >= self._earliest
        return known and self._holds(backup_set, lambda _: True)

    def _holds(self, backup_set: BackupSet, accepts: Callable[[TenantBackupSet], bool]) -> bool:
        """Return whether a set holds what is wanted: the whole instance, or tenants, each accepted."""
        if not self.tenants:
            return _kind(backup_set) not in _PARTS
        # A set of a single tenant has no list.
        inside: list[TenantBackupSet] = [*tenants_of(backup_set)]
        if _kind(backup_set) == "TENANT":
            inside.append(backup_set)
        covered = set[str]().union(*(_names(tenant) for tenant in inside if accepts(tenant)))
        return _kind(backup_set) not in _PARTS - {"TENANT"} and covered.issuperset(self.tenants)

    def _is_recent_enough(self, backup_set: TenantBackupSet) -> bool:
        complete = is_complete(backup_set, self.success_statuses, require_valid=self.require_valid)
        return complete and _time(backup_set, "checkpoint") >= self._earliest

    def _has_failed(self, backup_set: BackupSet) -> bool:
        ended = max(_time(backup_set, "endTime"), _time(backup_set, "startTime"))
        return backup_set["status"] in self.failure_statuses and ended >= self._earliest


def _failure(
    reason: str, instance_id: str, backup_task_id: str, backup_set: BackupSet, request_id: str
) -> BackupSetFailedError:
    return BackupSetFailedError(
        reason,
        instance_id=instance_id,
        backup_task_id=backup_task_id,
        status=backup_set["status"],
        validity=backup_set.get("validity"),
        request_id=request_id,
    )


def _kind(backup_set: TenantBackupSet) -> str:
    """Return the object of a backup in capitals, an empty text if it is not known."""
    kind = backup_set.get("backupObjectType")
    return kind.strip().upper() if isinstance(kind, str) else ""


def _names(tenant: TenantBackupSet) -> set[str]:
    return {name for name in (tenant.get("tenantName"), tenant.get("tenantId")) if isinstance(name, str)}


def _described(backup_set: BackupSet) -> str:
    known = [backup_set["status"], backup_set.get("validity")]
    if (checkpoint := backup_set.get("checkpoint")) is not None:
        known.append(f"checkpoint {checkpoint}")
    return f"{shown(backup_set['backupSetId'])} ({', '.join(shown(str(one)) for one in known if one)})"


def _started(backup_set: BackupSet) -> datetime:
    return _time(backup_set, "startTime")


def _time(backup_set: TenantBackupSet, name: Literal["checkpoint", "startTime", "endTime"]) -> datetime:
    """Return a time of a set; one before all others if it is missing or unreadable."""
    return time_of(backup_set, name) or datetime.min.replace(tzinfo=UTC)
