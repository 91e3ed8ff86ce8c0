"""StartBackupOperator: starts a backup, and no second one, whatever happens to the task."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase._compat import BaseOperator, ResumableJobMixin
from airflow_provider_oceanbase.statuses import FAILURE_STATUSES, SUCCESS_STATUSES, ending_statuses
from airflow_provider_oceanbase.task_waits import (
    DEFAULT_DEFERRABLE,
    check,
    deferral,
    measure,
    seconds,
    summary_in,
    time_limit,
    wait_here,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic import JsonValue

    from airflow_provider_oceanbase._compat import Context
    from airflow_provider_oceanbase.backup_set import BackupSetSummary
    from airflow_provider_oceanbase.goals import BackupSetGoal
    from airflow_provider_oceanbase.hooks import OceanBaseHook

#: What is kept, in place of the ID, while a backup is being started.
_STARTING_SINCE = "starting_since"
_STARTED, _FAILED = "started", "failed"


class StartBackupOperator(ResumableJobMixin, BaseOperator):
    """Starts a backup; XCom ``return_value`` is the ID of its backup task, such as ``bak-********``.

    With ``wait_for_completion`` the task ends when the backup set is DONE, by the rule of
    :class:`~airflow_provider_oceanbase.sensors.BackupSetSensor`, and XCom ``backup_set`` is its summary.

    - Where nobody knows whether a backup was started (no answer, HTTP 408 or 5xx, an answer that cannot be
      read), the task fails with ``BackupStartUnknownError``, and Airflow does not retry it.
    - From Airflow 3.3 on the ID is kept as task state, ``backup_task_id``: a later try goes on with the
      backup that an earlier one has started, and starts another only when that one has failed. Where a try
      was cut off before the ID could be kept, the next one fails with ``BackupStartUnknownError``.
    - Before Airflow 3.3 each try starts a backup: set ``retries=0``.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_object_type: ``tenant`` for a physical backup, ``database`` or ``table`` for a logical one
        (templated)
    :param tenant_id: ID of the tenant; default: none, which the API allows (templated)
    :param database_tables: for logical backups: a list of dicts, one a database, as the API takes them. A
        backup of tables has one entry, and its ``tables`` lists up to 200 (templated)
    :param backup_policy: ``manual``, which is all that is documented
    :param need_pre_check: have the API check first whether a backup is possible
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param wait_for_completion: wait until the backup is done
    :param deferrable: wait in the triggerer, without a worker slot; the first check is the worker's. Default:
        ``[operators] default_deferrable`` of Airflow's configuration
    :param poke_interval: seconds between two checks, or a timedelta
    :param timeout: seconds that each try may wait, or a timedelta; then the task fails, and is not retried
    :param success_statuses: statuses that end the wait well; only DONE is documented by the vendor
    :param failure_statuses: statuses that end it with ``BackupSetFailedError``, without a retry
    :param require_valid: fail, rather than warn, when a DONE set has a ``validity`` other than VALID
    :param registration_timeout: seconds from the beginning of a wait, or a timedelta, in which HTTP 404 means
        "not registered yet"
    """

    template_fields: Sequence[str] = (
        "instance_id",
        "backup_object_type",
        "tenant_id",
        "database_tables",
        "oceanbase_conn_id",
    )
    ui_color = "#e6f1f2"
    external_id_key = "backup_task_id"
    _backup_task_id: str

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
        poke_interval: float | timedelta = 60.0,
        timeout: float | timedelta = timedelta(days=7),
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = False,
        registration_timeout: float | timedelta = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_object_type = backup_object_type
        self.tenant_id = tenant_id
        self.database_tables = database_tables
        self.backup_policy = backup_policy
        self.need_pre_check = need_pre_check
        self.oceanbase_conn_id = oceanbase_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poke_interval = seconds("poke_interval", poke_interval)
        self.timeout = seconds("timeout", timeout)
        self.success_statuses, self.failure_statuses = ending_statuses(success_statuses, failure_statuses)
        self.require_valid = require_valid
        self.registration_timeout = seconds("registration_timeout", registration_timeout)

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> str:
        """Start the backup, or go on with the one that was started; return the ID."""
        try:
            self.execute_resumable(context)
        finally:
            self._hook.close()
        return self._backup_task_id

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Go on where the trigger ended, and return the ID."""
        if message := event.get("timeout"):
            raise time_limit(self.timeout, self.execution_timeout)[1](message)
        self._push(context, summary_in(event), began=event["began"])
        return cast("str", event["goal"]["backup_task_id"])

    def submit_job(self, context: Context) -> str:
        """Start the backup; return the ID."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseCloudError

        # What can fail before anything is sent, first.
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
            # The error says all: whoever runs the task again is to start a backup.
            if state is not None:
                state.delete(self.external_id_key)
            raise
        self.log.info("Started backup task %r of instance %r.", backup_task_id, self.instance_id)
        return backup_task_id

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """Return whether the backup that a former try has started is still good."""
        from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseNotFoundError

        if isinstance(external_id, dict):
            context["task_state_store"].delete(self.external_id_key)
            began = external_id[_STARTING_SINCE]
            reason = f"a former try was cut off while it started one, at {began} or soon after"
            raise BackupStartUnknownError(reason, instance_id=self.instance_id)
        goal = self._goal(external_id)
        try:
            verdict = goal.judge(*self._hook.ask(goal.question))
        except OceanBaseNotFoundError:
            return _STARTED
        return _FAILED if verdict.failure else _STARTED

    def is_job_active(self, status: str) -> bool:
        """Return whether to go on with it; where it is done by now, the first check of the wait tells."""
        return status == _STARTED

    def is_job_succeeded(self, status: str) -> bool:
        """Return False: see :meth:`is_job_active`."""
        return False

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> None:
        """Wait, where that was asked for."""
        self._backup_task_id = cast("str", external_id)
        if self.wait_for_completion:
            self._wait(self._goal(external_id), context)

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the ID."""
        return cast("str", external_id)

    def _goal(self, backup_task_id: JsonValue) -> BackupSetGoal:
        from airflow_provider_oceanbase.goals import BackupSetGoal

        return BackupSetGoal(
            instance_id=self.instance_id,
            backup_task_id=cast("str", backup_task_id),
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            registered_by=time.time() + self.registration_timeout,
        )

    def _wait(self, goal: BackupSetGoal, context: Context) -> None:
        from airflow_provider_oceanbase.backup_set import summary
        from airflow_provider_oceanbase.triggers import BackupSetTrigger
        from airflow_provider_oceanbase.waiting import Pace, Wait

        began = time.time()
        # The backup was just started, or asked for: what fails from here on is waited out.
        wait = Wait(goal, self.log, first=False, status="no status yet")
        pace = Pace(poke_interval=self.poke_interval, timeout=self.timeout)
        if not self.deferrable:
            backup_set = wait_here(self._hook, wait, pace, began)
        elif (found := check(self._hook, wait)) is not None:
            backup_set = found
        else:
            limit, _ = time_limit(self.timeout, self.execution_timeout)
            arguments = deferral(
                BackupSetTrigger,
                goal,
                replace(pace, timeout=limit),
                oceanbase_conn_id=self.oceanbase_conn_id,
                began=began,
                status=wait.status,
            )
            self.defer(**arguments)
        self._push(context, summary(backup_set), began)

    def _push(self, context: Context, summary: BackupSetSummary, began: float) -> None:
        measure(began)
        context["ti"].xcom_push(key="backup_set", value=dict(summary))
