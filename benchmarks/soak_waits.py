"""The waits of a soak: ``python -m benchmarks.soak_waits WAITS POKE_INTERVAL SECONDS``."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
from aiohttp import ClientSession

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport import shared_poll
from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
from airflow_provider_oceanbase.triggers import BackupSetTrigger
from benchmarks.measures import CONN_ID, INSTANCE_ID, take_stdout

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 1.0


async def wait(number: int, poke_interval: float, timeout: float, events: list[dict[str, Any]]) -> None:
    """Run one trigger, and record how it ends."""
    backup_task_id = f"bak-{number}"
    trigger = BackupSetTrigger(
        condition={"instance_id": INSTANCE_ID, "backup_task_id": backup_task_id},
        schedule={"poke_interval": poke_interval, "timeout": timeout},
        oceanbase_conn_id=CONN_ID,
        began=time.time(),
        status="status DOING",
    )
    async for event in trigger.run():
        status = event.payload.get("summary", {}).get("status")
        events.append({"id": backup_task_id, "status": status, "at": time.time()})


async def watch(process: psutil.Process, samples: list[int], connections: list[int]) -> None:
    """Sample memory and connections."""
    while True:
        samples.append(process.memory_info().rss)
        connections.append(len(process.net_connections("tcp")))
        await asyncio.sleep(SAMPLE_SECONDS)


def resources() -> dict[str, int]:
    """Count what a fault might leave behind."""
    clients = [client for client, _ in shared_poll._clients.values()]
    sessions = [client._opening.result() for client in clients if client._opening]
    return {
        "clients": len(clients),
        "polls": sum(len(polls) for _, polls in shared_poll._clients.values()),
        "free lanes": sum(client._lanes.qsize() for client in clients),
        "slots in use": sum(len(session.connector._acquired) for session in sessions if session.connector),
        "open sessions": sum(isinstance(one, ClientSession) and not one.closed for one in gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
    }


async def soak(waits: int, poke_interval: float, seconds: float, send: Callable[[object], None]) -> None:
    """Run the waits to their end; send a message when they begin, and a report when they end."""
    process = psutil.Process()
    files_before = process.num_fds()
    # It keeps the client of all waits open, so that its lanes can be counted after them.
    anchor = TriggerConnection(CONN_ID)
    with suppress(OceanBaseCloudError):
        await anchor.fetch(backup_set_request(INSTANCE_ID, "bak-0"))
    before = resources()
    events: list[dict[str, Any]] = []
    samples: list[int] = []
    connections: list[int] = []
    send({})
    watching = asyncio.create_task(watch(process, samples, connections))
    await asyncio.gather(*(wait(number, poke_interval, 2 * seconds, events) for number in range(waits)))
    watching.cancel()
    await asyncio.wait([watching])
    after = resources()
    await anchor.__aexit__()
    # Connections close in the next iterations of the loop.
    for _ in range(10):
        await asyncio.sleep(0)
    send(
        {
            "events": events,
            "samples": samples,
            "connections": max(connections),
            "before": before,
            "after": after | {"clients": len(shared_poll._clients) + 1},
            "files_before": files_before,
            "files": process.num_fds(),
        }
    )


if __name__ == "__main__":
    asyncio.run(soak(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), take_stdout()))
