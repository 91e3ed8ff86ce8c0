"""The waits of a soak: a process that reads its plan from stdin, and reports how each wait ends."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
from aiohttp import ClientSession
from msgspec import msgpack

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport import shared_poll
from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
from airflow_provider_oceanbase.triggers import BackupSetTrigger
from benchmarks.measures import INSTANCE_ID, take_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SAMPLE_SECONDS = 1.0
#: As in the tests. One body without end may be 64 MiB long, and memory would grow by that.
MAX_BODY_BYTES = 2**20


async def wait(
    backup_task_id: str, conn_id: str, poke_interval: float, timeout: float, events: list[dict[str, Any]]
) -> None:
    """Run one trigger, and record how it ends."""
    trigger = BackupSetTrigger(
        instance_id=INSTANCE_ID,
        backup_task_id=backup_task_id,
        schedule={"poke_interval": poke_interval, "timeout": timeout},
        oceanbase_conn_id=conn_id,
        began=time.time(),
        status="status DOING",
    )
    try:
        async for event in trigger.run():
            # As the triggerer does: what cannot be encoded would end it.
            msgpack.encode(event.payload)
            events.append({"id": backup_task_id, "at": time.time(), "payload": event.payload})
    except Exception as error:
        payload = {"raised": type(error).__name__}
        events.append({"id": backup_task_id, "at": time.time(), "payload": payload})


async def moved(waiting: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Run a wait that is cancelled, twice, as when its triggerer stops; run it again, as another one does."""
    first = asyncio.create_task(waiting())
    done, _ = await asyncio.wait([first], timeout=seconds)
    if done:
        return
    first.cancel()
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    await waiting()


async def watch(process: psutil.Process, samples: list[int], connections: list[int]) -> None:
    """Sample memory and connections."""
    while True:
        samples.append(process.memory_info().rss)
        connections.append(len(process.net_connections("tcp")))
        await asyncio.sleep(SAMPLE_SECONDS)


def resources() -> dict[str, int]:
    """Count what a fault might leave behind."""
    clients = [client for client, _ in shared_poll._clients.values()]
    polls = [poll for _, polls in shared_poll._clients.values() for poll in polls.values()]
    sessions = [client._opening.result() for client in clients if client._opening]
    return {
        "clients": len(clients),
        "polls": len(polls),
        "users of polls": sum(poll.users for poll in polls),
        "free lanes": sum(client._lanes.free for client in clients),
        "requests in flight": sum(len(client._lanes._in_flight) for client in clients),
        "requests in line": sum(len(client._lanes._line) for client in clients),
        "slots in use": sum(len(session.connector._acquired) for session in sessions if session.connector),
        "open sessions": sum(isinstance(one, ClientSession) and not one.closed for one in gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
    }


async def soak(plan: dict[str, Any], send: Callable[[object], None]) -> None:
    """Run the waits to their end; send a message when they begin, and a report when they end.

    :param plan: ``waits``, the connection ID of each by its backup task ID; ``anchors``, the connections to
        keep open; ``moved``, when some are cancelled and begin again, in seconds; ``poke_interval``;
        ``seconds`` until a wait counts as stuck
    """
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what["message"]))
    process = psutil.Process()
    files_before = process.num_fds()
    # They keep the clients of all waits open, so that their lanes can be counted after them.
    anchors = [TriggerConnection(conn_id) for conn_id in plan["anchors"]]
    for anchor in anchors:
        with suppress(OceanBaseCloudError):
            await anchor.fetch(backup_set_request(INSTANCE_ID, "bak-0"))
    before = resources()
    events: list[dict[str, Any]] = []
    samples: list[int] = []
    connections: list[int] = []
    send({})
    watching = asyncio.create_task(watch(process, samples, connections))
    waits = {}
    for backup_task_id, conn_id in plan["waits"].items():
        waiting = partial(wait, backup_task_id, conn_id, plan["poke_interval"], 10 * plan["seconds"], events)
        seconds = plan["moved"].get(backup_task_id)
        task = asyncio.create_task(waiting() if seconds is None else moved(waiting, seconds))
        waits[task] = backup_task_id
    _, stuck = await asyncio.wait(waits, timeout=plan["seconds"])
    report = {"stuck": [waits[task] for task in stuck]}
    for task in (*stuck, watching):
        task.cancel()
    await asyncio.wait([*stuck, watching])
    del waits, stuck, task
    gc.collect()
    after = resources()
    for anchor in anchors:
        await anchor.__aexit__()
    # Connections close in the next iterations of the loop.
    for _ in range(10):
        await asyncio.sleep(0)
    send(
        report
        | {
            "events": events,
            "samples": samples,
            "connections": connections,
            "before": before,
            "after": after,
            "closed": resources(),
            "files_before": files_before,
            "files": process.num_fds(),
            "complaints": complaints,
        }
    )


if __name__ == "__main__":
    protocol.MAX_BODY_BYTES = MAX_BODY_BYTES
    take = take_stdout()
    asyncio.run(soak(json.loads(sys.stdin.readline()), take))
