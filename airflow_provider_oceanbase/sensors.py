"""Sensors: BackupSetSensor, for a backup that is known by its ID, and BackupCheckpointSensor, for any."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.base_sensor import WaitSensor
from airflow_provider_oceanbase.statuses import FAILURE_STATUSES, SUCCESS_STATUSES
from airflow_provider_oceanbase.task_waits import DEFAULT_DEFERRABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_oceanbase.goals import BackupSetGoal, CheckpointGoal
    from airflow_provider_oceanbase.triggers import BackupCheckpointTrigger, BackupSetTrigger


class BackupSetSensor(WaitSensor):
    """Waits until a backup set is DONE; its XCom is the summary of the set.

    - A status in ``failure_statuses`` fails the task at once and for good
      (:class:`~airflow_provider_oceanbase.exceptions.BackupSetFailedError`); any other status, known or
      not, and a backup that is not registered yet are waited for.
    - If the first check of the task fails, after retries within about 30 seconds, so does the task: a wrong
      host or key shows at once.
    - Later, an outage (network, timeout, HTTP 408, 429 or 5xx, an answer that is not the documented JSON) is
      waited out; an answer that will not change (HTTP 401 or 403 with the connection read afresh, 404,
      ``success: false``) fails the task with an
      :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError`.

    The summary (:class:`~airflow_provider_oceanbase.backup_set.BackupSetSummary`) holds every scalar field
    of the set and ``tenantCount``. ``poke_interval`` and ``timeout`` are in seconds, or a ``timedelta``; the
    last check comes when ``timeout`` is over.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_task_id: ID of the backup task, such as ``bak-********`` (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    :param success_statuses: statuses that end the wait well; default DONE, which alone is documented by the
        vendor
    :param failure_statuses: statuses that end it with a failure; default FAILED, CANCELED and OVERDUE
    :param require_valid: fail, rather than warn, when a DONE set has a ``validity`` other than VALID; default
        False
    :param deferrable: wait in the triggerer, without a worker slot; the first check is the worker's. Default:
        ``[operators] default_deferrable`` of Airflow's configuration
    """

    template_fields: Sequence[str] = ("instance_id", "backup_task_id", "oceanbase_conn_id")

    def __init__(
        self,
        *,
        instance_id: str,
        backup_task_id: str,
        oceanbase_conn_id: str = "oceanbase_default",
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = False,
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instance_id=instance_id,
            oceanbase_conn_id=oceanbase_conn_id,
            success_statuses=success_statuses,
            failure_statuses=failure_statuses,
            deferrable=deferrable,
            **kwargs,
        )
        self.backup_task_id = backup_task_id
        self.require_valid = require_valid

    @property
    def _goal(self) -> BackupSetGoal:
        from airflow_provider_oceanbase.goals import BackupSetGoal

        return BackupSetGoal(
            instance_id=self.instance_id,
            backup_task_id=self.backup_task_id,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
        )

    @property
    def _backup_task(self) -> str:
        return self.backup_task_id

    @property
    def _trigger_class(self) -> type[BackupSetTrigger]:
        from airflow_provider_oceanbase.triggers import BackupSetTrigger

        return BackupSetTrigger


class BackupCheckpointSensor(WaitSensor):
    """Waits until an instance has a backup that reaches a point in time; its XCom is the summary of the set.

    For who does not know the backup task's ID: any set will do that is DONE and VALID, and whose
    ``checkpoint`` is at ``min_checkpoint`` or after it. The newest such set is accepted; its ``backupSetId``
    is taken to be the ID of its backup task (inferred: the vendor's examples have the same form).

    - Without ``tenants`` it has to be a set of the whole instance: one whose ``backupObjectType`` is
      TENANT, DATABASE or TABLE is passed over. With them, each has to be in it, DONE, VALID and with a
      checkpoint that is late enough; a backup of the one tenant that is named will do.
    - A backup that has failed is passed over, and told once, when it ended after ``min_checkpoint``; or
      fails the task at once and for good (``BackupSetFailedError``) with ``fail_on_failed_backup``.
    - All else, known or not, is waited for. First check, outages and refusals: as :class:`BackupSetSensor`.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param min_checkpoint: the earliest checkpoint that will do, such as ``{{ data_interval_end }}``: ISO 8601
        with a time zone, or a datetime (templated)
    :param tenants: names or IDs of tenants that have to be in the set; default: none, the whole instance
        (templated)
    :param backup_mode: the ``backupMode`` that the set has to have, such as ``PHYSICAL_BACKUP``; default: any
        (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param success_statuses: statuses of a set that is done; only DONE is documented by the vendor
    :param failure_statuses: statuses of a set that has failed
    :param require_valid: whether the set, and each tenant named, has to have the ``validity`` VALID
    :param fail_on_failed_backup: fail when a backup that ended after ``min_checkpoint`` has failed while none
        fits
    :param deferrable: as for :class:`BackupSetSensor`
    """

    template_fields: Sequence[str] = (
        "instance_id",
        "min_checkpoint",
        "tenants",
        "backup_mode",
        "oceanbase_conn_id",
    )

    def __init__(
        self,
        *,
        instance_id: str,
        min_checkpoint: str | datetime,
        tenants: Collection[str] = (),
        backup_mode: str | None = None,
        oceanbase_conn_id: str = "oceanbase_default",
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = True,
        fail_on_failed_backup: bool = False,
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instance_id=instance_id,
            oceanbase_conn_id=oceanbase_conn_id,
            success_statuses=success_statuses,
            failure_statuses=failure_statuses,
            deferrable=deferrable,
            **kwargs,
        )
        self.min_checkpoint = min_checkpoint
        self.tenants = tenants
        self.backup_mode = backup_mode
        self.require_valid = require_valid
        self.fail_on_failed_backup = fail_on_failed_backup

    @property
    def _goal(self) -> CheckpointGoal:
        from airflow_provider_oceanbase.goals import CheckpointGoal

        earliest = self.min_checkpoint
        return CheckpointGoal(
            instance_id=self.instance_id,
            min_checkpoint=earliest.isoformat() if isinstance(earliest, datetime) else earliest,
            tenants=self.tenants or (),
            backup_mode=self.backup_mode,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            fail_on_failed_backup=self.fail_on_failed_backup,
        )

    @property
    def _backup_task(self) -> str | None:
        return self._summary and self._summary["backupSetId"]

    @property
    def _trigger_class(self) -> type[BackupCheckpointTrigger]:
        from airflow_provider_oceanbase.triggers import BackupCheckpointTrigger

        return BackupCheckpointTrigger
