"""What must hold in every history, whatever happens in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from histories.clock import current_worker
from histories.cloud import ADDRESS, Backup
from histories.points import Wish
from histories.tasks import Task
from histories.world import World

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    BackupStartUnknownError,
    OceanBaseNotFoundError,
)

#: Seconds that a request, its retries and its pages may take, with room to spare.
_REQUEST = 300.0
#: Seconds that Airflow itself may take to end a wait whose trigger does not.
_BACKSTOP = 600.0


@dataclass
class Try:
    """What a try of a task is to do.

    :param wants: instance and tenant of a backup that is to be started
    :param backup: the backup that is waited for, if it is known
    :param since: when a backup must have begun, if it is not known
    :param point: what is wanted of tenants, if it is no backup that is waited for
    """

    options: dict[str, Any]
    wants: tuple[str, str] | None = None
    backup: Backup | None = None
    since: float = 0.0
    point: Wish | None = None

    @property
    def timeout(self) -> float:
        waits = self.wants is None or self.options.get("wait_for_completion")
        return float(self.options["timeout"]) if waits else 0.0


@dataclass(eq=False)
class Claim:
    """A backup that a task has started.

    :param settled: whether the task was asked for another since then
    :param told: how often the task had been cleared when it said that a backup may be running
    """

    backup: Backup
    wants: tuple[str, str]
    settled: bool = False
    told: int | None = None


class Judge:
    """Collects what was found wrong, to be raised between two rules: not in the midst of the provider."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def must(self, holds: object, otherwise: str) -> None:
        if not holds:
            self.found.append(otherwise)


