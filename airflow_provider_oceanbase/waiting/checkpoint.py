"""The condition that an instance has a recent enough backup: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.arguments import checked_names, checked_text
from airflow_provider_oceanbase.cloud.backup_set import CLOCKS_DIFFER, kind_of, time_or_never
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK, BackupSetList, checked_time, day_of
from airflow_provider_oceanbase.exceptions import OceanBaseMalformedResponseError
from airflow_provider_oceanbase.waiting.advice import LOCAL_TIMES, WRONG_ID
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, SUCCESS_STATUSES, is_left_out
from airflow_provider_oceanbase.waiting.conditions import OfBackupSet, failure
from airflow_provider_oceanbase.waiting.lacks import Demands
from airflow_provider_oceanbase.waiting.verdict import Notice, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.cloud.query import Query
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError


@dataclass(frozen=True, slots=True)
class CheckpointCondition(OfBackupSet):
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
        demands = self._demands
        if fitting := [one for one in backup_sets if demands.accepts(one)]:
            best = max(fitting, key=lambda one: (time_or_never(one, "checkpoint"), _started(one)))
            if time_or_never(best, "checkpoint") > datetime.now(UTC) + CLOCKS_DIFFER:
                return self._untimely(best, request_id)
            return Verdict(f"accepted {shown(best['backupSetId'])}, {shown(best['status'])}", best)
        if not backup_sets:
            return self._nothing()
        misses = demands.near_misses(backup_sets)
        notices = [miss.notice(f"instance {self.instance_id!r}, {self.details}") for miss in misses]
        closest = "".join(f", but {miss.verdict}" for miss in misses[:1])
        candidates = [one for one in backup_sets if self.backup_mode in (None, one.get("backupMode"))]
        if not candidates:
            return Verdict(f"no backup set{closest}", notices=notices)
        newest = max(candidates, key=_started)
        known = f"newest backup {_described(newest)}{closest}"
        final = {*self.success_statuses, *self.failure_statuses}
        underway = None if newest["status"] in final else newest
        failures = [one for one in candidates if self._has_failed(one)]
        own = [one for one in failures if self._would_have_fitted(one, demands)]
        failed = max(own or failures, key=_started, default=None)
        if failed is None:
            return Verdict(known, notices=notices, underway=underway)
        if failed is not newest:
            known = f"{known}, and {_described(failed)}"
        if self.fail_on_failed_backup and own:
            reason = f"ended with status {shown(failed['status'])}, and no other is recent enough"
            name = shown(failed["backupSetId"])
            return Verdict(known, failure=failure(reason, self.instance_id, name, failed, request_id))
        text = f"A backup failed; still waiting: {_described(failed)}, instance {self.instance_id!r}."
        failed_notice = Notice(f"failed {failed['backupSetId']}", text)
        return Verdict(known, notices=[failed_notice, *notices], underway=underway)

    def judge_error(self, error: OceanBaseCloudError, status: str | None) -> Verdict | None:
        """Judge no error: it says nothing about the sets."""
        return None

    def _untimely(self, backup_set: BackupSet, request_id: str) -> Verdict:
        """Give up: a local time that counts as UTC makes old backups recent ones, and not only this one."""
        name, checkpoint = shown(backup_set["backupSetId"]), shown(str(backup_set.get("checkpoint")))
        hint = f"{LOCAL_TIMES} To wait for a backup by its ID, use BackupSetSensor."
        what = f"Checkpoint in the future ({checkpoint}, backup set {name!r})"
        subject = f"the backup sets of instance {self.name!r}"
        error = OceanBaseMalformedResponseError(what, subject=subject, request_id=request_id, hint=hint)
        return Verdict(f"{name} with a checkpoint in the future", failure=error)

    def _nothing(self) -> Verdict:
        text = (
            f"No backup sets in the list since {day_of(self._earliest - LOOKBACK)}: instance {self.name!r} "
            f"keeps waiting. {WRONG_ID}"
        )
        return Verdict("no backup set", notices=[Notice("empty", text)])

    @property
    def _earliest(self) -> datetime:
        return checked_time("min_checkpoint", self.min_checkpoint)

    @property
    def _demands(self) -> Demands:
        return Demands(
            self._earliest,
            self.tenants,
            self.backup_mode,
            self.success_statuses,
            self.failure_statuses,
            self.require_valid,
        )

    def _would_have_fitted(self, backup_set: BackupSet, demands: Demands) -> bool:
        """Return whether a failed set would have satisfied the condition: False also if that is not known.

        A set is known to reach the checkpoint if it began after it, or says so.
        """
        reached = max(time_or_never(backup_set, "checkpoint"), _started(backup_set))
        known = bool(kind_of(backup_set)) and reached >= demands.earliest
        return known and not demands.lacks_of_scope(backup_set)

    def _has_failed(self, backup_set: BackupSet) -> bool:
        ended = max(time_or_never(backup_set, "endTime"), _started(backup_set))
        return backup_set["status"] in self.failure_statuses and ended >= self._earliest


def _described(backup_set: BackupSet) -> str:
    known = [backup_set["status"], backup_set.get("validity")]
    if (checkpoint := backup_set.get("checkpoint")) is not None:
        known.append(f"checkpoint {checkpoint}")
    return f"{shown(backup_set['backupSetId'])} ({', '.join(shown(str(one)) for one in known if one)})"


def _started(backup_set: BackupSet) -> datetime:
    return time_or_never(backup_set, "startTime")
