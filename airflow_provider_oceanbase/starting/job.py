"""A start of a backup as a resumable job of Airflow 3.3, whose tries all stand for one backup."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.compat.sdk import BaseOperator, ResumableJobMixin
from airflow_provider_oceanbase.waiting.arguments import check_templates, given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

#: What is kept, in place of the ID, while a backup is being started.
_STARTING_SINCE = "starting_since"
_STARTED, _FAILED = "started", "failed"


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class BackupStart(ResumableJobMixin, BaseOperator):
    """Starts a backup, and in later tries continues with it; subclasses say whether to wait for it.

    ``StartBackupOperator`` describes the arguments.
    """

    external_id_key = "backup_task_id"
    _backup_task_id: str

    def __init__(
        self,
        *,
        instance_id: str,
        backup_object_type: str,
        tenant_id: str | None,
        database_tables: Sequence[Mapping[str, Any]] | None,
        backup_policy: str,
        need_pre_check: bool,
        oceanbase_conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_object_type = backup_object_type
        self.tenant_id = tenant_id
        self.database_tables = database_tables
        self._given = given(tenant_id=tenant_id, database_tables=database_tables)
        self.backup_policy = backup_policy
        self.need_pre_check = need_pre_check
        self.oceanbase_conn_id = oceanbase_conn_id

    def _condition(self, backup_task_id: str) -> BackupSetCondition:
        """Return what is waited for: that the backup set is complete."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> str:
        """Start the backup, or continue with the one that was started; return the ID."""
        check_templates(self, self._given)
        try:
            self.execute_resumable(context)
        finally:
            self._hook.close()
        return self._backup_task_id

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
        condition = self._condition(cast("str", external_id))
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
        """Take note of the ID."""
        self._backup_task_id = cast("str", external_id)

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the ID."""
        return cast("str", external_id)
