"""Run a sensor in each mode as Airflow does, but in one process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import airflow
from airflow.exceptions import AirflowRescheduleException
from moved import TaskDeferred
from packaging.version import Version

from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, BackupSetSensor, RestorablePointSensor
from airflow_provider_oceanbase.triggers import (
    BackupCheckpointTrigger,
    BackupSetTrigger,
    RestorablePointTrigger,
)
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.sensor import WaitSensor
from airflow_provider_oceanbase.waiting.trigger import WaitTrigger

AIRFLOW_2 = airflow.__version__.startswith("2.")
#: Whether Airflow can begin a wait in the triggerer.
STARTS = Version(airflow.__version__) >= Version("3.3")
MODES = ("poke", "reschedule", "deferrable", *(["triggerer"] if STARTS else []))


def sensor(**options: Any) -> WaitSensor:
    """Make a BackupSetSensor; with ``min_checkpoint`` or ``restore_time``, the sensor that has it.

    For the first one, HTTP 404 fails at once, so that tests of it take no minutes.
    """
    defaults = {"task_id": "wait", "instance_id": "ob-1", "poke_interval": 0.01}
    if "min_checkpoint" in options:
        return BackupCheckpointSensor(**defaults | options)
    if "restore_time" in options:
        return RestorablePointSensor(**defaults | options)
    return BackupSetSensor(**defaults | {"backup_task_id": "bak-1", "registration_timeout": 0} | options)


def trigger(**options: Any) -> BackupSetTrigger:
    """Make a BackupSetTrigger; options are those of the trigger, its condition and its schedule."""
    arguments = {
        "oceanbase_conn_id": options.pop("oceanbase_conn_id", "oceanbase_default"),
        "began": options.pop("began", time.time()),
        "status": options.pop("status", "DOING"),
    }
    schedule = {"poke_interval": 0.05, "timeout": 60}
    condition = {"instance_id": "ob-1", "backup_task_id": "bak-1"}
    for name, value in options.items():
        (schedule if name in PollSchedule.__annotations__ else condition)[name] = value
    return BackupSetTrigger(schedule=schedule, **arguments, **condition)


def context(first_reschedule_date: datetime | None = None) -> Any:
    """Return the context of a task on Airflow 3; see also :func:`rescheduled`."""
    ti = MagicMock(max_tries=0)
    ti.get_first_reschedule_date.return_value = first_reschedule_date
    return {"ti": ti}


@contextmanager
def rescheduled(first_date: datetime | None) -> Iterator[Any]:
    """Yield the context of a task that any Airflow rescheduled first at a date, or never."""
    if AIRFLOW_2:
        # It queries its database for a task instance that does not exist here.
        with (
            patch("airflow.sensors.base._orig_start_date", lambda **_: first_date),
            patch("airflow_provider_oceanbase.waiting.sensor.first_reschedule_date", lambda _: first_date),
        ):
            yield context()
    else:
        yield context(first_date)


def wait(mode: str, **options: Any) -> Any:
    """Wait like a task; return its XCom, or raise its failure."""
    ways = {"poke": _poke, "reschedule": _reschedule, "deferrable": _deferrable, "triggerer": _triggerer}
    return ways[mode](options)


def _poke(options: dict[str, Any]) -> Any:
    return sensor(**options).execute(context())


def _reschedule(options: dict[str, Any]) -> Any:
    began = None
    # Far more polls than any wait here has: a fast machine makes hundreds in a second.
    for _ in range(5000):
        try:
            # A new object each time: no state but Airflow's survives.
            with rescheduled(began) as given:
                return sensor(mode="reschedule", **options).execute(given)
        except AirflowRescheduleException as reschedule:
            began = began or datetime.now(UTC)
            # Like the scheduler.
            time.sleep(max((reschedule.reschedule_date - datetime.now(UTC)).total_seconds(), 0))
    raise AssertionError("the wait does not end")


def _deferrable(options: dict[str, Any]) -> Any:
    return _deferred(lambda task: task.execute(context()), options)


def _triggerer(options: dict[str, Any]) -> Any:
    options = {"start_from_trigger": True, **options}
    event = asyncio.run(fire(started(sensor(deferrable=True, **options))))
    return _deferred(_resumption("execute_complete", event), options)


class XComs:
    """The XComs of a task, for its trigger in the triggerer; in place of the triggerer's supervisor."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def asend(self, message: Any) -> Any:
        """Answer a request as the supervisor does."""
        from airflow.sdk.execution_time.comms import DeleteXCom, GetXCom, SetXCom, XComResult

        if isinstance(message, DeleteXCom):
            self.values.pop(message.key, None)
            return None
        if isinstance(message, SetXCom):
            self.values[message.key] = json.loads(json.dumps(message.value))
            return None
        assert isinstance(message, GetXCom)
        return XComResult(key=message.key, value=self.values.get(message.key))


def started(
    task: WaitSensor,
    began: float | None = None,
    *,
    xcoms: XComs | None = None,
    tries: int = 1,
    rendered: bool = True,
    **values: Any,
) -> WaitTrigger:
    """Return the trigger of a task that Airflow starts in the triggerer.

    :param began: when the scheduler handed the task over; default: now
    :param xcoms: the task's XComs; default: none yet
    :param tries: how many tries the task has had, with this one
    :param rendered: False: the DAG has changed meanwhile, and does not let the task begin there any more
    :param values: what templates find
    """
    given = task.start_trigger_args
    assert task.start_from_trigger is True
    assert given is not None
    assert given.next_method == "execute_complete"
    assert given.timeout is not None
    trigger = _stored(given.trigger_cls, given.trigger_kwargs)
    names: dict[str, Any] = {
        "dag_id": "d",
        "task_id": task.task_id,
        "run_id": "r",
        "map_index": -1,
        "try_number": tries,
    }
    trigger.task_instance = SimpleNamespace(task=task, **names)
    trigger.xcoms = xcoms or XComs()  # type: ignore[attr-defined]
    trigger.timeout_after = datetime.fromtimestamp(began or time.time(), UTC) + given.timeout
    if rendered:
        trigger.render_template_fields(values)
    return trigger


def _deferred(begin: Callable[[WaitSensor], Any], options: dict[str, Any]) -> Any:
    for _ in range(100):
        try:
            return begin(sensor(deferrable=True, **options))
        except TaskDeferred as deferral:
            event = asyncio.run(fire(stored(deferral.trigger)))
            begin = _resumption(deferral.method_name, event)
    raise AssertionError("the wait does not end")


def _resumption(method_name: str, event: Any) -> Callable[[WaitSensor], Any]:
    return lambda task: task.resume_execution(method_name, {"event": event}, context())


def stored(trigger: Any) -> WaitTrigger[Any]:
    """Return the trigger as the triggerer builds it from the database."""
    return _stored(*trigger.serialize())


def _stored(path: str, arguments: Any) -> Any:
    (trigger_class,) = (
        one
        for one in (BackupSetTrigger, BackupCheckpointTrigger, RestorablePointTrigger)
        if path == f"{one.__module__}.{one.__name__}"
    )
    return trigger_class(**json.loads(json.dumps(arguments)))


async def fire(trigger: WaitTrigger[Any]) -> Any:
    """Run a trigger; return its only event, as Airflow stores it."""
    xcoms = getattr(trigger, "xcoms", None)
    runner = "airflow.sdk.execution_time.task_runner"
    with patch(f"{runner}.SUPERVISOR_COMMS", xcoms, create=True) if xcoms else nullcontext():
        events = [event async for event in trigger.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0].payload))
