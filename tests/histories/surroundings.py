"""The rules of random histories, whatever their tasks wait for: what goes wrong, and what must hold."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from typing import Any, ClassVar

from histories.clock import Kill
from histories.cloud import Backup, Fault
from histories.draws import faults, mostly, states, stops, then
from histories.model import Judge, Model
from histories.tasks import Ended, Task
from histories.triggerer import Triggerer
from histories.world import ERRORS, Store, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

#: Seconds in which a triggerer finds its way again: some intervals of a watch.
_SETTLING = 400.0


class Surroundings(RuleBasedStateMachine):
    """The history of some tasks in one Airflow; subclasses say of which."""

    model_class: ClassVar[type[Model]] = Model
    tasks: tuple[Task, ...]
    stores: tuple[Store, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.world = World(started=self._started)
        self.model = self.model_class(self.world, self.judge)
        self.triggerer = Triggerer(self.world)
        self._stack = ExitStack()
        self._stack.enter_context(self.world.running())

    @property
    def made(self) -> tuple[World, Triggerer, Ended]:
        """What each task is made of."""
        return self.world, self.triggerer, self.model.ended

    def _started(self, backup: Backup, wanted: dict[str, Any]) -> None:
        self.model.started(backup, wanted)

    def _run(self, task: Task, options: dict[str, Any], kill: Kill | None, then: float, **what: Any) -> None:
        if not task.running:
            self.model.begin(task, options, **what)
            task.run(options, kill)
        self.world.clock.advance(then)

    # What others do.

    @rule(then=then)
    def time_passes(self, then: float) -> None:
        self.world.clock.advance(then)

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

    @rule(hours=st.sampled_from([-2, 2, -240, 240]), fixed=mostly, then=then)
    def clock_jumps(self, hours: int, fixed: bool, then: float) -> None:
        self.world.jump(hours * 3600.0)
        self.world.clock.advance(then)
        if fixed:
            self.world.jump(0.0)

    @rule(number=st.integers(0, 11), stopped=st.booleans(), then=then)
    def worker_is_killed(self, number: int, stopped: bool, then: float) -> None:
        task = self.tasks[number % len(self.tasks)]
        task.stop() if stopped else task.kill()
        self.world.clock.advance(then)

    @rule(kill=stops, then=then)
    def triggerer_is_killed(self, kill: Kill | None, then: float) -> None:
        if self.world.triggerer is not None:
            self.world.triggerer.killed_at = kill or Kill(0)
        self.world.clock.advance(then)

    @rule(kill=stops, then=then)
    def triggerer_starts(self, kill: Kill | None, then: float) -> None:
        if not self.triggerer.is_running:
            self.takes_over()
            self.triggerer.start(kill)
        self.world.clock.advance(then)

    def takes_over(self) -> None:
        """Take note that another triggerer is about to start."""

    # What must hold.

    def check(self) -> None:
        """Judge what is no task."""

    def check_at_last(self) -> None:
        """Judge what is no task, some quiet time after everything was fixed."""

    @invariant()
    def all_is_well(self) -> None:
        self.model.check_limits()
        self.check()
        assert not self.world.flooding, f"{self.world.flooding} floods the API"
        assert not self.judge.found, "; ".join(self.judge.found)
        assert not self.triggerer.failed, f"a trigger died: {self.triggerer.failed[0]!r}"

    def teardown(self) -> None:
        """Fix everything, and let the history end."""
        try:
            if sys.exception() is None:
                self.fix()
                self._settle()
        finally:
            for task in self.tasks:
                task.kill()
            self.triggerer.kill()
            self.world.clock.advance(0.0)
            self._stack.close()

    def fix(self) -> None:
        """Let nothing go wrong any more."""
        for queue in self.world.cloud.faults.values():
            queue.clear()
        for store in self.stores:
            store.failures = 0
        if self.world.clock.error:
            self.world.jump(0.0)
        self.world.change_connection("right")
        if self.world.triggerer is not None:
            self.world.triggerer.killed_at = None

    def _settle(self) -> None:
        self.triggerer_starts(None, _SETTLING)
        self.check_at_last()
        self.all_is_well()
        # Where the clock has jumped, Airflow itself may wait for days.
        while any(task.running and self.model.limit(task) < math.inf for task in self.tasks):
            self.world.clock.advance(300.0)
            self.all_is_well()
