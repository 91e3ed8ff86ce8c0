"""Random histories of a start, two waits and a watch: the rules by which they go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from histories.clock import Kill
from histories.draws import instances, kills, plans, states, stops, tenants, then, tries, ways, wishes
from histories.surroundings import Surroundings
from histories.tasks import RecentTask, StartTask, WaitTask
from histories.triggerer import Stored
from histories.watched import Watched
from histories.world import ERRORS, Store
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

#: Seconds between two polls of the watch.
_WATCH_INTERVAL = 60.0


class Histories(Surroundings):
    """The history of three tasks and a watch."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.wait = StartTask("start", *self.made), WaitTask("wait", *self.made)
        self.recent = RecentTask("recent", *self.made)
        self.tasks = (self.start, self.wait, self.recent)
        self.watched = Watched(self.world, self.judge, Store(self.world), "ob-1", _WATCH_INTERVAL)
        self.stores = (self.watched.store, self.start.store)

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

    # What others do.

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

    @rule(number=st.integers(0, 1), times=st.sampled_from([1, 2, 5]), error=st.sampled_from(ERRORS))
    def store_is_away(self, number: int, times: int, error: Any) -> None:
        self.world.error = error
        self.stores[number].failures = times

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

    def takes_over(self) -> None:
        self.watched.triggerer_starts()

    # What must hold.

    def check(self) -> None:
        self.watched.check_beginning(self.triggerer)

    def check_at_last(self) -> None:
        self.watched.check()

    def fix(self) -> None:
        super().fix()
        if "p2" in self.world.projects_since(self.triggerer.changed):
            # A connection that works is not read again: the watch may still list the other project.
            self.triggerer.kill()
            self.world.clock.advance(0.0)
