"""Random histories of a start, two waits and a watch: the rules by which they go on."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from histories.clock import Kill
from histories.cloud import Fault
from histories.draws import (
    faults,
    instances,
    kills,
    mostly,
    plans,
    states,
    stops,
    tenants,
    then,
    tries,
    ways,
    wishes,
)
from histories.model import Judge, Model
from histories.tasks import RecentTask, StartTask, Task, WaitTask
from histories.triggerer import Stored, Triggerer
from histories.watched import Watched
from histories.world import ERRORS, Store, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

#: Seconds between two polls of the watch.
_WATCH_INTERVAL = 60.0


class Histories(RuleBasedStateMachine):
    """The history of three tasks and a watch, in one Airflow."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.world = World(started=lambda *what: self.model.started(*what))
        self.model = Model(self.world, self.judge)
        self.triggerer = Triggerer(self.world)
        made = (self.world, self.triggerer, self.model.ended)
        self.start, self.wait = StartTask("start", *made), WaitTask("wait", *made)
        self.recent = RecentTask("recent", *made)
        self.tasks: tuple[Task, ...] = (self.start, self.wait, self.recent)
        self.watched = Watched(self.world, self.judge, Store(self.world), "ob-1", _WATCH_INTERVAL)
        self.stores = (self.watched.store, self.start.store)
        self._stack = ExitStack()
        self._stack.enter_context(self.world.running())

    @initialize(
        absent=st.sampled_from(["404", "no data"]),
        paging=st.sampled_from(["both", "total", "hasMore"]),
        timeout=st.sampled_from([30.0, 120.0]),
        ahead=st.sampled_from([0.0, 0.0, 0.0, 240.0]),
        kill=stops,
    )
    def surroundings(self, absent: str, paging: str, timeout: float, ahead: float, kill: Kill | None) -> None:
        self.world.cloud.absent, self.world.cloud.paging = absent, paging
        self.world.timeout = timeout
        if ahead:
            self.world.jump(ahead * 3600.0)
        self.triggerer.start(kill)
        watch = BackupSetEventTrigger("ob-1", poke_interval=_WATCH_INTERVAL)
        self.triggerer.add(Stored.of(watch, self.watched.fired, self.watched.store))
        if ahead:
            self.world.clock.advance(1.0)
            self.world.jump(0.0)

    @initialize(
        wish=wishes, before=tries, plan=plans, instance=instances, tenant=st.none() | tenants, then=then
    )
    def there_are_backups(
        self, wish: dict[str, Any], before: Any, plan: Any, instance: str, tenant: str | None, then: float
    ) -> None:
        self.start_is_tried(wish, before, plan, True)
        self.somebody_backs_up(instance, tenant, plan, then)

    # What Airflow does.

    @rule(wish=wishes, attempts=tries, plan=plans, new=st.booleans())
    def start_is_tried(self, wish: dict[str, Any], attempts: Any, plan: Any, new: bool) -> None:
        """Ask for a backup: in the same task instance, or in that of the next DAG run."""
        self.start.stop()
        if new:
            self.model.renew(self.start)
        self.world.cloud.plan = plan
        self._start(wish, attempts)

    @rule(waits=st.booleans(), attempts=tries)
    def start_is_tried_again(self, waits: bool, attempts: Any) -> None:
        if former := self.model.tries.get("start"):
            self._start({**former.options, "wait_for_completion": waits}, attempts)

    def _start(self, wish: dict[str, Any], attempts: Any) -> None:
        wants = (wish["instance_id"], wish["tenant_id"])
        for cleared, kill, pause in attempts:
            if cleared:
                self.start.stop()
                self.start.cleared += 1
            self._run(self.start, wish, kill, pause, wants=wants)

    @rule(
        data=st.data(),
        way=ways,
        require_valid=st.booleans(),
        kill=kills,
        then=then,
    )
    def wait_runs(
        self,
        data: st.DataObject,
        way: dict[str, Any],
        require_valid: bool,
        kill: Kill | None,
        then: float,
    ) -> None:
        known = [one for one in self.world.cloud.backups if one.project == "p1"]
        if not known:
            return
        backup = data.draw(st.sampled_from(known))
        options = {
            "instance_id": backup.instance,
            "backup_task_id": backup.name,
            "require_valid": require_valid,
            **way,
        }
        self._run(self.wait, options, kill, then, backup=backup)

    @rule(
        instance=instances,
        tenant=tenants,
        way=ways,
        ago=st.sampled_from([600, 3600, 3600, 0]),
        kill=kills,
        then=then,
    )
    def wait_for_a_recent_one_runs(
        self,
        instance: str,
        tenant: str,
        way: dict[str, Any],
        ago: int,
        kill: Kill | None,
        then: float,
    ) -> None:
        since = self.world.clock.true_time() - timedelta(seconds=ago)
        options = {
            "instance_id": instance,
            "min_checkpoint": since,
            "tenants": (tenant,),
            **way,
        }
        self._run(self.recent, options, kill, then, since=self.world.clock.now - ago - 1)

    def _run(self, task: Task, options: dict[str, Any], kill: Kill | None, then: float, **what: Any) -> None:
        if not task.running:
            self.model.begin(task, options, **what)
            task.run(options, kill)
        self.world.clock.advance(then)

    # What others do.

    @rule(then=then)
    def time_passes(self, then: float) -> None:
        self.world.clock.advance(then)

    @rule(instance=instances, tenant=st.none() | tenants, plan=plans, then=then)
    def somebody_backs_up(self, instance: str, tenant: str | None, plan: Any, then: float) -> None:
        self.world.cloud.begin("p1", instance, tenant, plan)
        self.world.clock.advance(then)

    @rule(then=then)
    def newest_backup_is_deleted(self, then: float) -> None:
        now = self.world.clock.now
        if ended := [one for one in self.world.cloud.backups if now >= one.done_at]:
            ended[-1].deleted = ended[-1].deleted or now
        self.world.clock.advance(then)

    @rule(waits=st.booleans(), attempts=tries)
    def started_backup_is_deleted(self, waits: bool, attempts: Any) -> None:
        """Delete what the start may go on with, long before it runs again."""
        if started := self.model.started_by(self.start):
            self.start.stop()
            started[-1].deleted = max(self.world.clock.now, started[-1].done_at)
            self.world.clock.advance(1500.0)
            self.start_is_tried_again(waits, attempts)

    # What goes wrong.

    @rule(fault=faults)
    def requests_fail(self, fault: tuple[str, Fault, int]) -> None:
        method, what, times = fault
        self.world.cloud.faults[method].extend([what] * times)

    @rule(state=states, error=st.sampled_from(ERRORS), fixed=mostly, then=then)
    def connection_is_changed(self, state: str, error: Any, fixed: bool, then: float) -> None:
        self.world.error = error
        self.world.change_connection(state)
        self.world.clock.advance(then)
        if fixed:
            self.world.change_connection("right")

    @rule(number=st.integers(0, 1), times=st.sampled_from([1, 2, 5]), error=st.sampled_from(ERRORS))
    def store_is_away(self, number: int, times: int, error: Any) -> None:
        self.world.error = error
        self.stores[number].failures = times

    @rule(hours=st.sampled_from([-2, 2, -240, 240]), fixed=mostly, then=then)
    def clock_jumps(self, hours: int, fixed: bool, then: float) -> None:
        self.world.jump(hours * 3600.0)
        self.world.clock.advance(then)
        if fixed:
            self.world.jump(0.0)

    @rule(number=st.integers(0, 2), stopped=st.booleans(), then=then)
    def worker_is_killed(self, number: int, stopped: bool, then: float) -> None:
        task = self.tasks[number]
        task.stop() if stopped else task.kill()
        self.world.clock.advance(then)

    @rule(kill=stops, then=then)
    def triggerer_is_killed(self, kill: Kill | None, then: float) -> None:
        if self.world.triggerer is not None:
            self.world.triggerer.killed_at = kill or Kill(0)
        self.world.clock.advance(then)

    @rule(plan=plans, away=then, state=states, failures=st.sampled_from([0, 1, 3]), kill=stops, then=then)
    def triggerer_is_away(
        self, plan: Any, away: float, state: str, failures: int, kill: Kill | None, then: float
    ) -> None:
        """Let another one take over, after a backup began; what it needs may be away, too."""
        self.triggerer.kill()
        self.somebody_backs_up("ob-1", None, plan, away)
        self.watched.store.failures = failures
        self.world.change_connection(state)
        self.triggerer_starts(kill, then)
        self.world.change_connection("right")

    @rule(kill=stops, then=then)
    def triggerer_starts(self, kill: Kill | None, then: float) -> None:
        if not self.triggerer.is_running:
            self.watched.triggerer_starts()
            self.triggerer.start(kill)
        self.world.clock.advance(then)

    # What must hold.

    @invariant()
    def all_is_well(self) -> None:
        self.model.check_limits()
        self.watched.check_beginning(self.triggerer)
        assert not self.world.flooding, f"{self.world.flooding} floods the API"
        assert not self.judge.found, "; ".join(self.judge.found)
        assert not self.triggerer.failed, f"a trigger died: {self.triggerer.failed[0]!r}"

    def teardown(self) -> None:
        """Fix everything, and let the history end."""
        try:
            if sys.exception() is None:
                self._settle()
        finally:
            for task in self.tasks:
                task.kill()
            self.triggerer.kill()
            self.world.clock.advance(0.0)
            self._stack.close()

    def _settle(self) -> None:
        for queue in self.world.cloud.faults.values():
            queue.clear()
        for store in self.stores:
            store.failures = 0
        if self.world.clock.error:
            self.world.jump(0.0)
        self.world.change_connection("right")
        if self.world.triggerer is not None:
            self.world.triggerer.killed_at = None
        if "p2" in self.world.projects_since(self.triggerer.changed):
            # A connection that works is not read again: the watch may still list the other project.
            self.triggerer.kill()
            self.world.clock.advance(0.0)
        self.triggerer_starts(None, 5 * _WATCH_INTERVAL + 100.0)
        self.watched.check()
        self.all_is_well()
        # Where the clock has jumped, Airflow itself may wait for days.
        while any(task.running and self.model.limit(task) < math.inf for task in self.tasks):
            self.world.clock.advance(300.0)
            self.all_is_well()
