"""A wait for a point in time comes to one end, in whichever mode it waits.

pytest runs this file only if it is named: ``test_histories.py`` does, and ``make histories``.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from histories.draws import MODES, POKE_INTERVAL, changes, names
from histories.points import TENANTS, Wish
from histories.run import EXAMPLES, SEED
from histories.tasks import PointTask
from hypothesis import given, seed, settings
from hypothesis import strategies as st

#: What is changed stays so for some polls in each mode: else it depends on their moments which one sees it.
_STEP = 3 * POKE_INTERVAL + 10.0
_SHIFT = 10.0


def _ends(
    script: list[Any], point: float, asked: tuple[str, ...], *, fails: bool, apart: bool, away: int
) -> list[Any]:
    """Return for each mode how the wait has ended, and after how many changes.

    :param point: when an end that moves on reaches the point in time, in seconds of the history
    :param away: with which change the triggerer is replaced
    """
    from histories.point_machine import PointHistories

    machine = PointHistories()
    try:
        machine.tasks = tuple(PointTask(f"{one}", *machine.made) for one in range(len(MODES)))
        machine.surroundings(apart=apart, timeout=30.0, kill=None, ended=False)
        machine.restorable.change("end stops", TENANTS[0], 300.0)
        time = machine.world.clock.moment(point)
        options = {
            "instance_id": "ob-1",
            "restore_time": time.isoformat(),
            "tenants": asked,
            "fail_if_unreachable": fails,
            "poke_interval": POKE_INTERVAL,
            # In the midst of the last step: in which moment each mode ends is its own affair.
            "timeout": _STEP * (len(script) + 1.5),
        }
        for task, mode in zip(machine.tasks, MODES, strict=True):
            machine._run(task, options | mode, None, 0.0, point=Wish(time, asked))
        ends: dict[str, Any] = {}
        for number, change in enumerate([None, *script, None]):
            if change is not None:
                machine.restorable.change(*change)
            if number == away:
                machine.triggerer.kill()
                machine.time_passes(0.0)
                machine.triggerer_starts(None, 0.0)
            machine.time_passes(_STEP)
            for task in machine.tasks:
                if not task.running:
                    ends.setdefault(task.name, (number, type(task.error), _plain(task.xcom)))
        machine.all_is_well()
        return [ends.get(task.name) for task in machine.tasks]
    finally:
        machine.teardown()


def _plain(point: Any) -> Any:
    """Return which tenants a point has, and from when on: an end may have moved on from poll to poll."""
    return point and [(one["tenantId"], one["startTime"]) for one in point["tenants"]]


@given(
    script=st.lists(changes, max_size=5),
    step=st.integers(-3, 4),
    asked=names,
    fails=st.booleans(),
    apart=st.booleans(),
    away=st.integers(0, 6),
)
def _agree(script: list[Any], step: int, asked: tuple[str, ...], fails: bool, apart: bool, away: int) -> None:
    ends = _ends(script, step * _STEP + _SHIFT, asked, fails=fails, apart=apart, away=away)
    assert None not in ends
    assert ends.count(ends[0]) == len(MODES), ends


def test_modes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    limits = settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=SEED is None)
    check = limits(_agree)
    (seed(int(SEED))(check) if SEED else check)()
