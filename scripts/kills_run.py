"""The kills themselves: each wait is watched in Airflow's database, killed, and let come to its end."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster_airflow import INSTANCE_ID
from kills_plan import Kind, Moment, Plan, Target
from processes import parent, say

if TYPE_CHECKING:
    from cluster_airflow import Cluster
    from processes import RunError
    from sqlalchemy import Row

    from airflow_provider_oceanbase.testing import SeenRequest

#: From a deferral to the time at which Airflow has surely learnt of the end of the process that deferred.
_SETTLED_SECONDS = 8.0
_ENDED = ("success", "failed")
#: How LocalExecutor calls a worker process that has a task.
_WORKER_TITLE = b"airflow worker -- LocalExecutor"


@dataclass
class Victim:
    """A wait that is to be killed once.

    :param plan: what is to happen to it
    :param kind: as planned, or what it has become
    :param wanted: whether it is to be killed at all; a spare one only once another has got away
    :param task_pid: its process, while one runs
    :param since: when its state and process were first seen, as all such times by the monotonic clock
    :param checked_at: when its backup set was first read
    :param requests: how many requests it or its trigger had made when it was killed
    :param unheard: how many its process made from then on, until Airflow noticed
    :param struck_try: the try in which it was sent the SIGKILL
    :param killed_at: when Airflow had noticed
    :param turned: the time of day at which its backup set came to its end
    :param state: its state in Airflow
    :param try_number: its try
    """

    plan: Plan
    kind: Kind
    wanted: bool
    task_pid: int | None = None
    since: float = 0.0
    checked_at: float | None = None
    requests: int = 0
    unheard: int = 0
    struck_try: int | None = None
    killed_at: float | None = None
    turned: datetime | None = None
    state: str | None = None
    try_number: int = 0

    @property
    def moment(self) -> Moment:
        """From where the time to its kill counts."""
        # What goes on with an event checks no more.
        return Moment.START if self.kind is Kind.AFTER else self.plan.moment

    @property
    def is_pursued(self) -> bool:
        """Whether it is still to be killed."""
        return self.wanted and self.killed_at is None


@dataclass
class Kills:
    """All the waits, and what is done to them.

    :param victims: the waits, by the IDs of their backup tasks
    :param missed: kills that came too late
    """

    victims: dict[str, Victim]
    missed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_request(self, seen: SeenRequest) -> None:
        """Count a request and, where it is planned so, kill its sender before the answer leaves."""
        victim = self.victims[seen.path.rpartition("/")[2]]
        with self._lock:
            if victim.struck_try is not None:
                victim.unheard += victim.killed_at is None
                return
            victim.requests += 1
            if seen.status == 200 and victim.checked_at is None:
                victim.checked_at = time.monotonic()
            if victim.moment is Moment.CHECK and victim.requests >= victim.plan.request:
                self._strike(victim)

    def go_on(self, cluster: Cluster) -> bool:
        """Do what is due, and tell whether every wait has ended."""
        query = "SELECT task_id, map_index, state, try_number, pid FROM task_instance"
        query += " WHERE dag_id = :dag_id AND map_index >= 0"
        with self._lock:
            for row in cluster.rows(query, dag_id=cluster.dag_id):
                self._look_at(self.victims[f"{row.task_id}-{row.map_index:02}"], row, cluster)
        return all(victim.state in _ENDED for victim in self.victims.values())

    def _look_at(self, victim: Victim, row: Row[Any], cluster: Cluster) -> None:
        if row.state == "success" and (victim.turned is None or victim.plan.end != "DONE"):
            raise _error(cluster, victim, "has succeeded: a false success")
        if row.state != victim.state and row.state in _ENDED:
            say(f"{victim.plan.backup_task_id}: {row.state} at try {row.try_number}")
        task_pid = row.pid if row.state == "running" else None
        if (row.state, task_pid) != (victim.state, victim.task_pid):
            victim.since = time.monotonic()
        victim.state, victim.try_number, victim.task_pid = row.state, row.try_number, task_pid
        if victim.killed_at is None:
            self._pursue(victim, cluster)
        if self._is_turn(victim):
            victim.turned = datetime.now(UTC)
            cluster.cloud.set_status(INSTANCE_ID, victim.plan.backup_task_id, victim.plan.end)
            say(f"{victim.plan.backup_task_id}: its backup set is {victim.plan.end}")

    def _pursue(self, victim: Victim, cluster: Cluster) -> None:
        name, struck_try = victim.plan.backup_task_id, victim.struck_try
        if struck_try is not None and (victim.state == "up_for_retry" or victim.try_number > struck_try):
            victim.killed_at = time.monotonic()
            say(f"{name}: Airflow has noticed")
        elif victim.state in _ENDED:
            self._got_away(victim, cluster)
        elif victim.kind is Kind.BEFORE and victim.state == "deferred":
            say(f"{name}: has deferred before it was killed; to be killed after the event")
            self.missed += struck_try is not None
            victim.kind, victim.struck_try = Kind.AFTER, None
        elif self._is_due(victim):
            self._strike(victim)

    def _got_away(self, victim: Victim, cluster: Cluster) -> None:
        if not victim.wanted:
            return
        if victim.turned is None:
            raise _error(cluster, victim, f"is {victim.state}, and its backup set DOING")
        say(f"{victim.plan.backup_task_id}: has ended before it was killed; a spare wait is next")
        self.missed += 1
        victim.wanted = False
        spares = (other for other in self.victims.values() if not other.wanted and other.turned is None)
        spare = next(spares, None)
        if spare is None:
            raise _error(cluster, victim, "has got away, as too many others have")
        spare.wanted = True

    def _is_due(self, victim: Victim) -> bool:
        # What runs once the backup set has ended is what goes on with the trigger's event.
        if not victim.wanted or (victim.kind is Kind.AFTER and victim.turned is None):
            return False
        since = {Moment.START: victim.since, Moment.PAUSE: victim.checked_at}.get(victim.moment)
        return since is not None and time.monotonic() >= since + victim.plan.delay

    def _is_turn(self, victim: Victim) -> bool:
        if victim.turned is not None or not _is_settled(victim):
            return False
        since = victim.killed_at
        if victim.kind is Kind.AFTER:
            # The spare ones wait for as long as one might be needed.
            is_needed = victim.wanted or not any(other.is_pursued for other in self.victims.values())
            since = victim.since if is_needed and victim.state == "deferred" else None
        return since is not None and time.monotonic() >= since + victim.plan.turn

    def _strike(self, victim: Victim) -> None:
        task = victim.task_pid
        if task is None or victim.struck_try is not None:
            return
        worker = parent(task)
        # Where the task has just ended, its process ID may be another's by now.
        if worker is None or not _title(worker).startswith(_WORKER_TITLE):
            return
        # The worker goes first, so that it cannot tell of the task's end.
        pids = {Target.TASK: (task,), Target.WORKER: (worker,), Target.BOTH: (worker, task)}
        for pid in pids[victim.plan.target]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        victim.struck_try = victim.try_number
        age = time.monotonic() - victim.since
        what = f"{victim.plan.target} killed after {age:.2f} s and {victim.requests} requests"
        say(f"{victim.plan.backup_task_id}: {what} ({victim.kind})")


def _error(cluster: Cluster, victim: Victim, what: str) -> RunError:
    plan = victim.plan
    logs = cluster.logs_of(plan.task_id, plan.map_index)
    return cluster.error(f"{logs}\n{plan.backup_task_id} {what}")


def _is_settled(victim: Victim) -> bool:
    """Whether no event of a trigger can come too early for Airflow.

    It may learn five seconds late that a process has ended. A trigger that fires after the deferral, but
    before that, makes Airflow take the going on for a task killed by somebody, and retry it.
    """
    if victim.kind is Kind.POKE or victim.state not in ("running", "deferred"):
        return True
    return victim.state == "deferred" and time.monotonic() >= victim.since + _SETTLED_SECONDS


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
