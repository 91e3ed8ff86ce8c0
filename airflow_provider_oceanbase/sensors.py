"""Sensors: BackupSetSensor waits for a backup set by its ID, BackupCheckpointSensor for any recent one.

RestorablePointSensor waits until tenants can be restored to a point in time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.waiting.arguments import (
    DEFAULT_DEFERRABLE,
    FAILURE_STATUSES,
    SUCCESS_STATUSES,
    given,
    seconds,
)
from airflow_provider_oceanbase.waiting.backup_set_sensor import WaitForBackupSet
from airflow_provider_oceanbase.waiting.sensor import WaitSensor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_oceanbase.triggers import (
        BackupCheckpointTrigger,
        BackupSetTrigger,
        RestorablePointTrigger,
    )
    from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
    from airflow_provider_oceanbase.waiting.restorable import RestorableCondition


class BackupSetSensor(WaitForBackupSet):
    """Waits until a backup set is DONE; its XCom is the summary of the set.

    - A status in ``failure_statuses`` fails the task at once and without a retry
      (:class:`~airflow_provider_oceanbase.exceptions.BackupSetFailedError`). With any other status, known or
      not, and for a backup that is not registered yet, the task keeps waiting. A status that is in no list of
      known words is logged as a warning.
    - If the first poll of the task fails, after retries within about 30 seconds, so does the task: a wrong
      key or an unknown host shows at once. Only HTTP 404, and HTTP 400 and ``success: false`` of the API,
      mean "not registered yet" for ``registration_timeout``: a backup that has just been started may be
      unknown for a moment.
    - Later, an outage (network, timeout, HTTP 408, 429 or 5xx, a response that is not the documented JSON) is
      waited out. A response that will not change (404, ``success: false``, or HTTP 401 or 403 after the
      connection was read again) fails the task with an
      :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError`.

    The summary (:class:`~airflow_provider_oceanbase.cloud.backup_set.BackupSetSummary`) holds every scalar
    field of the set and ``tenantCount``. ``poke_interval``, ``timeout`` and ``max_wait`` are in seconds, or a
    ``timedelta``; more than five years count as five years. A wait sends at most some ten polls a second,
    also with ``poke_interval=0``. The last poll comes when ``timeout`` is over, and counts.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_task_id: ID of the backup task, such as ``bak-********`` (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    :param success_statuses: statuses of a complete set; default DONE, the only one that the vendor documents
    :param failure_statuses: statuses of a failed set; default FAILED, CANCELED and OVERDUE
    :param require_valid: require the ``validity`` VALID: fail, rather than warn, when a complete set has
        another, and keep waiting while it has none; default False
    :param registration_timeout: seconds from the beginning of the wait, or a timedelta, in which HTTP 404,
        and HTTP 400 and ``success: false`` of the API, mean "not registered yet"; default 2 minutes. After
        it, and with 0 at once, they fail the task
    :param deferrable: wait in the triggerer, without a worker slot; the worker makes the first poll. Default:
        ``[operators] default_deferrable`` of Airflow's configuration
    :param start_from_trigger: with ``deferrable`` on Airflow 3.3 and newer, also begin the wait in the
        triggerer, which makes the first poll: pools do not hold it back, and ``on_execute_callback`` is
        called only when a worker resumes the task. A mapped task, one whose templates only a worker can
        render (``ti.xcom_pull``, the output of another task) and any on an earlier Airflow begin in a worker,
        and log why. Default False
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
        registration_timeout: float | timedelta = timedelta(minutes=2),
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instance_id=instance_id,
            oceanbase_conn_id=oceanbase_conn_id,
            success_statuses=success_statuses,
            failure_statuses=failure_statuses,
            require_valid=require_valid,
            deferrable=deferrable,
            **kwargs,
        )
        self.backup_task_id = backup_task_id
        self.registration_timeout = seconds("registration_timeout", registration_timeout)

    @property
    def _condition(self) -> BackupSetCondition:
        from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

        return BackupSetCondition(
            instance_id=self.instance_id,
            backup_task_id=self.backup_task_id,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            registered_by=self._began + self._moments["registered_by"],
        )

    @property
    def _moments(self) -> dict[str, float]:
        return {"registered_by": self.registration_timeout}

    @property
    def _backup_task(self) -> str:
        return self.backup_task_id

    @property
    def _trigger_class(self) -> type[BackupSetTrigger]:
        from airflow_provider_oceanbase.triggers import BackupSetTrigger

        return BackupSetTrigger


class BackupCheckpointSensor(WaitForBackupSet):
    """Waits until an instance has a backup that reaches a point in time; its XCom is the summary of the set.

    Use it when the ID of the backup task is not known. It accepts the newest backup set that is DONE and
    VALID, and whose ``checkpoint`` is not before ``min_checkpoint``. The set's ``backupSetId`` is taken to be
    the ID of its backup task (inferred: the vendor's examples have the same form).

    - Without ``tenants`` it must be a set of the whole instance: one whose ``backupObjectType`` is CLUSTER.
      With ``tenants`` the set must contain each of them, DONE, VALID and with a recent enough checkpoint. A
      backup of the only tenant that is named is accepted.
    - A checkpoint that is more than five minutes ahead ends the wait (``OceanBaseMalformedResponseError``).
    - A failed backup that ended after ``min_checkpoint`` is passed over, and logged once. With
      ``fail_on_failed_backup`` it fails the task at once and without a retry (``BackupSetFailedError``), if
      it would certainly have been accepted had it succeeded.
    - Otherwise the task keeps waiting. A set that lacks little, such as a known status or a ``validity``, is
      named in a warning, once for each kind of lack. For the first poll, outages and refusals see
      :class:`BackupSetSensor`.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param min_checkpoint: the earliest accepted checkpoint, such as ``{{ data_interval_end }}``: ISO 8601
        with a time zone, or a datetime (templated)
    :param tenants: names or IDs of tenants that the set must contain, in any collection, such as the output
        of a mapped task; default: none, the whole instance. A template must find some (templated)
    :param backup_mode: the ``backupMode`` that the set must have, such as ``PHYSICAL_BACKUP``; default:
        any. A template must find one (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    :param success_statuses: statuses of a complete set; default DONE, the only one that the vendor documents
    :param failure_statuses: statuses of a failed set; default FAILED, CANCELED and OVERDUE
    :param require_valid: whether the set, and each tenant named, must have the ``validity`` VALID; default
        True
    :param fail_on_failed_backup: fail when a backup has failed that would have been accepted, and none is;
        default False
    :param deferrable: as for :class:`BackupSetSensor`
    :param start_from_trigger: as for :class:`BackupSetSensor`
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
            require_valid=require_valid,
            deferrable=deferrable,
            **kwargs,
        )
        self.min_checkpoint = min_checkpoint
        self.tenants = tenants
        self.backup_mode = backup_mode
        self._given = given(self, tenants=tenants, backup_mode=backup_mode)
        self.fail_on_failed_backup = fail_on_failed_backup

    @property
    def _condition(self) -> CheckpointCondition:
        from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition

        return CheckpointCondition(
            instance_id=self.instance_id,
            # Text, since templates are rendered and checked.
            min_checkpoint=cast("str", self.min_checkpoint),
            tenants=self.tenants,
            backup_mode=self.backup_mode,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            fail_on_failed_backup=self.fail_on_failed_backup,
        )

    @property
    def _backup_task(self) -> str | None:
        return cast("str | None", self._summary and self._summary["backupSetId"])

    @property
    def _trigger_class(self) -> type[BackupCheckpointTrigger]:
        from airflow_provider_oceanbase.triggers import BackupCheckpointTrigger

        return BackupCheckpointTrigger


class RestorablePointSensor(WaitSensor):
    """Waits until tenants can be restored to a point in time; put it before what destroys or rewrites data.

    A backup set that is DONE does not say to which moments a tenant can be restored. This sensor reads the
    intervals that OceanBase Cloud lists for each tenant, and succeeds when each tenant has one that contains
    ``restore_time``. That the end of an interval moves on with the archived log is inferred.

    - Without ``tenants`` it is about every tenant that is listed, and at least one. A tenant that is named
      and not listed is waited for.
    - If all intervals of a tenant begin after ``restore_time``, the task fails at once and without a retry
      (:class:`~airflow_provider_oceanbase.exceptions.PointNotRestorableError`): they only begin later and
      later. In a gap between two intervals the task keeps waiting: which ends move is not documented.
    - The log has a warning of each kind, which names up to five tenants: those that are not listed or have
      no interval, a name that several have (then each must be restorable), a gap, and what cannot be read,
      such as an interval without a time zone, which does not count.
    - An interval that ends over five minutes in the future fails the task: the service may write local times.
    - For the first poll, outages and refusals see :class:`BackupSetSensor`.

    Its XCom is a :class:`~airflow_provider_oceanbase.waiting.restorable.RestorePoint`: ``instanceId``,
    ``restoreTime``, ``tenantCount``, and for up to 100 tenants their ``tenantId``, ``tenantName``, and the
    ``startTime``, ``endTime`` and ``storageType`` of the interval.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param restore_time: the point in time, such as ``{{ data_interval_end }}``: ISO 8601 with a time zone,
        or a datetime (templated)
    :param tenants: names or IDs of the tenants, in any collection; default: all that are listed. A template
        must find some (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    :param fail_if_unreachable: fail at once when all intervals of a tenant begin later; default True. False:
        keep waiting
    :param query_parameters: further parameters of the request, by the API's names, such as the
        ``restoreType`` and ``openRequest`` that the older version of the API requires; default: none
        (templated)
    :param deferrable: as for :class:`BackupSetSensor`
    :param start_from_trigger: as for :class:`BackupSetSensor`
    """

    template_fields: Sequence[str] = (
        "instance_id",
        "restore_time",
        "tenants",
        "query_parameters",
        "oceanbase_conn_id",
    )

    def __init__(
        self,
        *,
        instance_id: str,
        restore_time: str | datetime,
        tenants: Collection[str] = (),
        oceanbase_conn_id: str = "oceanbase_default",
        fail_if_unreachable: bool = True,
        query_parameters: Mapping[str, str] | None = None,
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instance_id=instance_id,
            oceanbase_conn_id=oceanbase_conn_id,
            deferrable=deferrable,
            **kwargs,
        )
        self.restore_time = restore_time
        self.tenants = tenants
        self.query_parameters = query_parameters
        self._given = given(self, tenants=tenants, query_parameters=query_parameters)
        self.fail_if_unreachable = fail_if_unreachable

    @property
    def _condition(self) -> RestorableCondition:
        from airflow_provider_oceanbase.waiting.restorable import RestorableCondition

        return RestorableCondition(
            instance_id=self.instance_id,
            # Text, since templates are rendered and checked.
            restore_time=cast("str", self.restore_time),
            tenants=self.tenants,
            fail_if_unreachable=self.fail_if_unreachable,
            query_parameters=self.query_parameters,
        )

    @property
    def _trigger_class(self) -> type[RestorablePointTrigger]:
        from airflow_provider_oceanbase.triggers import RestorablePointTrigger

        return RestorablePointTrigger

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any] | None:
        """Return the tenants as input datasets, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.compat.openlineage import restore_point_lineage

        return self._summary and restore_point_lineage(self._hook.endpoint.origin, self._summary)
