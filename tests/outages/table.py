"""Which outages tasks ride out: their code runs in simulated time, and Airflow itself says when to retry.

Worker, triggerer and network are those of the histories.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.exceptions import AirflowFailException
from airflow.models.taskinstance import TaskInstance
from histories.clock import BEGINNING
from histories.cloud import Cloud
from histories.tasks import RecentTask, StartTask, Task, WaitTask
from histories.triggerer import Triggerer
from histories.wire import Reply
from histories.world import World
from pages import ROOT

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, BaseOperator
from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.retries import OceanBaseRetryPolicy

PAGE = ROOT / "docs" / "how-to" / "ride-out-an-outage.md"
HEADING = "Which outage a task rides out"
#: Of so many seconds: the columns of the table.
OUTAGES = (60, 600, 3600, 6 * 3600)
#: Outages during a wait begin so many seconds after the task.
_DURING = 90


class GetTask(Task):
    operator_class = GetBackupSetOperator


@dataclass(frozen=True)
class Kind:
    """A task, and its arguments besides the instance."""

    task: type[Task]
    options: dict[str, Any] = field(default_factory=dict)


_ID = {"backup_task_id": "bak-1"}
_RECENT = {"min_checkpoint": datetime.fromtimestamp(BEGINNING, UTC)}
_START = {"backup_object_type": "tenant"}
_MODES: tuple[dict[str, Any], ...] = (
    {"deferrable": False, "mode": "poke"},
    {"deferrable": False, "mode": "reschedule"},
    {"deferrable": True},
)
WAITS = [
    *(Kind(WaitTask, {**_ID, **mode}) for mode in _MODES),
    *(Kind(RecentTask, {**_RECENT, **mode}) for mode in _MODES),
    *(
        Kind(StartTask, {**_START, "wait_for_completion": True, "deferrable": deferrable})
        for deferrable in (False, True)
    ),
]
TASKS = [*WAITS, Kind(GetTask, _ID), Kind(StartTask, _START)]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param retries: what the task has for retries
    :param during_wait: whether the outage begins during the wait, not before the task
    :param tells: whether the API says how long it will be away
    """

    retries: dict[str, Any]
    during_wait: bool = False
    tells: bool = False

    @property
    def cells(self) -> list[str]:
        begins = "during a wait" if self.during_wait else "before the task"
        if self.tells:
            begins += "; the API says how long, by `Retry-After`"
        arguments = ", ".join(f"{name}={_code(value)}" for name, value in self.retries.items())
        return [begins, f"`{arguments}`", *(self._outcome(outage) for outage in OUTAGES)]

    def _outcome(self, outage: int) -> str:
        # One table for all tasks: all end alike.
        (success,) = {succeeds(self, kind, outage) for kind in (WAITS if self.during_wait else TASKS)}
        return "rides it out" if success else "fails"


_EVERY_5_MINUTES = {"retry_delay": timedelta(minutes=5)}
ROWS = [
    Row({"retries": 0}, during_wait=True),
    Row({"retries": 0}),
    Row({"retries": 2, **_EVERY_5_MINUTES}),
    Row({"retries": 2, **_EVERY_5_MINUTES, "retry_policy": OceanBaseRetryPolicy()}, tells=True),
    Row({"retries": 12, **_EVERY_5_MINUTES}),
    Row(
        {
            "retries": 14,
            **_EVERY_5_MINUTES,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=30),
        }
    ),
]


def _code(value: object) -> str:
    if isinstance(value, timedelta):
        return f"timedelta(minutes={value.total_seconds() / 60:g})"
    return f"{type(value).__name__}()" if isinstance(value, OceanBaseRetryPolicy) else str(value)


class AwayCloud(Cloud):
    """OceanBase Cloud, away for a while: it refuses connections, or answers 503 with ``Retry-After``."""

    #: From when, and until when; and whether it says so.
    away = (0.0, 0.0)
    tells = False

    @property
    def _is_away(self) -> bool:
        return self.away[0] <= self.clock.now < self.away[1]

    def connect(self, address: tuple[str, int]) -> None:
        if self._is_away and not self.tells:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        super().connect(address)

    def answer(self, request: bytes) -> Reply:
        if self._is_away:
            return self._refused(503, {"Retry-After": f"{self.away[1] - self.clock.now:.0f}"})
        return super().answer(request)


def succeeds(row: Row, kind: Kind, outage: int) -> bool:
    """Run a task and its retries in simulated time; return whether it succeeds."""
    world = World(started=lambda *_: None)
    begins = _DURING if row.during_wait else 0
    world.cloud = cloud = AwayCloud(world.clock, world.effect, lambda *_: None, world.trouble)
    cloud.away, cloud.tells = (begins, begins + outage), row.tells
    # A wait that has begun must still be a wait after the outage.
    cloud.plan = (0.0, begins + outage + 300.0 if row.during_wait else 0.0, "DONE")
    if kind.task is not StartTask:
        cloud.begin("p1", "ob-1", None, cloud.plan)
    options = {"instance_id": "ob-1", **kind.options}
    outcomes: list[bool] = []
    errors: list[BaseException] = []

    def ended(task: Task, _: Any, error: BaseException | None) -> None:
        pause = None
        if error is not None:
            errors.append(error)
            pause = _pause(row.retries, len(errors), error)
        if pause is None:
            outcomes.append(error is None)
        else:
            world.clock.later(pause, lambda: task.run(options))

    triggerer = Triggerer(world)
    with world.running():
        triggerer.start()
        kind.task("task", world, triggerer, ended).run(options)
        while not outcomes:
            world.clock.advance(60.0)
        triggerer.kill()
        world.clock.advance(0.0)
    return outcomes[0]


def _pause(retries: dict[str, Any], tries: int, error: BaseException) -> float | None:
    """Return after how many seconds Airflow retries a task, None if it does not."""
    task = BaseOperator(task_id="task", **retries)
    if tries > task.retries or isinstance(error, (AirflowFailException, AirflowSensorTimeout)):
        return None
    override = None
    if task.retry_policy is not None:
        decision = task.retry_policy.evaluate(error, tries, task.retries)
        assert decision.action.value in ("retry", "default")
        override = decision.retry_delay and decision.retry_delay.total_seconds()
    end = datetime(2026, 1, 1, tzinfo=UTC)
    failed: Any = SimpleNamespace(
        task=task,
        retry_delay_override=override,
        end_date=end,
        try_number=tries,
        dag_id="etl",
        task_id="task",
        logical_date=end,
    )
    pause: timedelta = TaskInstance.next_retry_datetime(failed) - end
    return pause.total_seconds()
