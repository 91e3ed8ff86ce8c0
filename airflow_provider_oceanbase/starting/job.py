"""A start of a backup as a resumable job of Airflow 3.3, whose tries all stand for one backup."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.compat.sdk import BaseOperator, ResumableJobMixin
from airflow_provider_oceanbase.waiting.tasks import defer_wait, poll, record_wait, wait_in_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, BackupSetSummary
    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

#: What is kept, in place of the ID, while a backup is being started.
_STARTING_SINCE = "starting_since"
_STARTED, _FAILED = "started", "failed"


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class BackupStart(ResumableJobMixin, BaseOperator):
    """What ``StartBackupOperator`` does: its arguments are described there."""

    external_id_key = "backup_task_id"
    instance_id: str
    backup_object_type: str
    tenant_id: str | None
    database_tables: Sequence[Mapping[str, Any]] | None
    backup_policy: str
    need_pre_check: bool
    oceanbase_conn_id: str
    wait_for_completion: bool
    deferrable: bool
    poke_interval: float
    timeout: float
    success_statuses: tuple[str, ...]
    failure_statuses: tuple[str, ...]
    require_valid: bool
    registration_timeout: float
    _backup_task_id: str

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def submit_job(self, context: Context) -> str:
        """Start the backup; return the ID."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseCloudError

        # First what can fail before anything is sent.
        self._hook.get_conn()
        state = context.get("task_state_store") if self.durable else None
        if state is not None:
            # A try that finds this, and no ID in its place, knows that a backup may have been started.
            now = datetime.now(UTC).isoformat(timespec="seconds")
            state.set(self.external_id_key, {_STARTING_SINCE: now})
        try:
            backup_task_id = self._hook.start_backup(
                self.instance_id,
                backup_object_type=self.backup_object_type,
                tenant_id=self.tenant_id,
                database_tables=self.database_tables,
                backup_policy=self.backup_policy,
                need_pre_check=self.need_pre_check,
            )
        except (OceanBaseCloudError, BackupStartUnknownError):
            # The error says all: to run the task again is to start a backup.
            if state is not None:
                state.delete(self.external_id_key)
            raise
        self.log.info("Started backup task %r of instance %r.", backup_task_id, self.instance_id)
        return backup_task_id

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """Return whether the backup that an earlier try started has not failed."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseNotFoundError

        if isinstance(external_id, dict):
            context["task_state_store"].delete(self.external_id_key)
            began = external_id[_STARTING_SINCE]
            reason = f"an earlier try was killed while it started one, at {began} or soon after"
            raise BackupStartUnknownError(reason, instance_id=self.instance_id)
        condition = self._condition(external_id)
        try:
            verdict = condition.judge(*self._hook.fetch(condition.query))
        except OceanBaseNotFoundError:
            return _STARTED
        return _FAILED if verdict.failure else _STARTED

    def is_job_active(self, status: str) -> bool:
        """Return whether to continue with it; if it is complete, the first poll of the wait shows it."""
        return status == _STARTED

    def is_job_succeeded(self, status: str) -> bool:
        """Return False: see :meth:`is_job_active`."""
        return False

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> None:
        """Wait, with ``wait_for_completion``."""
        from airflow_provider_oceanbase.cloud.backup_set import summary

        self._backup_task_id = cast("str", external_id)
        if self.wait_for_completion:
            began = time.time()
            backup_set = self._wait(self._condition(external_id), began)
            self._push(context, summary(backup_set), began)

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the ID."""
        return cast("str", external_id)

    def _condition(self, backup_task_id: JsonValue) -> BackupSetCondition:
        from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

        return BackupSetCondition(
            instance_id=self.instance_id,
            backup_task_id=cast("str", backup_task_id),
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            registered_by=time.time() + self.registration_timeout,
        )

    def _wait(self, condition: BackupSetCondition, began: float) -> BackupSet:
        from airflow_provider_oceanbase.triggers import BackupSetTrigger
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule
        from airflow_provider_oceanbase.waiting.wait import Wait

        # A request has just succeeded: failures from here on are waited out.
        wait = Wait(condition, self.log, first=False, status="no status yet")
        schedule = PollSchedule(poke_interval=self.poke_interval, timeout=self.timeout)
        if not self.deferrable:
            return wait_in_worker(self._hook, wait, schedule, began)
        backup_set = poll(self._hook, wait)
        if backup_set is None:
            defer_wait(
                self,
                BackupSetTrigger,
                condition,
                schedule,
                oceanbase_conn_id=self.oceanbase_conn_id,
                began=began,
                status=wait.status,
            )
        return backup_set

    def _push(self, context: Context, summary: BackupSetSummary, began: float) -> None:
        record_wait(began)
        context["ti"].xcom_push(key="backup_set", value=dict(summary))