@dataclass(eq=False)
class Model:
    """Knows what each task was asked for, and judges what it did."""

    world: World
    judge: Judge
    tries: dict[str, Try] = field(default_factory=dict)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    def renew(self, task: Task) -> None:
        """Forget what a task was asked for, since it is another task instance from now on."""
        task.renew()
        self.claims.pop(task.name, None)
        self.tries.pop(task.name, None)

    def begin(self, task: Task, options: dict[str, Any], **what: Any) -> None:
        former = self.tries.get(task.name)
        if former is not None and former.wants != what.get("wants"):
            # Something else is asked for: even if nothing comes of it, what was started before is settled.
            for claim in self.claims.get(task.name, ()):
                claim.settled = True
        self.tasks[task.name] = task
        self.tries[task.name] = Try(options, **what)

    def started_by(self, task: Task) -> list[Backup]:
        """Return the backups that a task has started."""
        return [claim.backup for claim in self.claims.get(task.name, ())]

    # Never two backups where one was asked for.

    def started(self, backup: Backup, wanted: dict[str, Any]) -> None:
        """Judge a backup that a task has just started."""
        worker = current_worker()
        assert worker is not None
        wants = self.tries[worker.name].wants
        self.judge.must(
            wants == (backup.instance, wanted.get("tenantId")), f"{worker.name} starts another's backup"
        )
        claims = self.claims.setdefault(worker.name, [])
        claim = Claim(backup, wants)
        if claims:
            former = claims[-1]
            same = (former.wants, former.backup.project) == (wants, backup.project) and not former.settled
            deliberate = former.told is not None and self.tasks[worker.name].cleared > former.told
            self.judge.must(
                not same or deliberate or self._is_lost(former.backup, worker.name),
                f"{worker.name} starts {backup.name} beside {former.backup.name}",
            )
        claims.append(claim)

    def _is_lost(self, backup: Backup, name: str) -> bool:
        now = self.world.clock.now
        invalid = self.tries[name].options.get("require_valid") and backup.validity != "VALID"
        # By a clock that was set forward, it must have been registered.
        missing = backup.status(now) is None and self.world.troubled_since(backup.began, "clock")
        lost = missing or backup.is_deleted(now) or backup.has_failed(now)
        return lost or bool(invalid and now >= backup.done_at)

    def ended(self, task: Task, xcom: Any, error: BaseException | None) -> None:
        """Judge the end of a try."""
        attempt, now = self.tries[task.name], self.world.clock.now
        if (xcom is None and error is None) or self.world.troubled_since(task.began, "store"):
            self._settle_elsewhere(task)
        if isinstance(error, BackupStartUnknownError):
            for claim in self.claims.get(task.name, ()):
                claim.told = task.cleared
        elif isinstance(error, BackupSetFailedError):
            self._failed(task, attempt, error)
        elif isinstance(error, AirflowSensorTimeout):
            self._timed_out(task, attempt)
        elif error is not None:
            self._broke_off(task, attempt, error)
        elif xcom is not None and attempt.wants is not None:
            self._succeeded_to_start(task, attempt, xcom)
        elif xcom is not None:
            self._succeeded_to_wait(task, attempt, xcom)
        self.judge.must(now <= self.limit(task), f"{task.name} ended too late")

    def _settle_elsewhere(self, task: Task) -> None:
        """Settle what was started before: a try could not take note that it started nothing elsewhere."""
        endpoints = self.world.endpoints_since(task.began)
        for claim in self.claims.get(task.name, ()):
            if claim.backup.began < task.began and endpoints != {(ADDRESS[1], claim.backup.project)}:
                claim.settled = True

    # Never success for another's or an unfinished backup.

    def _succeeded_to_start(self, task: Task, attempt: Try, name: str) -> None:
        own = [claim for claim in self.claims.get(task.name, ()) if claim.backup.name == name]
        self.judge.must(own, f"{task.name} succeeds with {name}, which it has not started")
        if not own:
            return
        (claim,) = own
        backup = claim.backup
        self.judge.must(claim.wants == attempt.wants, f"{task.name} succeeds with {name}, which is another's")
        projects = self.world.projects_since(task.began)
        self.judge.must(backup.project in projects, f"{task.name} succeeds with {name} of another project")
        failed = backup.has_failed(task.began) and not backup.is_deleted(task.began)
        lost = failed or self._had_gone(task, attempt, backup)
        self.judge.must(not lost, f"{task.name} succeeds with {name}, which had failed or gone before")
        if attempt.options["wait_for_completion"]:
            self._check_complete(task, backup, attempt)

    def _had_gone(self, task: Task, attempt: Try, backup: Backup) -> bool:
        """Return whether a try could know at once that what was started before had been deleted."""
        return (
            self.world.cloud.absent == "404"
            and backup.is_deleted(task.began - attempt.options["registration_timeout"])
            # By a clock that was set back, it may not be registered yet.
            and not self.world.troubled_since(backup.began, "clock")
        )

    def _succeeded_to_wait(self, task: Task, attempt: Try, xcom: Any) -> None:
        found = [one for one in self.world.cloud.backups if one.name == xcom["backupSetId"]]
        self.judge.must(found, f"{task.name} succeeds with {xcom['backupSetId']}")
        (backup,) = found
        self._check_complete(task, backup, attempt)
        here = backup.instance == attempt.options["instance_id"]
        here = here and backup.project in self.world.projects_since(task.began)
        self.judge.must(here, f"{task.name} succeeds with {backup.name} of another instance")
        if attempt.backup is not None:
            self.judge.must(backup is attempt.backup, f"{task.name} succeeds with another's {backup.name}")
        else:
            self.judge.must(backup.tenant in (None, *attempt.options["tenants"]), "another tenant's")
            self.judge.must(backup.began >= attempt.since, "too old")

    def _check_complete(self, task: Task, backup: Backup, attempt: Try) -> None:
        done = self.world.clock.now >= backup.done_at and backup.ends == "DONE"
        self.judge.must(done, f"{task.name} succeeds with {backup.name}, which is not complete")
        if attempt.options.get("require_valid", attempt.backup is None and attempt.wants is None):
            self.judge.must(
                backup.validity == "VALID", f"{task.name} succeeds with {backup.name}, which is not valid"
            )

    def _failed(self, task: Task, attempt: Try, error: BackupSetFailedError) -> None:
        (backup,) = (one for one in self.world.cloud.backups if one.name == error.backup_task_id)
        now = self.world.clock.now
        failed = backup.has_failed(now) or (now >= backup.done_at and backup.validity != "VALID")
        self.judge.must(failed, f"{task.name} says that {backup.name} failed, and it has not")
        goes_on = attempt.wants is not None and backup.has_failed(task.began)
        self.judge.must(not goes_on, f"{task.name} goes on with {backup.name}, which had failed before")

    # Every history ends within its time limit, and not before.

    def limit(self, task: Task) -> float:
        """Return when a try must have ended."""
        if self.world.troubled_since(task.began, "clock"):
            return float("inf")
        return task.began + self.tries[task.name].timeout + 2 * _REQUEST + _BACKSTOP

    def _timed_out(self, task: Task, attempt: Try) -> None:
        world = self.world
        if world.troubled_since(task.began, "clock"):
            return
        deadline = task.began + attempt.timeout
        self.judge.must(world.clock.now >= deadline, f"{task.name} timed out too early")
        if task.backstopped:
            quiet = deadline - 2 * attempt.options["poke_interval"] - _REQUEST
            away = not task.triggerer.is_running or task.triggerer.changed >= quiet
            self.judge.must(away, f"Airflow ended {task.name} before the trigger")
            return
        if not self._is_fulfilled(attempt, deadline - 1):
            return
        settled = deadline - 2 * attempt.options["poke_interval"] - _REQUEST
        excused = (
            world.connection != "right"
            or world.connection_changed >= settled
            or world.troubled_since(deadline - 1)
            or not task.triggerer.is_running
            or task.triggerer.changed >= deadline - 1
        )
        self.judge.must(excused, f"{task.name} timed out although what it waits for was there")

    def _is_fulfilled(self, attempt: Try, moment: float) -> bool:
        """Return whether what is waited for was there at a moment, and still is."""
        backup, now = attempt.backup, self.world.clock.now
        return backup is not None and bool(backup.status(now)) and backup.done_at <= moment

    def _broke_off(self, task: Task, attempt: Try, error: BaseException) -> None:
        if attempt.wants is not None:
            self._broke_off_a_start(task, attempt, error)
        # One that is not registered yet is waited for.
        elif attempt.backup is not None and not attempt.backup.is_deleted(self.world.clock.now):
            self.must_be_excused(task, error)

    def must_be_excused(self, task: Task, error: BaseException) -> None:
        """Judge an error that says nothing about what is waited for."""
        world = self.world
        first_poll = task.began + _REQUEST
        excused = world.troubled_since(task.began, "connection", "clock") or (
            world.troubled_since(task.began) and world.clock.now <= first_poll
        )
        excused = excused or world.projects_since(task.began) != {"p1"}
        self.judge.must(excused, f"{task.name} broke off: {error!r}")

    def _broke_off_a_start(self, task: Task, attempt: Try, error: BaseException) -> None:
        backups = self.started_by(task)
        right = self.world.endpoints_since(task.began) == {(ADDRESS[1], "p1")}
        if right and backups and isinstance(error, OceanBaseNotFoundError):
            gone = self._had_gone(task, attempt, backups[-1])
            self.judge.must(not gone, f"{task.name} goes on with {backups[-1].name}, which had gone before")
        deleted = any(one.deleted is not None for one in backups)
        excused = deleted or not right or self.world.troubled_since(task.began)
        self.judge.must(excused, f"{task.name} broke off: {error!r}")

    def check_limits(self) -> None:
        """Check that no try runs for longer than it may."""
        for task in self.tasks.values():
            if task.running:
                self.judge.must(self.world.clock.now <= self.limit(task), f"{task.name} does not end")
