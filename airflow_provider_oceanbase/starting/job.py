"""A start of a backup as a resumable job of Airflow 3.3, whose tries all stand for one backup."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.compat.sdk import BaseOperator, KnowsMapping, ResumableJobMixin
from airflow_provider_oceanbase.waiting.advice import advised
from airflow_provider_oceanbase.waiting.arguments import check_templates, given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.starting.decision import Answer
    from airflow_provider_oceanbase.starting.kept import KeptStart
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class BackupStart(KnowsMapping, ResumableJobMixin, BaseOperator):
    """Starts a backup, and in later tries continues with it; subclasses say whether to wait for it.

    ``StartBackupOperator`` describes the arguments.
    """

    external_id_key = "backup_task_id"
    _kept: KeptStart

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
        self._given = given(self, tenant_id=tenant_id, database_tables=database_tables)
        self.backup_policy = backup_policy
        self.need_pre_check = need_pre_check
        self.oceanbase_conn_id = oceanbase_conn_id

    def _condition(self, kept: KeptStart) -> BackupSetCondition:
        """Return what is waited for: that the backup set of a start is complete."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            "instance_id": self.instance_id,
            "backup_object_type": self.backup_object_type,
            "tenant_id": self.tenant_id,
            "database_tables": self.database_tables,
            "backup_policy": self.backup_policy,
            "need_pre_check": self.need_pre_check,
        }

    def _purpose(self) -> str:
        from airflow_provider_oceanbase.cloud.start_backup import start_backup_request
        from airflow_provider_oceanbase.starting.kept import purpose_of

        request = start_backup_request(**self._arguments)
        # Looks for the connection for a while: what stores it may be down when a try begins.
        self._hook.get_conn()
        return purpose_of(request, self._hook.endpoint)

    def execute(self, context: Context) -> str:
        """Start the backup, or continue with the one that was started; return the ID."""
        return advised(self.log, lambda: self._start_or_continue(context))

    def _start_or_continue(self, context: Context) -> str:
        check_templates(self, self._given)
        try:
            self.execute_resumable(context)
        finally:
            self._hook.close()
        return self._backup_task_id

    def submit_job(self, context: Context) -> JsonValue:
        """Start the backup; return what to keep of the start."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseCloudError
        from airflow_provider_oceanbase.starting.kept import KeptStart

        # First what can fail before anything is sent.
        purpose = self._purpose()
        start = KeptStart(
            starting_since=datetime.now(UTC).isoformat(timespec="seconds"),
            purpose=purpose,
            run=context["ti"].max_tries,
        )
        state = context.get("task_state_store") if self.durable else None
        if state is None:
            return replace(start, backup_task_id=self._start()).to_json()
        before = state.get(self.external_id_key)
        # A try that finds this, and no ID, knows that a backup may have been started.
        state.set(self.external_id_key, start.to_json())
        try:
            backup_task_id = self._start()
        except BackupStartUnknownError:
            state.set(self.external_id_key, replace(start, reported=True).to_json())
            raise
        except OceanBaseCloudError:
            # Nothing was started, so what was known before still holds.
            if before:
                state.set(self.external_id_key, before)
            else:
                state.delete(self.external_id_key)
            raise
        return replace(start, backup_task_id=backup_task_id).to_json()

    def _start(self) -> str:
        backup_task_id = self._hook.start_backup(**self._arguments)
        self.log.info("Started backup task %r of instance %r.", backup_task_id, self.instance_id)
        return backup_task_id

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """Decide what to do about the start that an earlier try made; return the step."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError
        from airflow_provider_oceanbase.starting.decision import Step, case_of, decide
        from airflow_provider_oceanbase.starting.kept import KeptStart

        kept, run, error = KeptStart.from_json(external_id), context["ti"].max_tries, None
        case = case_of(kept, purpose=self._purpose(), run=run)
        if case.needs_answer:
            answer, error = self._answer(kept)
            case = case._replace(answer=answer)
        row = decide(case)
        reason = row.reason.format(kept=kept)
        state, taken_up = context["task_state_store"], replace(kept, run=run, reported=False)
        match row.step:
            case Step.UNKNOWN:
                # Kept until the task is cleared: if it is killed now, it has not been told to anybody.
                state.set(self.external_id_key, replace(taken_up, reported=True).to_json())
                raise BackupStartUnknownError(
                    reason, instance_id=self.instance_id, conn_id=self.oceanbase_conn_id
                )
            case Step.FAIL if error is not None:
                raise error
            case Step.START:
                self.log.warning("A backup is started, since %s.", reason)
            case Step.CONTINUE if taken_up != kept:
                state.set(self.external_id_key, taken_up.to_json())
        return row.step.name

    def _answer(self, kept: KeptStart) -> tuple[Answer, OceanBaseCloudError | None]:
        """Request the backup set; return what the answer means, and the error if it is one."""
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseNotFoundError
        from airflow_provider_oceanbase.starting.decision import Answer

        condition = self._condition(kept)
        try:
            backup_set, request_id = self._hook.fetch(condition.query)
        except OceanBaseNotFoundError as error:
            # A 404 that is not the API's own, but a gateway's, says nothing about the backup.
            missing = Answer.NOT_FOUND if error.error_code else Answer.NO_DATA
        except OceanBaseCloudError as error:
            return Answer.ERROR, error
        else:
            if backup_set is not None:
                verdict = condition.judge(backup_set, request_id)
                return Answer.FAILED if verdict.failure else Answer.GOOD, None
            missing = Answer.NO_DATA
        in_time = condition.registered_by is not None and time.time() < condition.registered_by
        return Answer.UNREGISTERED if in_time else missing, None

    def is_job_active(self, status: str) -> bool:
        """Return whether to continue with it; if it is complete, the first poll of the wait shows it."""
        from airflow_provider_oceanbase.starting.decision import Step

        return status == Step.CONTINUE.name

    def is_job_succeeded(self, status: str) -> bool:
        """Return False: see :meth:`is_job_active`."""
        return False

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> None:
        """Take note of the start."""
        from airflow_provider_oceanbase.starting.kept import KeptStart

        self._kept = KeptStart.from_json(external_id)

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the ID."""
        return self._backup_task_id

    @property
    def _backup_task_id(self) -> str:
        return cast("str", self._kept.backup_task_id)
