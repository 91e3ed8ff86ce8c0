"""Many waits in one event loop: ``python -m benchmarks.waits NAME WAITS POKE_INTERVAL SETTLE WINDOW``.

NAME is ``triggers`` (``BackupSetTrigger``, as Airflow's triggerer runs it), ``one_set`` (the same, all for
one set), ``checkpoints`` (``BackupCheckpointTrigger``, all on one instance, each with its own time), ``bare``
(coroutines that sleep and poll, with one aiohttp session) or ``sessions`` (an aiohttp session per wait). It
prints a line when the measured window begins, and one with the results when it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import sys
import time
from array import array
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil  # type: ignore[import-untyped]

from airflow_provider_oceanbase.triggers import BackupCheckpointTrigger, BackupSetTrigger
from benchmarks.contenders import connector, digest, url
from benchmarks.measures import CONN_ID, IN_FLIGHT, INSTANCE_ID, median, quantile, take_stdout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from airflow_provider_oceanbase.waiting.trigger import WaitTrigger

    #: From the number of a wait and its interval in seconds to the wait.
    Wait = Callable[[int, float], Coroutine[object, object, None]]

LAG_PROBE_SECONDS = 0.01
#: Waits start in batches of that size, with a pause of that many seconds.
BATCH, BATCH_SECONDS = 20, 0.04


async def trigger_wait(index: int, poke_interval: float) -> None:
    """Wait with the provider's trigger, each for its own set."""
    await _run(BackupSetTrigger, {"backup_task_id": f"bak-{index}"}, poke_interval)


async def one_set_wait(_index: int, poke_interval: float) -> None:
    """Wait with the provider's trigger, all for one set."""
    await _run(BackupSetTrigger, {"backup_task_id": "bak-1"}, poke_interval)


async def checkpoint_wait(index: int, poke_interval: float) -> None:
    """Wait for any backup of one instance, each from a different second of the same day on."""
    earliest = datetime(2026, 1, 20, tzinfo=UTC) + timedelta(seconds=index)
    await _run(BackupCheckpointTrigger, {"min_checkpoint": earliest.isoformat()}, poke_interval)


async def _run(trigger_class: type[WaitTrigger], condition: dict[str, Any], poke_interval: float) -> None:
    statuses = {
        "success_statuses": ["DONE"],
        "failure_statuses": ["FAILED", "CANCELED", "OVERDUE"],
    }
    trigger = trigger_class(
        instance_id=INSTANCE_ID,
        schedule={"poke_interval": poke_interval},
        oceanbase_conn_id=CONN_ID,
        began=time.time(),
        status="status DOING",
        **statuses,
        **condition,
    )
    async for event in trigger.run():
        raise RuntimeError(f"a wait ended: {event}")


WAITS: dict[str, Wait] = {
    "triggers": trigger_wait,
    "one_set": one_set_wait,
    "checkpoints": checkpoint_wait,
}


def bare_wait() -> Wait:
    """Return a wait that sleeps, polls with one session of all, and does nothing else: the minimum.

    Each of 32 digest states is used by one request at a time, as it has to be.
    """
    digests = [digest() for _ in range(IN_FLIGHT)]
    free = asyncio.Semaphore(IN_FLIGHT)
    # The loop closes what it holds at its end.
    session = aiohttp.ClientSession(connector=connector(limit=IN_FLIGHT))

    async def wait(index: int, poke_interval: float) -> None:
        await asyncio.sleep(random.random() * poke_interval)
        while True:
            async with free:
                lent = digests.pop()
                try:
                    async with session.get(url(index), middlewares=(lent,)) as response:
                        json.loads(await response.read())
                finally:
                    digests.append(lent)
            await asyncio.sleep(poke_interval)

    return wait


def session_wait() -> Wait:
    """Return a wait with its own session; all share one TLS context, which favours them."""
    context = ssl.create_default_context(cafile=os.environ["BENCHMARK_BUNDLE"])

    async def wait(index: int, poke_interval: float) -> None:
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector, middlewares=(digest(),)) as session:
            await asyncio.sleep(random.random() * poke_interval)
            while True:
                async with session.get(url(index)) as response:
                    json.loads(await response.read())
                await asyncio.sleep(poke_interval)

    return wait


@asynccontextmanager
async def running(
    wait: Wait, indexes: range, poke_interval: float
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run waits as tasks; start them in batches."""
    tasks = []
    for index in indexes:
        tasks.append(asyncio.create_task(wait(index, poke_interval)))
        if index % BATCH == BATCH - 1:
            await asyncio.sleep(BATCH_SECONDS)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def probe(lags: array[float]) -> None:
    """Record how late the loop wakes a sleeper."""
    while True:
        due = time.perf_counter() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        lags.append(time.perf_counter() - due)


def memory() -> int:
    """Return the resident memory of the process in bytes."""
    return int(psutil.Process().memory_info().rss)


async def measure(
    name: str, waits: int, poke_interval: float, settle: float, window: float, send: Callable[[object], None]
) -> None:
    """Run the waits, and measure once all have begun; memory is what the second half of them adds."""
    wait = WAITS[name] if name in WAITS else {"bare": bare_wait, "sessions": session_wait}[name]()
    lags = array("d")
    half = waits // 2
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(running(wait, range(half), poke_interval))
        await asyncio.sleep(settle)
        before = memory()
        tasks += await stack.enter_async_context(running(wait, range(half, waits), poke_interval))
        await asyncio.sleep(settle)
        probing = asyncio.create_task(probe(lags))
        send({})
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(window)
        passed, cpu, grown = time.perf_counter() - began, time.process_time() - cpu, memory() - before
        probing.cancel()
        send(
            {
                "cpu": cpu,
                "seconds": passed,
                "memory_per_wait": grown / (waits - half),
                "ended": sum(task.done() for task in tasks),
                "lag_p50": median(lags),
                "lag_p99": quantile(lags, 0.99),
                "lag_max": max(lags),
            }
        )


def main(name: str, waits: str, *seconds: str) -> None:
    """Measure, and send the results."""
    poke_interval, settle, window = map(float, seconds)
    asyncio.run(measure(name, int(waits), poke_interval, settle, window, take_stdout()))


if __name__ == "__main__":
    main(*sys.argv[1:])
