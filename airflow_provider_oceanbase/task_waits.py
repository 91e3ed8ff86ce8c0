"""What tasks that wait have in common, sensors and others."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase._compat import AirflowSensorTimeout, AirflowTaskTimeout, conf

if TYPE_CHECKING:
    from airflow_provider_oceanbase.api import Answer, T
    from airflow_provider_oceanbase.backup_set import BackupSet, BackupSetSummary
    from airflow_provider_oceanbase.goals import Goal
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.triggers import WaitTrigger
    from airflow_provider_oceanbase.waiting import Pace, Wait

#: Whether a task waits in the triggerer where its DAG does not say.
DEFAULT_DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)
_TIMEOUT_MARGIN_SECONDS = 60.0


# What only a run needs is imported where it is needed: a DAG file is parsed far more often than it runs.
def check(hook: OceanBaseHook, wait: Wait[T]) -> BackupSet | None:
    """Check once: the set that is waited for, None to wait on.

    :raises BackupSetFailedError: the backup failed
    :raises OceanBaseCloudError: waiting would not help, or nothing worked before
    """
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

    try:
        answer = _ask(hook, wait)
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    return wait.answered(*answer)


def wait_here(hook: OceanBaseHook, wait: Wait[T], pace: Pace, began: float) -> BackupSet:
    """Wait in the worker: return the set that is waited for.

    :param began: when the wait began, in seconds since the epoch
    :raises AirflowSensorTimeout: the time is over
    :raises BackupSetFailedError: the backup failed
    :raises OceanBaseCloudError: waiting would not help
    """
    for pause, _ in wait.pauses(pace, began, first_share=0.0):
        # In the worker's own slot: who does not want that defers.
        time.sleep(pause)
        if backup_set := check(hook, wait):
            return backup_set
    raise AirflowSensorTimeout(wait.timed_out(pace, began))


def _ask(hook: OceanBaseHook, wait: Wait[T]) -> Answer[T]:
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

    question = wait.goal.question
    try:
        return hook.ask(question, retry=wait.first)
    except OceanBaseCloudError as error:
        if not wait.wants_fresh_connection(error):
            raise
    hook.close()
    return hook.ask(question, retry=False)


def seconds(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds.

    :raises ValueError: it is none, or a negative one
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(number, int | float) or not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a number of seconds or a timedelta, and not negative: {value!r}")
    return float(number)


def time_limit(timeout: float, execution_timeout: timedelta | None) -> tuple[float, type[BaseException]]:
    """Return the seconds after which a deferred wait is over, and the error that says so."""
    if execution_timeout and execution_timeout.total_seconds() < timeout:
        return execution_timeout.total_seconds(), AirflowTaskTimeout
    return timeout, AirflowSensorTimeout


def deferral(
    trigger_class: type[WaitTrigger[Any]],
    goal: Goal[Any],
    pace: Pace,
    *,
    oceanbase_conn_id: str,
    began: float,
    status: str | None,
) -> dict[str, Any]:
    """Return the arguments of ``defer()`` for a wait that goes on in the triggerer."""
    from dataclasses import asdict

    return {
        "trigger": trigger_class(
            goal=asdict(goal),
            pace=asdict(pace),
            oceanbase_conn_id=oceanbase_conn_id,
            began=began,
            status=status,
        ),
        "method_name": "execute_complete",
        # The trigger keeps the time itself, and says more; this is for one that cannot.
        "timeout": timedelta(seconds=max(began + pace.timeout - time.time(), 0.0) + _TIMEOUT_MARGIN_SECONDS),
    }


def summary_in(event: dict[str, Any]) -> BackupSetSummary:
    """Return what a trigger found, or raise what it met."""
    from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError

    if "summary" in event:
        return cast("BackupSetSummary", event["summary"])
    if failed := event.get("failed"):
        raise BackupSetFailedError.from_dict(failed)
    raise OceanBaseCloudError.from_dict(event["error"])


def measure(began: float) -> None:
    """Tell Airflow's metrics of a wait that has ended well, by when it began."""
    from airflow_provider_oceanbase._compat import Stats
    from airflow_provider_oceanbase.waiting import WAIT_METRIC

    Stats.timing(WAIT_METRIC, timedelta(seconds=max(time.time() - began, 0.0)))
