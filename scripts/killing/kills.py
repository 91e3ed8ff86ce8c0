"""The kills themselves: each wait is watched in Airflow's database, killed, and then left to end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil
from harness.cluster import INSTANCE_ID, Cluster
from harness.command import RunError, say

from killing.waits import Kind, Moment, Target, Wait, name_of

if TYPE_CHECKING:
    from sqlalchemy import Row

    from airflow_provider_oceanbase.testing import SeenRequest

#: From a deferral to the time at which Airflow has surely learnt of the end of the process that deferred.
_SETTLED_SECONDS = 8.0
_ENDED = ("success", "failed")
#: How LocalExecutor calls a worker process that has a task.
_WORKER_TITLE = "airflow worker -- LocalExecutor"


@dataclass
class Kills:
    """All the waits, and what is done to them.

    :param cluster: Airflow
    :param waits: the waits, by their names
    :param missed: kills that came too late
    """

    cluster: Cluster
    waits: dict[str, Wait]
    missed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def on_request(self, seen: SeenRequest) -> None:
        """Count a request and kill its sender before the response leaves, if that was drawn for it."""
        wait = self.waits[seen.path.rpartition("/")[2]]
        with self._lock:
            if wait.struck_try is not None:
                wait.unheard += wait.killed_at is None
                return
            wait.requests += 1
            if seen.status == 200 and wait.polled_at is None:
                wait.polled_at = time.monotonic()
            if wait.moment is Moment.REQUEST and wait.requests >= wait.request:
                self._strike(wait)

    def step(self) -> bool:
        """Do what is due, and return whether every wait has ended."""
        query = "SELECT task_id, map_index, state, try_number, pid FROM task_instance WHERE map_index >= 0"
        with self._lock:
            for row in self.cluster.database.rows(query):
                self._look_at(self.waits[name_of(row.task_id, row.map_index)], row)
        return all(wait.state in _ENDED for wait in self.waits.values())

    def _look_at(self, wait: Wait, row: Row[Any]) -> None:
        if row.state == "success" and (wait.turned is None or wait.end != "DONE"):
            raise self._error(wait, "has succeeded: a false success")
        if row.state != wait.state and row.state in _ENDED:
            say(f"{wait.name}: {row.state} at try {row.try_number}")
        task_pid = row.pid if row.state == "running" else None
        if (row.state, task_pid) != (wait.state, wait.task_pid):
            wait.since = time.monotonic()
        wait.state, wait.try_number, wait.task_pid = row.state, row.try_number, task_pid
        if wait.killed_at is None:
            self._pursue(wait)
        if self._is_turn(wait):
            wait.turned = datetime.now(UTC)
            self.cluster.cloud.set_status(INSTANCE_ID, wait.name, wait.end)
            say(f"{wait.name}: its backup set is {wait.end}")

    def _pursue(self, wait: Wait) -> None:
        struck_try = wait.struck_try
        if struck_try is not None and (wait.state == "up_for_retry" or wait.try_number > struck_try):
            wait.killed_at = time.monotonic()
            say(f"{wait.name}: Airflow has noticed")
        elif wait.state in _ENDED:
            self._got_away(wait)
        elif wait.kind is Kind.BEFORE and wait.state == "deferred":
            say(f"{wait.name}: has deferred before it was killed; to be killed after the event")
            self.missed += struck_try is not None
            wait.kind, wait.moment, wait.struck_try = Kind.AFTER, Moment.START, None
        elif self._is_due(wait):
            self._strike(wait)

    def _got_away(self, wait: Wait) -> None:
        if not wait.wanted:
            return
        if wait.turned is None:
            raise self._error(wait, f"is {wait.state}, and its backup set DOING")
        say(f"{wait.name}: has ended before it was killed; a spare wait is next")
        self.missed += 1
        wait.wanted = False
        spares = (other for other in self.waits.values() if not other.wanted and other.turned is None)
        spare = next(spares, None)
        if spare is None:
            raise self._error(wait, "has got away, as too many others have")
        spare.wanted = True

    def _is_due(self, wait: Wait) -> bool:
        # What runs once the backup set has ended has resumed after the trigger's event.
        if not wait.wanted or (wait.kind is Kind.AFTER and wait.turned is None):
            return False
        since = {Moment.START: wait.since, Moment.PAUSE: wait.polled_at}.get(wait.moment)
        return since is not None and time.monotonic() >= since + wait.delay

    def _is_turn(self, wait: Wait) -> bool:
        # Airflow may learn five seconds late that a process has ended. A trigger that fires after the
        # deferral, but before that, makes Airflow take the resumed task for a killed one, and retry it.
        age = time.monotonic() - wait.since
        settles = wait.state == "running" or (wait.state == "deferred" and age < _SETTLED_SECONDS)
        if wait.turned is not None or (wait.kind is not Kind.POKE and settles):
            return False
        since = wait.killed_at
        if wait.kind is Kind.AFTER:
            # The spare ones wait for as long as one might be needed.
            pursued = any(other.wanted and other.killed_at is None for other in self.waits.values())
            since = wait.since if wait.state == "deferred" and (wait.wanted or not pursued) else None
        return since is not None and time.monotonic() >= since + wait.turn

    def _strike(self, wait: Wait) -> None:
        if wait.task_pid is None or wait.struck_try is not None:
            return
        try:
            task = psutil.Process(wait.task_pid)
            worker = task.parent()
            title = " ".join(worker.cmdline()) if worker else ""
        except psutil.NoSuchProcess:
            return
        # Where the task has just ended, its process ID may be another's by now.
        if worker is None or not title.startswith(_WORKER_TITLE):
            return
        # The worker goes first, so that it cannot report the task's end.
        targets = {Target.TASK: (task,), Target.WORKER: (worker,), Target.BOTH: (worker, task)}
        for process in targets[wait.target]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait.struck_try = wait.try_number
        age = time.monotonic() - wait.since
        what = f"{wait.target} killed after {age:.2f} s and {wait.requests} requests"
        say(f"{wait.name}: {what} ({wait.kind})")

    def _error(self, wait: Wait, what: str) -> RunError:
        logs = self.cluster.task_logs(wait.task_id, wait.map_index)
        return self.cluster.error(f"{logs}\n{wait.name} {what}")
