"""Tasks of a history: Airflow runs their tries, in a worker and in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.exceptions import AirflowRescheduleException
from airflow.sdk.exceptions import TaskDeferred
from histories.clock import Kill, Killed, Worker
from histories.triggerer import Stored, Triggerer
from histories.world import Store, World

from airflow_provider_oceanbase.operators import StartBackupOperator
from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, BackupSetSensor, RestorablePointSensor

#: Called with a task when a try of it has ended: with its XCom, with its error, or, killed, with neither.
Ended = Callable[["Task", Any, BaseException | None], object]


class TaskInstance:
    """What operators use of Airflow's task instance."""

    stats_tags: dict[str, str] = {}  # noqa: RUF012
    try_number = 1

    def __init__(self, world: World, max_tries: int = 0) -> None:
        self._world = world
        self.max_tries = max_tries
        self.xcoms: dict[str, Any] = {}
        self.first_reschedule: datetime | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        self._world.effect()
        self.xcoms[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule


class Task:
    """One task instance: its tries follow each other, and its store lasts.

    :param ended: called when a try has ended
    """

    operator_class: Callable[..., Any]

    def __init__(self, name: str, world: World, triggerer: Triggerer, ended: Ended) -> None:
        self.name = name
        self.store = Store(world)
        self._world = world
        self.triggerer = triggerer
        self._ended = ended
        self._options: dict[str, Any] = {}
        self._try = 0
        self._worker: Worker | None = None
        self._trigger: Stored | None = None
        self._ti = TaskInstance(world)
        self.running = False
        #: What the last try ended with.
        self.xcom: Any = None
        self.error: BaseException | None = None
        #: How often it was cleared.
        self.cleared = 0
        #: When the try began, in seconds of the history.
        self.began = 0.0

    def renew(self) -> None:
        """Be another task instance from now on, of the next DAG run."""
        self.store.wipe()
        self.cleared = 0

    def run(self, options: dict[str, Any], kill: Kill | None = None) -> None:
        """Begin a try.

        :param kill: when the worker is killed
        """
        assert not self.running
        self._try += 1
        self._options = options
        self._ti = TaskInstance(self._world, max_tries=self.cleared)
        self.running, self.began = True, self._world.clock.now
        self.backstopped = False
        if options.get("start_from_trigger"):
            self._hand_over()
        else:
            self._work(lambda task: task.execute(self._context), kill)

    def kill(self) -> None:
        """Kill the worker, if there is one."""
        if self._worker is not None and not self._worker.done:
            self._worker.kill()

    def stop(self) -> None:
        """End the try, like somebody who clears a task that runs."""
        self.kill()
        if self._trigger is not None:
            self.triggerer.remove(self._trigger)
            self._trigger = None
        if self.running:
            self._end(None, None)

    def _end(self, xcom: Any, error: BaseException | None) -> None:
        self.running, self.xcom, self.error = False, xcom, error
        self._ended(self, xcom, error)

    @property
    def _context(self) -> Any:
        return {"ti": self._ti, "task_instance": self._ti, "task_state_store": self.store}

    def _work(self, use: Callable[[Any], Any], kill: Kill | None = None) -> None:
        def work() -> None:
            xcom, failure = None, None
            try:
                xcom = use(self.operator_class(task_id=self.name, **self._options))
            except TaskDeferred as deferral:
                self._defer(deferral)
                return
            except AirflowRescheduleException as reschedule:
                self._reschedule(reschedule)
                return
            except Killed:
                # Airflow notices it.
                pass
            except Exception as error:
                failure = error
            self._end(xcom, failure)

        self._worker = Worker(self.name, self._world.clock, work, kill)

    def _reschedule(self, reschedule: AirflowRescheduleException) -> None:
        now, number = datetime.fromtimestamp(self._world.clock.time(), UTC), self._try

        def poll() -> None:
            if self.running and self._try == number:
                self._work(lambda task: task.execute(self._context))

        self._ti.first_reschedule = self._ti.first_reschedule or now
        # The scheduler takes time, too: what is due exactly at the timeout would otherwise be due forever.
        self._world.clock.later(max((reschedule.reschedule_date - now).total_seconds(), 0.0) + 0.001, poll)

    def _hand_over(self) -> None:
        """Begin the wait in the triggerer, like the scheduler: no worker runs."""
        task = self.operator_class(task_id=self.name, **self._options)
        given = task.start_trigger_args
        assert task.start_from_trigger is True
        until = datetime.fromtimestamp(self._world.clock.time(), UTC) + given.timeout

        def prepare(trigger: Any) -> None:
            trigger.task_instance = SimpleNamespace(task=task, task_id=task.task_id, try_number=1)
            trigger.timeout_after = until
            trigger.render_template_fields({})

        arguments = json.dumps(given.trigger_kwargs)
        fired = self._resumption(given.next_method)
        self._wait_in_triggerer(Stored(given.trigger_cls, arguments, fired, prepare=prepare), given.timeout)

    def _defer(self, deferral: TaskDeferred) -> None:
        assert deferral.timeout is not None
        stored = Stored.of(deferral.trigger, self._resumption(deferral.method_name))
        self._wait_in_triggerer(stored, deferral.timeout)

    def _resumption(self, method: str) -> Callable[[Any], object]:
        number = self._try
        return lambda event: self._resume(number, method, {"event": event})

    def _resume(self, number: int, method: str, kwargs: dict[str, Any]) -> None:
        if self._trigger is not None and self._try == number:
            self.triggerer.remove(self._trigger)
            self._trigger = None
            self._work(lambda task: task.resume_execution(method, kwargs, self._context))

    def _wait_in_triggerer(self, stored: Stored, timeout: timedelta) -> None:
        number = self._try

        def time_out() -> None:
            if self._trigger is stored:
                self.backstopped = True
                self._resume(number, "__fail__", {"error": "Trigger timeout"})

        self.backstopped = False
        self._trigger = stored
        self.triggerer.add(stored)
        self._world.clock.later(timeout.total_seconds(), time_out)

    backstopped = False


class StartTask(Task):
    operator_class = StartBackupOperator


class WaitTask(Task):
    operator_class = BackupSetSensor


class RecentTask(Task):
    operator_class = BackupCheckpointSensor


class PointTask(Task):
    operator_class = RestorablePointSensor
