"""BackupSetSensor: waits until a backup set is DONE."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_oceanbase.statuses import FAILURE_STATUSES, SUCCESS_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_oceanbase.api import Answer, Request, T
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting import BackupSetWait, WaitPlan

_TIMEOUT_MARGIN_SECONDS = 60.0


# What only a run needs is imported where it is needed: a DAG file is parsed far more often than it runs.
class BackupSetSensor(BaseSensorOperator):
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
    _wait: BackupSetWait | None = None
    #: When the wait began that a trigger has gone on with, in seconds since the epoch.
    _began: float | None = None
    #: What the trigger said of its wait, until a poke has taken it.
    _event: dict[str, Any] | None = None

    def __init__(
        self,
        *,
        instance_id: str,
        backup_task_id: str,
        oceanbase_conn_id: str = "oceanbase_default",
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_task_id = backup_task_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.success_statuses = _statuses("success_statuses", success_statuses)
        self.failure_statuses = _statuses("failure_statuses", failure_statuses)
        self.require_valid = require_valid
        self.deferrable = deferrable
        if not self.success_statuses:
            raise ValueError("success_statuses is empty: the sensor could never succeed")
        if both := set(self.success_statuses) & set(self.failure_statuses):
            raise ValueError(f"{sorted(both)} cannot be in success_statuses and in failure_statuses")

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait for the backup set, and return its summary."""
        try:
            return super().execute(context)
        finally:
            self._hook.close()
            self._wait = None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on where the trigger ended, and return the summary of the set."""
        self._began = event["began"]
        if message := event.get("timeout"):
            raise self._time_limit[1](message)
        self._event = event
        # Not self.execute, which Airflow lets nobody but itself call; its handling of errors is the point.
        return BaseSensorOperator.execute.__wrapped__(self, context)  # type: ignore[attr-defined]

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check once."""
        if self._event is not None:
            event, self._event = self._event, None
            return _outcome(event)
        from airflow_provider_oceanbase.backup_set import backup_set_request, summary
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

        wait = self._wait = self._wait or self._new_wait(context)
        request = backup_set_request(self.instance_id, self.backup_task_id)
        try:
            answer = self._ask(request, wait)
        except OceanBaseCloudError as error:
            wait.failed(error)
            return False
        backup_set = wait.answered(*answer)
        if backup_set is None:
            return False
        return PokeReturnValue(is_done=True, xcom_value=dict(summary(backup_set)))

    @property
    def _plan(self) -> WaitPlan:
        from airflow_provider_oceanbase.waiting import WaitPlan

        return WaitPlan(
            instance_id=self.instance_id,
            backup_task_id=self.backup_task_id,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=None if self.max_wait is None else self.max_wait.total_seconds(),
            timeout=self.timeout,
        )

    @property
    def _time_limit(self) -> tuple[float, type[BaseException]]:
        """Seconds after which a deferred wait is over, and the error that says so."""
        if self.execution_timeout and self.execution_timeout.total_seconds() < self.timeout:
            return self.execution_timeout.total_seconds(), AirflowTaskTimeout
        return self.timeout, AirflowSensorTimeout

    def _new_wait(self, context: Context) -> BackupSetWait:
        from airflow_provider_oceanbase.waiting import BackupSetWait

        return BackupSetWait(self._plan, self.log, first=not (self.reschedule and _was_rescheduled(context)))

    def _ask(self, request: Request[T], wait: BackupSetWait) -> Answer[T]:
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

        try:
            return self._hook.ask(request, retry=wait.first)
        except OceanBaseCloudError as error:
            if not wait.wants_fresh_connection(error):
                raise
        self._hook.close()
        return self._hook.ask(request, retry=False)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        # Here the base class is about to wait, with all its other rules applied.
        if self.deferrable:
            self._defer(run_duration())
        retry_after = self._wait.retry_after if self._wait else None
        return self._plan.pause(run_duration(), retry_after=retry_after, seed=started_at)

    def _defer(self, elapsed: float) -> NoReturn:
        from dataclasses import asdict, replace

        from airflow_provider_oceanbase.triggers import BackupSetTrigger

        now = time.time()
        began = now - elapsed if self._began is None else self._began
        plan = replace(self._plan, timeout=self._time_limit[0])
        self.defer(
            trigger=BackupSetTrigger(
                plan=asdict(plan),
                oceanbase_conn_id=self.oceanbase_conn_id,
                began=began,
                status=self._wait.status if self._wait else None,
            ),
            method_name="execute_complete",
            # The trigger keeps the time itself, and says more; this is for one that cannot.
            timeout=timedelta(seconds=max(began + plan.timeout - now, 0.0) + _TIMEOUT_MARGIN_SECONDS),
        )


def _outcome(event: dict[str, Any]) -> PokeReturnValue:
    from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError

    if summary := event.get("summary"):
        return PokeReturnValue(is_done=True, xcom_value=summary)
    if failed := event.get("failed"):
        raise BackupSetFailedError.from_dict(failed)
    raise OceanBaseCloudError.from_dict(event["error"])


def _statuses(name: str, statuses: Collection[str]) -> tuple[str, ...]:
    if isinstance(statuses, str) or not all(isinstance(status, str) for status in statuses):
        raise TypeError(f"{name} must be a list or tuple of statuses, such as ('DONE',), not {statuses!r}")
    return tuple(statuses)


def _was_rescheduled(context: Context) -> bool:
    """Whether the task has checked before, and was put off."""
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        return ti.get_first_reschedule_date(context) is not None
    # Airflow 2 tells it from the database only.
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session

    with create_session() as session:
        return session.scalar(TaskReschedule.stmt_for_task_instance(ti).limit(1)) is not None
