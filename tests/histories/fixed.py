"""Histories that must always be visited, whatever the random ones of ``run.py`` draw.

pytest runs this file only if it is named: ``test_histories.py`` does, and ``make histories``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from histories.clock import Kill
from histories.draws import POKE_INTERVAL, REGISTRATION_TIMEOUT

from airflow_provider_oceanbase.exceptions import BackupStartUnknownError

if TYPE_CHECKING:
    from histories.machine import Histories

_WISH = {
    "backup_object_type": "tenant",
    "poke_interval": POKE_INTERVAL,
    "registration_timeout": REGISTRATION_TIMEOUT,
    "instance_id": "ob-1",
    "tenant_id": "t1",
    "wait_for_completion": True,
    "deferrable": False,
    "require_valid": False,
    "timeout": 600.0,
}
#: Seconds until a backup is registered, until it ends, and how it ends.
_PLAN = (20.0, 200.0, "DONE")
#: Kills of a worker: when its start is kept but not sent, when it is served but not answered, while it waits.
_BEFORE_START, _AFTER_START, _WAITING = Kill(0, "request"), Kill(0, "start"), Kill(0, "answer")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)


@contextmanager
def _history(*, ahead: float = 0.0, kill: Kill | None = None) -> Iterator[Histories]:
    """Let a watch begin, and check the model at the end.

    :param ahead: hours by which the clock is ahead when the watch begins
    :param kill: when the triggerer is killed
    """
    from histories.machine import Histories

    machine = Histories()
    try:
        machine.surroundings(absent="404", paging="both", timeout=30.0, ahead=ahead, kill=kill)
        machine.time_passes(1.0)
        yield machine
        machine.all_is_well()
    finally:
        machine.teardown()


def _try(machine: Histories, kill: Kill | None = None, plan: Any = _PLAN, **wish: Any) -> None:
    machine.start_is_tried({**_WISH, **wish}, [(False, kill, 30.0)], plan, False)


def _again(machine: Histories, *, cleared: bool = False) -> None:
    machine.start_is_tried_again(False, [(cleared, None, 300.0)])


def _started(machine: Histories) -> list[str]:
    return [one.name for one in machine.model.started_by(machine.start)]


def test_gone_and_retried() -> None:
    with _history() as machine:
        _try(machine, _WAITING)
        machine.started_backup_is_deleted(False, [(False, None, 300.0)])
        assert isinstance(machine.start.error, BackupStartUnknownError)
        assert _started(machine) == ["bak-1"]


def test_gone_and_cleared() -> None:
    with _history() as machine:
        _try(machine, _WAITING)
        machine.started_backup_is_deleted(False, [(True, None, 300.0)])
        assert (machine.start.xcom, _started(machine)) == ("bak-2", ["bak-1", "bak-2"])


@pytest.mark.parametrize(
    ("kill", "started"), [(_BEFORE_START, []), (_AFTER_START, ["bak-1"])], ids=["not sent", "served"]
)
def test_killed_while_it_starts(kill: Kill, started: list[str]) -> None:
    with _history() as machine:
        _try(machine, kill)
        assert (machine.start.xcom, machine.start.error) == (None, None)
        assert _started(machine) == started
        # A retry does not settle it, nor does one after that was reported.
        for _ in range(2):
            _again(machine)
            assert isinstance(machine.start.error, BackupStartUnknownError)
            assert _started(machine) == started
        _again(machine, cleared=True)
        assert machine.start.xcom == _started(machine)[-1] == f"bak-{len(started) + 1}"


def test_arguments_are_corrected() -> None:
    with _history() as machine:
        _try(machine, wait_for_completion=False)
        assert machine.start.xcom == "bak-1"
        _try(machine, wait_for_completion=False, tenant_id="t2")
        assert machine.start.xcom == "bak-2"
        _again(machine)
        assert (machine.start.xcom, _started(machine)) == ("bak-2", ["bak-1", "bak-2"])


def test_not_registered_when_it_is_retried() -> None:
    with _history() as machine:
        _try(machine, _WAITING, plan=(100.0, 200.0, "DONE"))
        (backup,) = machine.world.cloud.backups
        assert backup.status(machine.world.clock.now) is None
        _again(machine)
        assert (machine.start.xcom, _started(machine)) == ("bak-1", ["bak-1"])


def test_new_watch_is_killed_before_its_first_save() -> None:
    with _history(kill=Kill(1, "store")) as machine:
        store = machine.watched.store
        assert (store.read is None, store.stored) == (False, None)
        assert not machine.triggerer.is_running
        machine.triggerer_starts(None, 1.0)
        assert store.stored is not None
        machine.somebody_backs_up("ob-1", None, _PLAN, 500.0)
        assert machine.watched.reported == {"bak-1"}


def test_store_is_unreadable_at_a_takeover() -> None:
    with _history() as machine:
        machine.triggerer_is_away(_PLAN, 300.0, "right", 3, None, 1000.0)
        assert machine.watched.store.failures == 0
        assert machine.watched.reported == {"bak-1"}


def test_clock_is_days_ahead_when_a_watch_begins() -> None:
    with _history(ahead=240.0) as machine:
        machine.somebody_backs_up("ob-1", None, _PLAN, 500.0)
        assert machine.watched.reported == {"bak-1"}
