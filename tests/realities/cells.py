"""Runs one cell of the table of realities: a job on an emulator that answers so, and what it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from conftest import CONN_ID, unset_network
from modes import wait
from realities.table import JOBS, REALITIES, Reality
from starts import waiting
from watches import trigger

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.testing import CloudEmulator

_NOW = datetime.now(UTC).replace(microsecond=0)
_EARLIEST = (_NOW - timedelta(hours=1)).isoformat()
#: Older sets, so that the list has several pages.
_OLDER = 12
#: Seconds that a wait may last if it must end, and if it must not.
_ENOUGH, _SHORT = 60.0, 0.5
_OFTEN = {"poke_interval": 0.05}


@dataclass
class Cell:
    """What a job came to: an outcome's ``what``, what was returned, and all that a user can read of it."""

    what: str
    result: Any
    text: str


def run(name: str, job: str, logged: Callable[[], str], mode: str = "poke") -> Cell:
    """Run a job.

    :param logged: returns what has been logged since the last call
    :param mode: of a wait; a start waits in the worker or in the triggerer
    """
    reality = REALITIES[name]
    with pytest.MonkeyPatch.context() as patch, CloudEmulator(profile=reality.profile) as cloud:
        unset_network(patch)
        patch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
        for number in range(_OLDER):
            began = _NOW - timedelta(hours=30 + number)
            cloud.add_backup_set(
                "ob-1", f"old-{number}", statuses=("DONE",), start_time=began, end_time=began
            )
        logged()
        told = ""
        try:
            result = _RUN[job](cloud, reality, mode)
            what = "right" if result else "no event"
        except AirflowSensorTimeout as error:
            result, what, told = None, "waits", str(error)
        except Exception as error:
            result, what, told = None, type(error).__name__, str(error)
        return Cell(what, result, told + logged())


def problems(name: str, job: str, cell: Cell) -> list[str]:
    """Return how a cell differs from what its row demands."""
    outcome = REALITIES[name].outcome(job)
    found = []
    if cell.what != outcome.what:
        found.append(f"{outcome.what} expected, not {cell.what}: {cell.text}")
    if outcome.what == "right" and not _is_right(name, job, cell.result):
        found.append(f"a wrong result: {cell.result}")
    if outcome.says not in cell.text:
        found.append(f"nothing says {outcome.says!r}: {cell.text}")
    if not outcome.says:
        found += [f"says {says!r}: {cell.text}" for says in sorted(SAYINGS) if says in cell.text]
    return found


#: All that is said in any cell: where all is well, nothing of it.
SAYINGS = {reality.outcome(job).says for reality in REALITIES.values() for job in JOBS} - {""}


def _is_right(name: str, job: str, result: Any) -> bool:
    set_id = "set-of-bak-1" if REALITIES[name].profile.own_set_ids else "bak-1"
    match job:
        case "wait for a point in time":
            return result["tenantCount"] == 2 and result["tenants"][0]["tenantName"] == "orders"
        case "read":
            return [one["tenantName"] for one in result] == ["orders", "billing"]
        case "start and wait":
            return result == "bak-1"
        case "watch":
            return result == [set_id]
    return (result["backupSetId"], result["tenantCount"]) in ((set_id, 2), (set_id, 0)) and (
        result["status"] == "DONE"
    )


def _backup(cloud: CloudEmulator, reality: Reality) -> str:
    """Add the backup of a job, unless that is about an unknown one; return its ID."""
    if reality.unknown:
        return "bak-unknown"
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), tenants=("orders", "billing"))
    return "bak-1"


def _timeout(reality: Reality, job: str) -> float:
    return _SHORT if reality.outcome(job).what == "waits" else _ENOUGH


def _wait_by_id(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    name = _backup(cloud, reality)
    return wait(mode, backup_task_id=name, timeout=_timeout(reality, "wait by ID"), **_OFTEN)


def _wait_by_checkpoint(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), tenants=("orders", "billing"))
    timeout = _timeout(reality, "wait by checkpoint")
    return wait(mode, min_checkpoint=_EARLIEST, tenants=["orders"], timeout=timeout, **_OFTEN)


def _wait_for_point(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    begin = _NOW - timedelta(hours=8)
    cloud.add_restorable_tenant("ob-1", "orders", intervals=[(begin, None)], lag=timedelta(seconds=1))
    cloud.add_restorable_tenant("ob-1", "billing", intervals=[(begin, None)])
    timeout = _timeout(reality, "wait for a point in time")
    return wait(mode, restore_time=datetime.now(UTC), timeout=timeout, **_OFTEN)


def _read(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    """Read the set by the ID that the list has, as after a wait by checkpoint."""
    name = _backup(cloud, reality)
    if not reality.unknown:
        cloud.set_status("ob-1", name, "DONE")
    listed = f"set-of-{name}" if reality.profile.own_set_ids else name
    task = GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id=listed)
    return task.execute({"ti": MagicMock()})  # type: ignore[typeddict-item]


def _start_and_wait(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    at_first = (reality.profile.unknown_id,) if reality.unknown else ()
    statuses = (*at_first, "DOING", "DONE")
    cloud.next_backup("ob-1", backup_task_id="bak-1", statuses=statuses, polls_per_status=1)
    task = waiting(
        "deferrable" if mode == "deferrable" else "poke", timeout=_timeout(reality, "start and wait")
    )
    return task.run()


def _watch(cloud: CloudEmulator, reality: Reality, mode: str) -> Any:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), polls_per_status=2)
    return asyncio.run(_first_event(cloud, is_expected=reality.outcome("watch").what == "right"))


async def _first_event(cloud: CloudEmulator, *, is_expected: bool) -> list[str]:
    """Return the IDs in the first event; if none is expected, wait for a few polls only."""
    async with aclosing(trigger(poke_interval=0.02).run()) as stream:  # type: ignore[type-var]
        event = asyncio.ensure_future(anext(stream))
        async with asyncio.timeout(_ENOUGH):
            while not event.done() and (is_expected or len(cloud.requests) < 12):
                await asyncio.sleep(0.01)
        if event.done():
            return [one["backupSetId"] for one in event.result().payload["backup_sets"]]
        event.cancel()
        await asyncio.wait([event])
    return []


_RUN: dict[str, Callable[[CloudEmulator, Reality, str], Any]] = {
    "wait by ID": _wait_by_id,
    "wait by checkpoint": _wait_by_checkpoint,
    "wait for a point in time": _wait_for_point,
    "read": _read,
    "start and wait": _start_and_wait,
    "watch": _watch,
}
assert tuple(_RUN) == JOBS
