"""Random histories of waits for a point in time: tenants come and go, and so do their intervals."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from histories.clock import Kill
from histories.draws import changes, instances, kills, names, points, stops, then, ways
from histories.point_model import PointModel
from histories.points import TENANTS, Wish
from histories.surroundings import Surroundings
from histories.tasks import PointTask
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

_ZONES = (timezone.utc, timezone(timedelta(hours=8)))  # noqa: UP017 - a timezone, as the other one


class PointHistories(Surroundings):
    """The history of two waits, whose polls may be shared, and of a triggerer that may be killed."""

    model_class = PointModel

    def __init__(self) -> None:
        super().__init__()
        self.tasks = tuple(PointTask(name, *self.made) for name in ("one", "other"))

    @initialize(apart=st.booleans(), timeout=st.sampled_from([30.0, 120.0]), kill=stops, ended=st.booleans())
    def surroundings(self, apart: bool, timeout: float, kill: Kill | None, ended: bool) -> None:
        self.world.timeout = timeout
        self.restorable = self.world.cloud.restorable
        self.restorable.apart = apart
        self.restorable.change("has begun and ended" if ended else "begins", TENANTS[0], 600.0)
        self.triggerer.start(kill)

    @rule(
        number=st.integers(0, 1),
        instance=instances,
        point=points,
        zone=st.sampled_from(_ZONES),
        names=names,
        fails=st.booleans(),
        way=ways,
        kill=kills,
        then=then,
    )
    def wait_runs(
        self,
        number: int,
        instance: str,
        point: float,
        zone: timezone,
        names: tuple[str, ...],
        fails: bool,
        way: dict[str, Any],
        kill: Kill | None,
        then: float,
    ) -> None:
        time = self.world.clock.moment(self.world.clock.now + point).astimezone(zone)
        options = {
            "instance_id": instance,
            "restore_time": time.isoformat(),
            "tenants": names,
            "fail_if_unreachable": fails,
            **way,
        }
        self._run(self.tasks[number], options, kill, then, point=Wish(time, names))

    @rule(change=changes, then=then)
    def intervals_change(self, change: tuple[str, tuple[str, str], float], then: float) -> None:
        self.restorable.change(*change)
        self.world.clock.advance(then)

    @rule(away=then, change=changes, kill=stops, then=then)
    def triggerer_is_away(self, away: float, change: Any, kill: Kill | None, then: float) -> None:
        """Let another one take over, after something has changed."""
        self.triggerer.kill()
        self.intervals_change(change, away)
        self.triggerer_starts(kill, then)
