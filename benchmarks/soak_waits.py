"""The waits of a soak: ``python -m benchmarks.soak_waits WAITS POKE_INTERVAL SECONDS``."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

from airflow_provider_oceanbase.transport import shared_poll
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


async def soak(waits: int, poke_interval: float, seconds: float, send: Callable[[object], None]) -> None:
    """Run the waits to their end; send a message when they begin, and a report when they end."""
    process = psutil.Process()
    files_before = process.num_fds()
    events: list[dict[str, Any]] = []
    samples: list[int] = []
    connections: list[int] = []
    send({})
    watching = asyncio.create_task(watch(process, samples, connections))
    await asyncio.gather(*(wait(number, poke_interval, 2 * seconds, events) for number in range(waits)))
    watching.cancel()
    # Connections close in the next iterations of the loop.
    for _ in range(10):
        await asyncio.sleep(0)
    send(
        {
            "events": events,
            "samples": samples,
            "connections": max(connections),
            "clients": len(shared_poll._clients),
            "files_before": files_before,
            "files": process.num_fds(),
        }
    )


if __name__ == "__main__":
    asyncio.run(soak(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), take_stdout()))
