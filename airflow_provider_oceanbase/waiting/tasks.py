"""The waiting rule in a task, sensor or not: one poll, a wait in the worker, or a deferral to a trigger."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout, triggerer_health
from airflow_provider_oceanbase.waiting.advice import no_triggerer

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.query import T
    from airflow_provider_oceanbase.compat.sdk import BaseOperator
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.trigger import WaitTrigger
    from airflow_provider_oceanbase.waiting.verdict import Condition
    from airflow_provider_oceanbase.waiting.wait import Wait

#: So many seconds after the last poll Airflow itself ends a deferred wait.
TIMEOUT_MARGIN_SECONDS = 60.0
#: What Airflow calls if it ends a deferred wait itself.
FAIL = "__fail__"
#: What it says if its own timeout of a trigger comes first: in 3, and in 2.
_TIMED_OUT = ("Trigger timeout", "Trigger/execution timeout")


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
def poll(hook: OceanBaseHook, wait: Wait[T]) -> Any:
    """Poll once: return what is waited for, such as a backup set; None to keep waiting.

    :raises WaitFailedError: waiting would not help, for example because the backup failed
    :raises OceanBaseCloudError: waiting would not help, or no poll has succeeded yet
    """
    from airflow_provider_oceanbase.cloud.failures import naming
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

    try:
        answer = hook.poll(wait.condition.query, first=wait.first, is_final=wait.is_final)
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    with naming(hook.endpoint):
        return wait.answered(*answer)


def wait_in_worker(hook: OceanBaseHook, wait: Wait[T], schedule: PollSchedule, began: float) -> Any:
    """Wait in the worker's slot, and return what is waited for, such as a backup set.

    :param began: when the wait began, in seconds since the epoch
    :raises AirflowSensorTimeout: the wait timed out
    :raises WaitFailedError: waiting would not help, for example because the backup failed
    :raises OceanBaseCloudError: waiting would not help
    """
    wait.lasts(schedule, began)
    for next_poll in wait.polls(schedule, began, first_share=0.0):
        # Not deferrable: the task holds its worker slot, as a sensor in poke mode does.
        time.sleep(next_poll.pause)
        if found := poll(hook, wait):
            return found
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
    hook: OceanBaseHook,
    began: float,
    status: str | None,
) -> NoReturn:
    """Defer a task, so that its wait continues in the triggerer.

    :param hook: the hook that has polled
    :param began: when the wait began, in seconds since the epoch
    :param status: the last known status
    """
    from dataclasses import asdict, replace

    from airflow_provider_oceanbase.waiting.schedule import grace

    limit, _ = time_limit(schedule.timeout, task.execution_timeout)
    schedule = replace(schedule, timeout=limit, grace=grace(_connection_timeout(hook)))
    left = max(began + limit - time.time(), 0.0)
    text = "%s: handed to the triggerer. If silent, see %s (last seen: %s; %s)."
    task.log.info(text, condition.name, triggerer_health(), status or "nothing yet", condition.details)
    task.defer(
        trigger=trigger_class(
            schedule=asdict(schedule),
            oceanbase_conn_id=hook.oceanbase_conn_id,
            began=began,
            status=status,
            **asdict(condition),
        ),
        method_name="execute_complete",
        # A backstop: the trigger itself keeps the time, and its message says more.
        timeout=timedelta(seconds=left + schedule.grace + TIMEOUT_MARGIN_SECONDS),
    )


def _connection_timeout(hook: OceanBaseHook) -> float:
    from airflow_provider_oceanbase.cloud.endpoint import DEFAULT_TIMEOUT_SECONDS

    try:
        return hook.endpoint.timeout
    except Exception:
        # Unreadable: with silent_fail, even that is waited out.
        return DEFAULT_TIMEOUT_SECONDS


def take_waited_for(task: BaseOperator, event: dict[str, Any]) -> frozenset[str]:
    """Set the templates of a task to what its trigger has waited for, whatever they render to by now.

    :return: the names of what was set, all of it checked before
    """
    known = {**event, **event.get("condition", {})}
    taken = frozenset(name for name in task.template_fields if name in known)
    for name in taken:
        setattr(task, name, known[name])
    return taken


def resumption(
    next_method: str, next_kwargs: dict[str, Any] | None, instance_id: str
) -> tuple[str, dict[str, Any] | None]:
    """Return how to resume a task: after Airflow's own timeout of its trigger, as after the trigger's.

    :param next_method: the method that Airflow would call
    :param next_kwargs: what Airflow would pass to it
    """
    if next_method != FAIL or (next_kwargs or {}).get("error") not in _TIMED_OUT:
        return next_method, next_kwargs
    message = (
        f"No triggerer in time, timed out: Airflow ended the wait at instance {instance_id!r} "
        f"itself. {no_triggerer()}"
    )
    return "execute_complete", {"event": {"timeout": message}}


def raise_timeout(event: dict[str, Any], timeout: float, execution_timeout: timedelta | None) -> None:
    """Raise the error for a trigger's wait that has timed out; return if it has not."""
    if message := event.get("timeout"):
        raise time_limit(timeout, execution_timeout)[1](message)


def summary_in(event: dict[str, Any]) -> Any:
    """Return the summary in a trigger's event, or raise the error in it."""
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, WaitFailedError

    if "summary" in event:
        return event["summary"]
    if failed := event.get("failed"):
        raise WaitFailedError.from_dict(failed)
    raise OceanBaseCloudError.from_dict(event["error"])
