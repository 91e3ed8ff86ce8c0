"""Random histories of a start, two waits and a watch: the rules by which they go on."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from histories.cloud import FAULTS, Fault
from histories.model import Judge, Model, Watched
from histories.tasks import RecentTask, StartTask, Task, WaitTask
from histories.triggerer import Stored, Triggerer
from histories.world import CONNECTIONS, ERRORS, Store, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

#: Seconds between two polls of the watch, and of the other waits.
_WATCH_INTERVAL, _POKE_INTERVAL = 60.0, 30.0
#: Longer than any backup of these histories takes to register.
_REGISTRATION_TIMEOUT = 240.0

instances = st.sampled_from(["ob-1", "ob-1", "ob-2"])
tenants = st.sampled_from(["t1", "t2"])
#: Seconds until a backup is registered, until it ends, and how it ends.
plans = st.tuples(
    st.sampled_from([0.0, 20.0, 100.0]),
    st.sampled_from([10.0, 200.0, 900.0]),
    st.sampled_from(["DONE", "DONE", "DONE", "FAILED", "CANCELED", "DONE INVALID"]),
)
modes = st.sampled_from(["poke", "reschedule", "deferrable"])
timeouts = st.sampled_from([0.0, 90.0, 600.0, 1500.0])
#: After how many effects a process is killed, if it is.
effects = st.one_of(st.none(), st.none(), st.integers(0, 12))
#: Seconds that pass after something was done.
then = st.sampled_from([0.0, 1.0, 10.0, 61.0, 300.0, 1000.0])
#: What is asked of a start.
wishes = st.fixed_dictionaries(
    {
        "instance_id": instances,
        "tenant_id": tenants,
        "wait_for_completion": st.booleans(),
        "deferrable": st.booleans(),
        "require_valid": st.booleans(),
        "timeout": timeouts,
    }
)
faults = st.tuples(
    st.sampled_from(["GET", "GET", "POST"]),
    st.builds(Fault, st.sampled_from(FAULTS), st.booleans()),
    st.sampled_from([1, 2, 6]),
)


class Histories(RuleBasedStateMachine):
    """The history of three tasks and a watch, in one Airflow."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.world = World(started=lambda *what: self.model.started(*what))
        self.model = Model(self.world, self.judge)
        self.triggerer = Triggerer(self.world)
        made = (self.world, self.triggerer, self.model.ended)
        self.start, self.wait, self.recent = (
            StartTask("start", *made),
            WaitTask("wait", *made),
            RecentTask("recent", *made),
        )
        self.tasks: tuple[Task, ...] = (self.start, self.wait, self.recent)
        self.watched = Watched(self.world, self.judge, Store(self.world), "ob-1", _WATCH_INTERVAL)
        self.stores = (self.watched.store, self.start.store)
        self._stack = ExitStack()
        self._stack.enter_context(self.world.running())

    @initialize(
        absent=st.sampled_from(["404", "no data"]),
        paging=st.sampled_from(["both", "total", "hasMore"]),
        timeout=st.sampled_from([30.0, 120.0]),
        plan=plans,
    )
    def surroundings(self, absent: str, paging: str, timeout: float, plan: Any) -> None:
        self.world.cloud.absent, self.world.cloud.paging = absent, paging
        self.world.timeout, self.world.cloud.plan = timeout, plan
        self.triggerer.start()
        watch = BackupSetEventTrigger("ob-1", poke_interval=_WATCH_INTERVAL)
        self.triggerer.add(Stored.of(watch, self.watched.fired, self.watched.store))

    @initialize(wish=wishes, instance=instances, tenant=st.none() | tenants, plan=plans, then=then)
    def there_are_backups(
        self, wish: dict[str, Any], instance: str, tenant: str | None, plan: Any, then: float
    ) -> None:
        self.start_runs(wish, False, None, 0.0)
        self.somebody_backs_up(instance, tenant, plan, then)

    # What Airflow does.

    @rule(wish=wishes, cleared=st.booleans(), effects=effects, then=then)
    def start_runs(self, wish: dict[str, Any], cleared: bool, effects: int | None, then: float) -> None:
        options = {
            "backup_object_type": "tenant",
            "poke_interval": _POKE_INTERVAL,
            "registration_timeout": _REGISTRATION_TIMEOUT,
            **wish,
        }
        wants = (wish["instance_id"], wish["tenant_id"])
        self._clear(self.start, cleared)
        self._run(self.start, options, effects, then, wants=wants)

    @rule(cleared=st.booleans(), effects=effects, then=then)
    def start_runs_again(self, cleared: bool, effects: int | None, then: float) -> None:
        self._clear(self.start, cleared)
        if former := self.model.tries.get("start"):
            self._run(self.start, former.options, effects, then, wants=former.wants)

    @rule(
        data=st.data(),
        mode=modes,
        require_valid=st.booleans(),
        timeout=timeouts,
        effects=effects,
        then=then,
    )
    def wait_runs(
        self,
        data: st.DataObject,
        mode: str,
        require_valid: bool,
        timeout: float,
        effects: int | None,
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
            **_waiting(mode, timeout),
        }
        self._run(self.wait, options, effects, then, backup=backup)

    @rule(
        instance=instances,
        tenant=tenants,
        mode=modes,
        timeout=timeouts,
        ago=st.sampled_from([600, 3600, 3600, 0]),
        effects=effects,
        then=then,
    )
    def wait_for_a_recent_one_runs(
        self,
        instance: str,
        tenant: str,
        mode: str,
        timeout: float,
        ago: int,
        effects: int | None,
        then: float,
    ) -> None:
        since = self.world.clock.true_time() - timedelta(seconds=ago)
        options = {
            "instance_id": instance,
            "min_checkpoint": since,
            "tenants": (tenant,),
            **_waiting(mode, timeout),
        }
        self._run(self.recent, options, effects, then, since=self.world.clock.now - ago - 1)

    def _clear(self, task: Task, cleared: bool) -> None:
        if cleared and not task.running:
            task.cleared += 1

    def _run(
        self, task: Task, options: dict[str, Any], effects: int | None, then: float, **what: Any
    ) -> None:
        if not task.running:
            self.model.begin(task, options, **what)
            task.run(options, effects)
        self.world.clock.advance(then)

    # What others do.

    @rule(then=then)
    def time_passes(self, then: float) -> None:
        self.world.clock.advance(then)

    @rule(instance=instances, tenant=st.none() | tenants, plan=plans, then=then)
    def somebody_backs_up(self, instance: str, tenant: str | None, plan: Any, then: float) -> None:
        self.world.cloud.begin("p1", instance, tenant, plan)
        self.world.clock.advance(then)

    @rule(data=st.data(), plan=plans, then=then)
    def newest_backup_is_deleted(self, data: st.DataObject, plan: Any, then: float) -> None:
        now = self.world.clock.now
        # The next one that a task starts may go otherwise.
        self.world.cloud.plan = plan
        if ended := [one for one in self.world.cloud.backups if now >= one.done_at]:
            ended[-1].deleted = ended[-1].deleted or now
        self.world.clock.advance(then)

    # What goes wrong.

    @rule(fault=faults)
    def requests_fail(self, fault: tuple[str, Fault, int]) -> None:
        method, what, times = fault
        self.world.cloud.faults[method].extend([what] * times)

    @rule(state=st.sampled_from(CONNECTIONS), error=st.sampled_from(ERRORS), fixed=st.booleans(), then=then)
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

    @rule(hours=st.sampled_from([-2, 2, -240, 240]), fixed=st.booleans(), then=then)
    def clock_jumps(self, hours: int, fixed: bool, then: float) -> None:
        self.world.jump(hours * 3600.0)
        self.world.clock.advance(then)
        if fixed:
            self.world.jump(0.0)

    @rule(number=st.integers(0, 2), then=then)
    def worker_is_killed(self, number: int, then: float) -> None:
        self.tasks[number].kill()
        self.world.clock.advance(then)

    @rule(effects=st.integers(0, 12), then=then)
    def triggerer_is_killed(self, effects: int, then: float) -> None:
        if self.world.triggerer is not None:
            self.world.triggerer.effects = effects
        self.world.clock.advance(then)

    @rule(effects=effects, then=then)
    def triggerer_starts(self, effects: int | None, then: float) -> None:
        if not self.triggerer.is_running:
            self.watched.triggerer_starts()
            self.triggerer.start(effects)
        self.world.clock.advance(then)

    # What must hold.

    @invariant()
    def all_is_well(self) -> None:
        self.model.check_limits()
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
            self.world.triggerer.effects = None
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


def _waiting(mode: str, timeout: float) -> dict[str, Any]:
    options = {"deferrable": True} if mode == "deferrable" else {"deferrable": False, "mode": mode}
    return {**options, "timeout": timeout, "poke_interval": _POKE_INTERVAL}
