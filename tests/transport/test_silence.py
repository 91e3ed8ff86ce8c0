"""How long a connection of the triggerer waits for a server that says nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from certificates import make_certificate
from faults.server import DONE, Behaviour, Exchange, content, hang, serve, stall, tunnel

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseUnavailableError
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.connector import CheckedProtocol, Connector

REQUEST = backup_set_request("ob-1", "bak-1")
TIMEOUT = 0.5
HEAD = b"HTTP/1.1 200 OK\r\n"
#: More than aiohttp takes before it pauses.
LARGE = 2**20

SILENCES = {
    "before a response": hang,
    "in the status line": stall(HEAD[:9]),
    "in a header": stall(HEAD + b"Content-Le"),
    "after an interim response": stall(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "before a body": stall(HEAD + b"Content-Length: 9\r\n\r\n"),
    "in a body": stall(HEAD + b"Content-Length: 9\r\n\r\n{"),
    "in a chunk": stall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"),
    "between chunks": stall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    "in a body without a length": stall(HEAD + b"\r\n{"),
}


def client_of(origin: str, **fields: Any) -> AiohttpClient:
    return AiohttpClient(Endpoint("ob", origin, "key", "secret", **{"timeout": TIMEOUT} | fields))


def timers() -> list[asyncio.TimerHandle]:
    """Return the timers of the event loop that will fire, other than this task's."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]


async def lasted(origin: str, **fields: Any) -> float:
    """Return how long a request takes that fails because of silence; make sure that it leaves no timer."""
    began = time.monotonic()
    target = Endpoint("ob", origin, "key", "secret", **{"timeout": TIMEOUT} | fields)
    async with aclosing(AiohttpClient(target)) as client:
        with pytest.raises(
            OceanBaseUnavailableError, match=r"No complete response in time \(timeout 0\.5 s\)"
        ):
            await client.fetch(REQUEST)
    passed = time.monotonic() - began
    await no_timers()
    return passed


async def no_timers() -> None:
    # A connection is lost in the next turns of the event loop.
    async with asyncio.timeout(5) as limit:
        while len(timers()) > 1:
            await asyncio.sleep(0)
    assert not limit.expired()


@pytest.mark.parametrize("name", SILENCES)
def test_a_server_that_falls_silent(name: str) -> None:
    with serve(SILENCES[name]) as server:
        assert TIMEOUT <= asyncio.run(lasted(server.origin)) < 8 * TIMEOUT


def test_a_server_that_falls_silent_in_the_second_response() -> None:
    """The timer of the first is still there."""

    async def scenario(origin: str) -> float:
        async with aclosing(client_of(origin)) as client:
            await client.fetch(REQUEST)
            await asyncio.sleep(0.8 * TIMEOUT)
            began = time.monotonic()
            with pytest.raises(OceanBaseUnavailableError, match="in time"):
                await client.fetch(REQUEST)
            return time.monotonic() - began

    with serve(DONE, hang) as server:
        assert TIMEOUT <= asyncio.run(scenario(server.origin)) < 8 * TIMEOUT


@pytest.mark.parametrize("name", ["before a response", "in a body"])
def test_a_server_that_falls_silent_behind_tls_and_a_tunnel(name: str, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    context = make_certificate(certificate)
    with serve(SILENCES[name], context=context) as server, serve(tunnel(server.port)) as proxy:
        passed = asyncio.run(lasted(server.origin, verify=str(certificate), proxy=proxy.origin))
    assert TIMEOUT <= passed < 8 * TIMEOUT


@pytest.mark.parametrize("name", ["before a response", "in the status line", "in a header"])
def test_a_proxy_that_falls_silent(name: str) -> None:
    with serve(SILENCES[name]) as proxy:
        passed = asyncio.run(lasted("https://127.0.0.1:1", proxy=proxy.origin))
    assert TIMEOUT <= passed < 8 * TIMEOUT


def test_a_server_that_falls_silent_in_tls() -> None:
    """It takes the handshake for a request."""
    with serve(hang) as server:
        passed = asyncio.run(lasted(server.origin.replace("http:", "https:")))
    assert TIMEOUT <= passed < 8 * TIMEOUT


@pytest.mark.parametrize("part", ["head", "body", "interim responses"])
def test_a_slow_server_that_is_never_silent(part: str) -> None:
    def behave(exchange: Exchange) -> bool:
        body = content(exchange.head)
        head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
        if part == "head":
            pieces = [head[at : at + 4] for at in range(0, len(head), 4)]
        elif part == "body":
            pieces = [head, *(body[at : at + 100] for at in range(0, len(body), 100))]
        else:
            pieces = [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 8 + [head]
        for piece in pieces:
            exchange.send(piece)
            exchange.server.stopped.wait(0.3 * TIMEOUT)
        if part != "body":
            exchange.send(body)
        return True

    async def scenario(origin: str) -> float:
        began = time.monotonic()
        async with aclosing(client_of(origin)) as client:
            assert (await client.fetch(REQUEST)).data["status"] == "DONE"
        await no_timers()
        return time.monotonic() - began

    with serve(behave) as server:
        assert asyncio.run(scenario(server.origin)) > 1.5 * TIMEOUT


def large(then: Behaviour) -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.send(HEAD + f"Content-Length: {2 * LARGE}\r\n\r\n".encode() + b" " * LARGE)
        return then(exchange)

    return behave


def rest(exchange: Exchange) -> bool:
    exchange.send(b" " * LARGE)
    return True


def read_slowly(then: Behaviour, read: Callable[[aiohttp.StreamReader], Awaitable[None]]) -> None:
    """Receive a large response, but begin to read it only after a while."""

    async def scenario(origin: str) -> None:
        connector = Connector(timeout=TIMEOUT)
        no_limit = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=no_limit) as session,
            session.get(origin) as response,
        ):
            assert response.connection is not None
            assert isinstance(response.connection.protocol, CheckedProtocol)
            await asyncio.sleep(3 * TIMEOUT)
            await read(response.content)

    with serve(large(then)) as server:
        asyncio.run(scenario(server.origin))


def test_a_reader_that_pauses_is_no_silence_of_the_server() -> None:
    async def read(body: aiohttp.StreamReader) -> None:
        received = 0
        while data := await body.readany():
            received += len(data)
        assert received == 2 * LARGE

    read_slowly(rest, read)


def test_a_server_that_falls_silent_after_a_pause_of_the_reader() -> None:
    async def read(body: aiohttp.StreamReader) -> None:
        began = time.monotonic()
        with pytest.raises(aiohttp.SocketTimeoutError):
            await body.read()
        assert TIMEOUT <= time.monotonic() - began < 8 * TIMEOUT

    read_slowly(hang, read)


def test_one_timer_serves_all_requests_of_a_connection() -> None:
    async def scenario(origin: str) -> None:
        async with aiohttp.ClientSession(connector=Connector(timeout=60.0)) as session:
            for _ in range(20):
                async with session.get(origin, timeout=aiohttp.ClientTimeout(total=None)) as response:
                    await response.read()
            of_silence = [timer for timer in timers() if "_look_for_silence" in repr(timer)]
            assert len(of_silence) == 1
        await no_timers()

    with serve(DONE) as server:
        asyncio.run(scenario(server.origin))
