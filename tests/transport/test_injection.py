"""Whatever interrupts a wait or a watch, and wherever: all is given back, and the next wait works."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from airflow.models import Connection
from modes import fire, trigger
from watches import trigger as watch

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import aiohttp_client, shared_poll, trigger_connection
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection

pytestmark = pytest.mark.thorough
LANES = 2
#: What happens at the n-th suspension of all tasks together. "cancel": the task is cancelled while it is
#: suspended; "cancel late": when what it awaits is done; "cancel twice": again at its next suspension.
#: "cancel all": so is what is suspended next, five times, as at the end of the event loop.
CANCELLATIONS = ("cancel", "cancel late", "cancel twice", "cancel all")
ERRORS = (
    aiohttp.ClientError("injected"),
    OSError("injected"),
    TimeoutError("injected"),
    ValueError("injected"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "injected"),
    AssertionError("injected"),
    RuntimeError("injected"),
)


class Interruption:
    """Counts the suspensions of the tasks that it makes, and interrupts at one of them: a task factory."""

    def __init__(self, at: int, kind: str | Exception) -> None:
        self.at = at
        self.kind = kind
        self.suspensions = 0

    def __call__(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_Interrupted(coroutine, self), loop=loop, **options)


class _Interrupted(Coroutine[Any, Any, Any]):
    def __init__(self, coroutine: Coroutine[Any, Any, Any], interruption: Interruption) -> None:
        self._coroutine = coroutine
        self._interruption = interruption
        self._thrown: BaseException | None = None
        self._cancel_again = False

    def send(self, value: Any) -> Any:
        if (thrown := self._thrown) is not None:
            self._thrown = None
            return self._suspended(self._coroutine.throw(thrown))
        return self._suspended(self._coroutine.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self._coroutine.throw(*error))

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        raise NotImplementedError

    def _suspended(self, future: Any) -> Any:
        task, interruption = asyncio.current_task(), self._interruption
        assert task
        if self._cancel_again:
            self._cancel_again = False
            task.cancel()
        interruption.suspensions += 1
        if interruption.kind == "cancel all" and 0 < interruption.suspensions - interruption.at <= 5:
            task.cancel()
        if interruption.suspensions == interruption.at:
            if isinstance(interruption.kind, Exception):
                self._thrown = interruption.kind
            elif interruption.kind == "cancel late" and future is not None:
                # Just when the task is about to run: the result is there, and is lost.
                future.add_done_callback(lambda _: task.cancel())
            else:
                self._cancel_again = interruption.kind == "cancel twice"
                task.cancel()
        return future


async def one_wait(name: str) -> None:
    await fire(trigger(instance_id=name, poke_interval=0.001))


async def equal_waits(name: str) -> None:
    await asyncio.gather(one_wait(name), one_wait(name))


async def one_watch(name: str) -> None:
    async with aclosing(watch(instance_id=name, poke_interval=0.001).run()) as events:
        async for _ in events:
            return


async def another_query(name: str) -> None:
    """A connection that leaves its former poll, as a watch does at midnight."""
    async with TriggerConnection("oceanbase_default") as connection:
        for task_id in ("bak-1", "bak-2"):
            await connection.fetch(backup_set_request(name, task_id))


async def changed_connection(name: str) -> None:
    """Two waits whose polls fail, so that both read their connection, which has changed."""
    uri = os.environ["AIRFLOW_CONN_OCEANBASE_DEFAULT"].partition("?")[0]
    os.environ["AIRFLOW_CONN_OCEANBASE_DEFAULT"] = uri

    async def one() -> None:
        async with TriggerConnection("oceanbase_default") as connection:
            await connection.fetch(backup_set_request(name, "bak-1"))
            os.environ["AIRFLOW_CONN_OCEANBASE_DEFAULT"] = f"{uri}?timeout=7"
            await connection.fetch(backup_set_request(name, "bak-2"))

    await asyncio.gather(one(), one())


async def crowd(name: str) -> None:
    """More requests than lanes."""
    async with TriggerConnection("oceanbase_default") as connection:
        await connection.fetch(backup_set_request(name, "bak-1"))
        assert connection._poll
        client = connection._poll.client
        requests = (client.fetch(backup_set_request(name, f"bak-{n}")) for n in range(4))
        await asyncio.gather(*requests, return_exceptions=True)


SCENARIOS = (one_wait, equal_waits, one_watch, another_query, changed_connection, crowd)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[AiohttpClient]:
    """All clients that a test opens."""
    made: list[AiohttpClient] = []
    monkeypatch.setattr(shared_poll, "_clients", {})

    class Recorded(AiohttpClient):
        def __init__(self, endpoint: Endpoint) -> None:
            super().__init__(endpoint)
            made.append(self)

    monkeypatch.setattr(shared_poll, "AiohttpClient", Recorded)
    # Reading the CA bundle for each of hundreds of sessions takes seconds.
    monkeypatch.setattr(aiohttp_client, "_ssl_context", lambda verify: False)
    monkeypatch.setattr(aiohttp_client, "LANES", LANES)
    return made


def endpoint(cloud: CloudEmulator) -> Endpoint:
    connection = Connection(uri=cloud.connection_uri)
    return Endpoint.from_connection(connection, connection.extra_dejson)


@asynccontextmanager
async def bystander(cloud: CloudEmulator) -> AsyncIterator[None]:
    """Another wait of the same client: its session stays open, and shows what it has lost."""
    poll = shared_poll.join(endpoint(cloud), backup_set_request("ob-0", "bak-0"))
    try:
        await poll.fetch()
        yield
        assert poll.users == 1
        assert list(shared_poll._clients.values()) == [(poll.client, {poll.query.key: poll})]
        assert_unused(poll.client)
        # Every lane lets the next request in.
        await asyncio.gather(*(poll.client.fetch(poll.query) for _ in range(LANES)))
    finally:
        await poll.leave()


def assert_unused(client: AiohttpClient) -> None:
    lanes, session = client._lanes, session_of(client)
    assert (lanes.free, list(lanes._line), lanes._in_flight) == (LANES, [], {})
    if session is not None and session.connector is not None:
        assert not session.connector._acquired


def session_of(client: AiohttpClient) -> aiohttp.ClientSession | None:
    opening = client._opening
    failed = opening is None or opening.cancelled() or opening.exception()
    return None if failed or opening is None else opening.result()


async def interrupted(scenario: Callable[[str], Awaitable[None]], name: str, how: Interruption) -> None:
    """Run a scenario with one interruption, until nothing of it runs any more."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    loop.set_task_factory(how)
    try:
        run = asyncio.ensure_future(scenario(name))
        with suppress(asyncio.CancelledError, Exception):
            async with asyncio.timeout(5):
                await run
        assert run.done()
    finally:
        loop.set_task_factory(None)
    # A task that ends may start another, which closes the session.
    while rest := asyncio.all_tasks() - before:
        _, pending = await asyncio.wait(rest, timeout=5)
        assert not pending
    # Until the callbacks of the last one have run.
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "stays_open"),
    # Errors while the session closes are few.
    [(kind, True) for kind in (*CANCELLATIONS, *ERRORS)]
    + [(kind, False) for kind in (*CANCELLATIONS, ERRORS[-1])],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_interrupted_anywhere(
    scenario: Callable[[str], Awaitable[None]],
    kind: str | Exception,
    stays_open: bool,
    cloud: CloudEmulator,
    clients: list[AiohttpClient],
) -> None:
    complaints: list[Any] = []

    async def at_every_suspension() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        cloud.add_backup_set("ob-0", "bak-0", statuses=("DOING",))
        for n in itertools.count(1):
            name = f"ob-{n}"
            cloud.add_backup_set(name, "bak-1", statuses=("DOING", "DOING", "DONE"))
            how = Interruption(n, kind)
            if stays_open:
                async with bystander(cloud):
                    await interrupted(scenario, name, how)
            else:
                await interrupted(scenario, name, how)
            assert shared_poll._clients == {}
            assert not shared_poll._closing
            assert trigger_connection._connections == {}
            assert not trigger_connection._readings
            for client in clients:
                assert_unused(client)
                session = session_of(client)
                assert session is None or session.closed
            clients.clear()
            if how.suspensions < n:
                return n
        raise AssertionError

    suspensions = asyncio.run(at_every_suspension())
    assert suspensions > 5
    assert complaints == []


def test_a_session_is_not_opened_for_a_closed_client(
    cloud: CloudEmulator, clients: list[AiohttpClient]
) -> None:
    async def scenario() -> None:
        client = shared_poll.AiohttpClient(endpoint(cloud))
        request = asyncio.create_task(client.fetch(backup_set_request("ob-1", "bak-1")))
        while client._opening is None:
            await asyncio.sleep(0)
        closing = asyncio.create_task(client.aclose())
        # At the end of the event loop all that runs is cancelled at once.
        for task in (request, closing):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([client._opening])
        assert session_of(client) is None

    asyncio.run(scenario())
