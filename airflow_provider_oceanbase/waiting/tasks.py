"""The waiting rule in a task, sensor or not: one poll, a wait in the worker, or a deferral to a trigger."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, BackupSetSummary
    from airflow_provider_oceanbase.cloud.query import T
    from airflow_provider_oceanbase.compat.sdk import BaseOperator
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.conditions import Condition
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.trigger import WaitTrigger
    from airflow_provider_oceanbase.waiting.wait import Wait

_TIMEOUT_MARGIN_SECONDS = 60.0


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
def poll(hook: OceanBaseHook, wait: Wait[T]) -> BackupSet | None:
    """Poll once: return the set that is waited for, None to keep waiting.

    :raises BackupSetFailedError: the backup failed
    :raises OceanBaseCloudError: waiting would not help, or no poll has succeeded yet
    """
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

    try:
        answer = hook.poll(wait.condition.query, first=wait.first, is_final=wait.is_final)
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    return wait.answered(*answer)


def wait_in_worker(hook: OceanBaseHook, wait: Wait[T], schedule: PollSchedule, began: float) -> BackupSet:
    """Wait in the worker's slot, and return the set that is waited for.

    :param began: when the wait began, in seconds since the epoch
    :raises AirflowSensorTimeout: the wait timed out
    :raises BackupSetFailedError: the backup failed
    :raises OceanBaseCloudError: waiting would not help
    """
    for pause, _ in wait.pauses(schedule, began, first_share=0.0):
        time.sleep(pause)
        if backup_set := poll(hook, wait):
            return backup_set
    raise AirflowSensorTimeout(wait.timed_out(schedule, began))


def time_limit(timeout: float, execution_timeout: timedelta | None) -> tuple[float, type[BaseException]]:
    """Return the seconds after which a deferred wait times out, and the error to raise then."""
    if execution_timeout and execution_timeout.total_seconds() < timeout:
        return execution_timeout.total_seconds(), AirflowTaskTimeout
    return timeout, AirflowSensorTimeout


def defer_wait(
    task: BaseOperator,
    trigger_class: type[WaitTrigger],
    condition: Condition[Any],
    schedule: PollSchedule,
    *,
    oceanbase_conn_id: str,
    began: float,
    status: str | None,
) -> NoReturn:
    """Defer a task, so that its wait continues in the triggerer.

    :param began: when the wait began, in seconds since the epoch
    :param status: the last known status
    """
    from dataclasses import asdict, replace

    limit, _ = time_limit(schedule.timeout, task.execution_timeout)
    task.defer(
        trigger=trigger_class(
            condition=asdict(condition),
            schedule=asdict(replace(schedule, timeout=limit)),
            oceanbase_conn_id=oceanbase_conn_id,
            began=began,
            status=status,
        ),
        method_name="execute_complete",
        # A backstop: the trigger itself keeps the time, and its message says more.
        timeout=timedelta(seconds=max(began + limit - time.time(), 0.0) + _TIMEOUT_MARGIN_SECONDS),
    )


def raise_timeout(event: dict[str, Any], timeout: float, execution_timeout: timedelta | None) -> None:
    """Raise the error for a trigger's wait that has timed out; return if it has not."""
    if message := event.get("timeout"):
        raise time_limit(timeout, execution_timeout)[1](message)


def summary_in(event: dict[str, Any]) -> BackupSetSummary:
    """Return the summary in a trigger's event, or raise the error in it."""
    from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError

    if "summary" in event:
        return cast("BackupSetSummary", event["summary"])
    if failed := event.get("failed"):
        raise BackupSetFailedError.from_dict(failed)
    raise OceanBaseCloudError.from_dict(event["error"])
