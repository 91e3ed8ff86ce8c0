"""Operators: GetBackupSetOperator reads a backup set into XCom, StartBackupOperator starts a backup."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.compat.sdk import BaseOperator
from airflow_provider_oceanbase.links import OceanBaseCloudLink
from airflow_provider_oceanbase.starting.job import BackupStart
from airflow_provider_oceanbase.waiting.advice import advised
from airflow_provider_oceanbase.waiting.arguments import (
    DEFAULT_DEFERRABLE,
    FAILURE_STATUSES,
    POKE_INTERVAL,
    SUCCESS_STATUSES,
    check_templates,
    final_statuses,
    seconds,
)
from airflow_provider_oceanbase.waiting.metrics import record_wait
from airflow_provider_oceanbase.waiting.tasks import (
    defer_wait,
    poll,
    raise_timeout,
    resumption,
    summary_in,
    take_waited_for,
    wait_in_worker,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from pydantic import JsonValue

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, BackupSetSummary, TenantBackupSet
    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.starting.kept import KeptStart
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class GetBackupSetOperator(BaseOperator):
    """Reads a backup set and pushes its tenants' backup sets to XCom.

    XCom ``return_value`` is ``tenantBackupSetList``, a list of dicts as the API returned them (empty if it
    returned null), ready for ``.expand()``. XCom ``backup_set`` is the summary of the set
    (:class:`~airflow_provider_oceanbase.cloud.backup_set.BackupSetSummary`): every scalar field plus
    ``tenantCount``. A set that is not DONE is read too, with a warning: its list may be incomplete.

    The task fails with :class:`~airflow_provider_oceanbase.exceptions.OceanBaseNotFoundError` if there is no
    such backup set, and with another :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` if
    the request failed. Transient failures are retried for 30 seconds first.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_task_id: ID of the backup task, such as ``bak-********`` (templated)
    :param check_backup_set_download_enable: have the API check whether the set can be downloaded, and say so
        in ``downloadEnabled``; default False
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    """

    template_fields: Sequence[str] = ("instance_id", "backup_task_id", "oceanbase_conn_id")
    operator_extra_links = (OceanBaseCloudLink(),)
    ui_color = "#e6f1f2"
    _summary: BackupSetSummary | None = None

    def __init__(
        self,
        *,
        instance_id: str,
        backup_task_id: str,
        check_backup_set_download_enable: bool = False,
        oceanbase_conn_id: str = "oceanbase_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_task_id = backup_task_id
        self.check_backup_set_download_enable = check_backup_set_download_enable
        self.oceanbase_conn_id = oceanbase_conn_id

    def execute(self, context: Context) -> list[TenantBackupSet]:
        """Read the backup set, push its summary, and return its tenants."""
        return advised(self.log, lambda: self._read(context))

    def _read(self, context: Context) -> list[TenantBackupSet]:
        from airflow_provider_oceanbase._texts import shown
        from airflow_provider_oceanbase.cloud.backup_set import summary, tenants_of

        check_templates(self, ())
        hook = self._hook()
        try:
            backup_set = hook.get_backup_set(
                self.instance_id,
                self.backup_task_id,
                check_backup_set_download_enable=self.check_backup_set_download_enable,
            )
        finally:
            hook.close()
        tenants = tenants_of(backup_set)
        kilobytes = len(json.dumps(tenants)) / 1e3
        size = f"{kilobytes:.1f} kB" if kilobytes < 100 else f"{kilobytes / 1e3:.1f} MB"
        text = "Read %d tenants, %s for XCom: backup task %r of instance %r."
        self.log.info(text, len(tenants), size, self.backup_task_id, self.instance_id)
        if backup_set["status"] not in SUCCESS_STATUSES:
            text = (
                "Backup is %r, not DONE: the list of tenants may be incomplete. Put a BackupSetSensor before "
                "this task."
            )
            self.log.warning(text, shown(backup_set["status"]))
        self._summary = summary(backup_set)
        context["ti"].xcom_push(key="backup_set", value=dict(self._summary))
        return tenants

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Return the backup set as an input dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.compat.openlineage import backup_set_lineage

        origin = self._hook().endpoint.origin
        return backup_set_lineage(origin, self.instance_id, self.backup_task_id, self._summary)

    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)


class StartBackupOperator(BackupStart):
    """Starts a backup; XCom ``return_value`` is the ID of its backup task, such as ``bak-********``.

    With ``wait_for_completion`` the task waits until the backup set is DONE, by the rule of
    :class:`~airflow_provider_oceanbase.sensors.BackupSetSensor` for polls after the first, and XCom
    ``backup_set`` is its summary.

    - If it is not known whether a backup was started (no response, HTTP 408 or 5xx, a response that cannot be
      read), the task fails with ``BackupStartUnknownError``, and Airflow does not retry it.
    - On Airflow 3.3 and newer the ID is kept as task state, ``backup_task_id``, with what it is for: a digest
      of the connection's host and project and of the arguments. A later try, or a cleared task, continues
      with the backup that an earlier try started, and starts another only when that one has failed, is gone,
      or is not for what the arguments now say. Where nobody can know, it fails with
      ``BackupStartUnknownError``. "Start a backup" in the documentation has the whole table.
    - Before Airflow 3.3 each try starts a backup: set ``retries=0``.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_object_type: ``tenant`` for a physical backup, ``database`` or ``table`` for a logical one
        (templated)
    :param tenant_id: ID of the tenant; default: none, which the API allows. A template must find one
        (templated)
    :param database_tables: for logical backups: a list of dicts, one a database, in the format of the API. A
        backup of tables has one entry, and its ``tables`` lists up to 200. Any other collection, such as the
        output of a mapped task, is sent as a list (templated)
    :param backup_policy: ``manual``, the default and the only documented value
    :param need_pre_check: have the API check first whether a backup is possible; default True
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    :param wait_for_completion: wait until the backup is complete; default False
    :param deferrable: wait in the triggerer, without a worker slot; the worker makes the first poll. Default:
        ``[operators] default_deferrable`` of Airflow's configuration
    :param poke_interval: seconds between two polls, or a timedelta; default 60. A wait sends at most some ten
        polls a second, also with 0
    :param timeout: seconds that each try may wait, or a timedelta; default 7 days. Then comes the last poll;
        unless the backup is complete, the task fails and is not retried. More than five years count as five
    :param success_statuses: statuses of a complete set; default DONE, the only one that the vendor documents
    :param failure_statuses: statuses that end the wait with ``BackupSetFailedError``, without a retry;
        default FAILED, CANCELED and OVERDUE
    :param require_valid: require the ``validity`` VALID: fail, rather than warn, when a complete set has
        another, and keep waiting while it has none; default False
    :param registration_timeout: seconds from the start of the backup, or a timedelta, in which HTTP 404, and
        HTTP 400 and ``success: false`` of the API, mean "not registered yet"; default 10 minutes
    """

    #: ID of the backup task, and the summary of the set after a wait.
    _started: str | None = None
    _summary: BackupSetSummary | None = None
    template_fields: Sequence[str] = (
        "instance_id",
        "backup_object_type",
        "tenant_id",
        "database_tables",
        "oceanbase_conn_id",
    )
    operator_extra_links = (OceanBaseCloudLink(),)
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        instance_id: str,
        backup_object_type: str,
        tenant_id: str | None = None,
        database_tables: Sequence[Mapping[str, Any]] | None = None,
        backup_policy: str = "manual",
        need_pre_check: bool = True,
        oceanbase_conn_id: str = "oceanbase_default",
        wait_for_completion: bool = False,
        deferrable: bool = DEFAULT_DEFERRABLE,
        poke_interval: float | timedelta = POKE_INTERVAL,
        timeout: float | timedelta = timedelta(days=7),
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = False,
        registration_timeout: float | timedelta = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instance_id=instance_id,
            backup_object_type=backup_object_type,
            tenant_id=tenant_id,
            database_tables=database_tables,
            backup_policy=backup_policy,
            need_pre_check=need_pre_check,
            oceanbase_conn_id=oceanbase_conn_id,
            **kwargs,
        )
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poke_interval = seconds("poke_interval", poke_interval)
        self.timeout = seconds("timeout", timeout)
        self.success_statuses, self.failure_statuses = final_statuses(success_statuses, failure_statuses)
        self.require_valid = require_valid
        self.registration_timeout = seconds("registration_timeout", registration_timeout)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; after Airflow's own timeout of the trigger, as after the timeout of the wait."""
        return super().resume_execution(*resumption(next_method, next_kwargs, self.instance_id), context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Take the trigger's event, and return the ID."""
        take_waited_for(self, event)
        if condition := event.get("condition"):
            self._started = cast("str", condition["backup_task_id"])
        self._push(context, advised(self.log, lambda: self._summary_in(event)), event["began"])
        return cast("str", self._started)

    def _summary_in(self, event: dict[str, Any]) -> BackupSetSummary:
        raise_timeout(event, self.timeout, self.execution_timeout)
        return cast("BackupSetSummary", summary_in(event))

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> None:
        """Wait, with ``wait_for_completion``."""
        from airflow_provider_oceanbase.cloud.backup_set import summary

        super().poll_until_complete(external_id, context)
        self._started = self._backup_task_id
        if self.wait_for_completion:
            began = time.time()
            self._push(context, summary(self._wait(began)), began)

    def _condition(self, kept: KeptStart) -> BackupSetCondition:
        from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

        return BackupSetCondition(
            instance_id=self.instance_id,
            backup_task_id=cast("str", kept.backup_task_id),
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            registered_by=kept.began(time.time()) + self.registration_timeout,
        )

    def _wait(self, began: float) -> BackupSet:
        from airflow_provider_oceanbase.triggers import BackupSetTrigger
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule
        from airflow_provider_oceanbase.waiting.wait import Wait

        condition = self._condition(self._kept)
        # A request has just succeeded: failures from here on are waited out.
        wait = Wait(condition, self.log, first=False)
        schedule = PollSchedule(poke_interval=self.poke_interval, timeout=self.timeout)
        if not self.deferrable:
            return cast("BackupSet", wait_in_worker(self._hook, wait, schedule, began))
        backup_set: BackupSet | None = poll(self._hook, wait)
        if backup_set is None:
            defer_wait(
                self,
                BackupSetTrigger,
                condition,
                schedule,
                hook=self._hook,
                began=began,
                status=wait.status,
            )
        return backup_set

    def _push(self, context: Context, summary: BackupSetSummary, began: float) -> None:
        record_wait(began)
        self._summary = summary
        context["ti"].xcom_push(key="backup_set", value=dict(summary))

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any] | None:
        """Return the backup set as an output dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.compat.openlineage import started_backup_lineage

        if self._started is None:
            return None
        return started_backup_lineage(
            self._hook.endpoint.origin, self.instance_id, self._started, self._summary
        )
