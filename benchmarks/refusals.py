"""Count refused polls with a correct key, 40 in flight: ``python -m benchmarks.refusals NAME CLIENTS``.

Prints how many polls failed, and the number of polls. Each of CLIENTS new clients has 40 waits, each of which
polls a few times in sequence. NAME is ``lanes`` (the provider's client), ``shared`` (aiohttp with one digest
state for all) or ``http_sensor``, which prints the error of its first poll.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.contenders import connector, digest, endpoint, path, url
from benchmarks.measures import HTTP_CONN_ID, INSTANCE_ID, take_stdout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    #: Polls a set once, and returns whether it succeeded.
    Poll = Callable[[int], Awaitable[bool]]

IN_FLIGHT = 40
POLLS_OF_EACH = 5


@asynccontextmanager
async def lanes() -> AsyncIterator[Poll]:
    """The provider's client."""
    from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient

    async with aclosing(AiohttpClient(endpoint())) as client:

        async def poll(index: int) -> bool:
            try:
                await client.fetch(backup_set_request(INSTANCE_ID, f"bak-{index}"))
            except OceanBaseCloudError:
                return False
            return True

        yield poll


@asynccontextmanager
async def shared() -> AsyncIterator[Poll]:
    """One aiohttp session with one digest state, as in its documentation."""
    async with aiohttp.ClientSession(connector=connector(), middlewares=(digest(),)) as session:

        async def poll(index: int) -> bool:
            async with session.get(url(index)) as response:
                await response.read()
                return response.status == 200

        yield poll


async def count(name: str, clients: int) -> dict[str, int]:
    """Poll with new clients, one after another."""
    failed = 0
    for _ in range(clients):
        async with {"lanes": lanes, "shared": shared}[name]() as poll:
            failed += sum(await asyncio.gather(*(failures(poll, index) for index in range(IN_FLIGHT))))
    return {"failed": failed, "polls": clients * IN_FLIGHT * POLLS_OF_EACH}


async def failures(poll: Poll, index: int) -> int:
    """Poll a set a few times and return the number of failures."""
    return [await poll(index) for _ in range(POLLS_OF_EACH)].count(False)


def http_sensor() -> dict[str, str]:
    """Poll once as ``HttpSensor(deferrable=True)`` does before it defers."""
    from airflow.exceptions import AirflowException
    from airflow.providers.http.sensors.http import HttpSensor

    sensor = HttpSensor(
        task_id="wait",
        endpoint=path(0),
        http_conn_id=HTTP_CONN_ID,
        extra_options={"verify": os.environ["BENCHMARK_BUNDLE"]},
        deferrable=True,
    )
    try:
        sensor.poke({})
    except AirflowException as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": ""}


def main(name: str, clients: str) -> None:
    """Send the result."""
    send = take_stdout()
    logging.disable(logging.ERROR)
    send(http_sensor() if name == "http_sensor" else asyncio.run(count(name, int(clients))))


if __name__ == "__main__":
    main(*sys.argv[1:])
