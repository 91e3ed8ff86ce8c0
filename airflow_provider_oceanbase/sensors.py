"""BackupSetSensor: waits until a backup set is DONE."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.waiting import (
    FAILURE_STATUSES,
    SUCCESS_STATUSES,
    BackupSetWait,
    next_pause,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_oceanbase.api import Answer, Request, T
    from airflow_provider_oceanbase.hooks import OceanBaseHook


class BackupSetSensor(BaseSensorOperator):
    """Waits until a backup set is DONE; its XCom is the summary of the set.

    - A status in ``failure_statuses`` fails the task at once and for good (``BackupSetFailedError``); any
      other status, known or not, and a backup that is not registered yet are waited for.
    - If the first check of the task fails, after retries within about 30 seconds, so does the task: a wrong
      host or key shows at once.
    - Later, an outage (network, timeout, HTTP 408, 429 or 5xx, an answer that is not the documented JSON) is
      waited out; an answer that will not change (HTTP 401 or 403 with the connection read afresh, 404,
      ``success: false``) fails the task with an ``OceanBaseCloudError``.

    The summary holds every scalar field of the set and ``tenantCount``. ``poke_interval`` and ``timeout`` are
    in seconds; the last check comes when ``timeout`` is over.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_task_id: ID of the backup task, such as ``bak-********`` (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param success_statuses: statuses that end the wait well; only DONE is documented by the vendor
    :param failure_statuses: statuses that end it with a failure
    :param require_valid: fail, rather than warn, when a DONE set has a ``validity`` other than VALID
    """

    template_fields: Sequence[str] = ("instance_id", "backup_task_id", "oceanbase_conn_id")
    _wait: BackupSetWait | None = None

    def __init__(
        self,
        *,
        instance_id: str,
        backup_task_id: str,
        oceanbase_conn_id: str = "oceanbase_default",
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        failure_statuses: Collection[str] = FAILURE_STATUSES,
        require_valid: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_task_id = backup_task_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.success_statuses = _statuses("success_statuses", success_statuses)
        self.failure_statuses = _statuses("failure_statuses", failure_statuses)
        self.require_valid = require_valid
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

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check once."""
        from airflow_provider_oceanbase.backup_set import backup_set_request, summary

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

    def _new_wait(self, context: Context) -> BackupSetWait:
        return BackupSetWait(
            instance_id=self.instance_id,
            backup_task_id=self.backup_task_id,
            log=self.log,
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            require_valid=self.require_valid,
            first=not (self.reschedule and _was_rescheduled(context)),
        )

    def _ask(self, request: Request[T], wait: BackupSetWait) -> Answer[T]:
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
        # Airflow's own knows neither Retry-After nor deferrable mode, which must pause the same way.
        return next_pause(
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=None if self.max_wait is None else self.max_wait.total_seconds(),
            elapsed=run_duration(),
            timeout=self.timeout,
            retry_after=self._wait.retry_after if self._wait else None,
            seed=f"{self.instance_id}#{self.backup_task_id}#{started_at}",
        )


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
