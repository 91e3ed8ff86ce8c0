"""Poll with one of several clients, on command: ``python -m benchmarks.contenders NAME``.

It prints a line when it is ready. Then, for each number of seconds on stdin, it polls for that time and
prints the CPU seconds of the process. The server counts the polls.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import ssl
import sys
import time
import uuid
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import requests
from requests.auth import HTTPDigestAuth

from benchmarks.measures import (
    ACCESS_KEY_ID,
    ACCESS_KEY_SECRET,
    CONN_ID,
    HTTP_CONN_ID,
    IN_FLIGHT,
    INSTANCE_ID,
    take_stdout,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from airflow.triggers.base import BaseTrigger

    #: Polls for that many seconds.
    Polling = Callable[[float], Awaitable[None]]


def origin() -> str:
    """Return scheme, host and port of the server."""
    return os.environ["BENCHMARK_ORIGIN"]


def path(index: int) -> str:
    """Return the path of a backup set."""
    return f"/api/v2/instances/{INSTANCE_ID}/backup/data/sets/bak-{index}"


def url(index: int) -> str:
    """Return the URL of one poll of a backup set, with a new requestId."""
    query = f"requestId={uuid.uuid4()}&checkBackupSetDownloadEnable=false"
    return f"{origin()}{path(index)}?{query}"


def digest() -> aiohttp.DigestAuthMiddleware:
    """Return aiohttp's digest authentication with the key."""
    return aiohttp.DigestAuthMiddleware(ACCESS_KEY_ID, ACCESS_KEY_SECRET)


def connector(**options: Any) -> aiohttp.TCPConnector:
    """Return a pool of connections that trusts the server."""
    context = ssl.create_default_context(cafile=os.environ["BENCHMARK_BUNDLE"])
    return aiohttp.TCPConnector(ssl=context, **options)


async def in_flight(seconds: float, poll: Callable[[int], Awaitable[object]]) -> None:
    """Poll each of several sets in sequence, all of them concurrently, for that many seconds."""
    end = time.monotonic() + seconds

    async def one_after_another(index: int) -> None:
        while time.monotonic() < end:
            await poll(index)
            await asyncio.sleep(0)

    await asyncio.gather(*map(one_after_another, range(IN_FLIGHT)))


@asynccontextmanager
async def running(*triggers: BaseTrigger) -> AsyncIterator[Polling]:
    """Run triggers as Airflow does; between measurements the loop does not run."""

    async def run(trigger: BaseTrigger) -> None:
        async for event in trigger.run():
            raise RuntimeError(f"a wait ended: {event}")

    tasks = [asyncio.create_task(run(trigger)) for trigger in triggers]

    async def polling(seconds: float) -> None:
        await asyncio.sleep(seconds)
        for task in tasks:
            if task.done():
                task.result()

    yield polling
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def trigger() -> AsyncIterator[Polling]:
    """The complete ``BackupSetTrigger``, without a pause between polls."""
    from airflow_provider_oceanbase.triggers import BackupSetTrigger
    from airflow_provider_oceanbase.waiting import schedule

    # Else a pause would come before each poll, and hardly any would be in flight together.
    schedule.MIN_PAUSE = 0.0
    async with running(
        *(
            BackupSetTrigger(
                instance_id=INSTANCE_ID,
                backup_task_id=f"bak-{index}",
                schedule={"poke_interval": 0.0},
                oceanbase_conn_id=CONN_ID,
                began=time.time(),
                status="status DOING",
            )
            for index in range(IN_FLIGHT)
        )
    ) as polling:
        yield polling


@asynccontextmanager
async def client() -> AsyncIterator[Polling]:
    """``AiohttpClient.fetch``: the trigger's client alone."""
    from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
    from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient

    wanted = [backup_set_request(INSTANCE_ID, f"bak-{index}") for index in range(IN_FLIGHT)]
    async with aclosing(AiohttpClient(endpoint())) as shared:

        async def polling(seconds: float) -> None:
            await in_flight(seconds, lambda index: shared.fetch(wanted[index]))

        yield polling


def endpoint() -> Any:
    """Return the provider's endpoint of the server."""
    from airflow_provider_oceanbase.cloud.endpoint import Endpoint

    return Endpoint(
        conn_id=CONN_ID,
        origin=origin(),
        access_key_id=ACCESS_KEY_ID,
        access_key_secret=ACCESS_KEY_SECRET,
        verify=os.environ["BENCHMARK_BUNDLE"],
    )


@asynccontextmanager
async def bare() -> AsyncIterator[Polling]:
    """One aiohttp session, one digest state per coroutine, and JSON: the minimum in a triggerer."""
    # What the garbage collector scans is the same then.
    importlib.import_module("airflow_provider_oceanbase.triggers")
    digests = [digest() for _ in range(IN_FLIGHT)]
    async with aiohttp.ClientSession(connector=connector(limit=IN_FLIGHT)) as session:

        async def poll(index: int) -> object:
            async with session.get(url(index), middlewares=(digests[index],)) as response:
                return json.loads(await response.read())

        async def polling(seconds: float) -> None:
            await in_flight(seconds, poll)

        yield polling


@asynccontextmanager
async def hook() -> AsyncIterator[Polling]:
    """One ``OceanBaseHook`` for all polls, as in a sensor in poke mode."""
    from airflow_provider_oceanbase.hooks import OceanBaseHook

    kept = OceanBaseHook(CONN_ID)

    async def polling(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kept.find_backup_set(INSTANCE_ID, "bak-0")

    yield polling
    kept.close()


def new_session(verify: str) -> Any:
    """Return a contender that creates a requests session for each poll.

    :param verify: path of the certificates to trust
    """

    @asynccontextmanager
    async def contender() -> AsyncIterator[Polling]:
        async def polling(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with requests.Session() as session:
                    session.auth = HTTPDigestAuth(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
                    session.verify = verify
                    session.get(url(0), timeout=30).json()

        yield polling

    return contender


@asynccontextmanager
async def http_sensor() -> AsyncIterator[Polling]:
    """The trigger of ``HttpSensor(deferrable=True)``, without a pause between polls."""
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    async with running(
        *(
            HttpSensorTrigger(endpoint=path(index), http_conn_id=HTTP_CONN_ID, poke_interval=0.0)
            for index in range(IN_FLIGHT)
        )
    ) as polling:
        yield polling


CONTENDERS = {
    "trigger": trigger,
    "client": client,
    "bare": bare,
    "hook": hook,
    "new_session": new_session(os.environ.get("BENCHMARK_BUNDLE", "")),
    "new_session_one_certificate": new_session(os.environ.get("BENCHMARK_CERTIFICATE", "")),
    "http_sensor": http_sensor,
}


def main(name: str) -> None:
    """Poll on command."""
    send = take_stdout()
    # HttpSensor's trigger warns at each poll; do not measure its logging.
    logging.disable(logging.WARNING)
    with asyncio.Runner() as runner:
        contender = CONTENDERS[name]()
        polling: Polling = runner.run(contender.__aenter__())
        send({})
        for line in sys.stdin:
            began = time.process_time()
            runner.run(polling(float(line)))  # type: ignore[arg-type]
            send({"cpu": time.process_time() - began})
        runner.run(contender.__aexit__(None, None, None))


if __name__ == "__main__":
    main(*sys.argv[1:])
