"""A connection of the triggerer that is kept: what arrives uninvited is never the response to a request."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from certificates import make_certificate
from faults.server import DOING, DONE, Behaviour, Exchange, RawServer, serve, tunnel

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.connector import CheckedProtocol, Connector

REQUEST = backup_set_request("ob-1", "bak-1")


def endpoint(origin: str, **fields: Any) -> Endpoint:
    return Endpoint("ob", origin, "key", "secret", **{"timeout": 5.0} | fields)


class Stray:
    """Responds, and sends more on the same connection when it is told to."""

    def __init__(self, more: bytes | Behaviour, *, at_once: bool = False) -> None:
        self.more = more
        self.at_once = at_once
        self.connections: list[Any] = []
        self.go = threading.Event()
        self.sent = threading.Event()

    def __call__(self, exchange: Exchange) -> bool:
        self.connections.append(exchange.connection)
        if len(self.connections) > 1:
            return DOING(exchange)
        if self.at_once:
            return self._together(exchange)
        DOING(exchange)
        threading.Thread(target=self._later, args=(exchange,), daemon=True).start()
        return True

    def _later(self, exchange: Exchange) -> None:
        self.go.wait(10)
        self._send(exchange)
        self.sent.set()

    def _send(self, exchange: Exchange) -> None:
        if isinstance(self.more, bytes):
            exchange.send(self.more)
        else:
            self.more(exchange)

    def _together(self, exchange: Exchange) -> bool:
        whole = Whole(exchange)
        DOING(whole)
        self._send(whole)
        exchange.send(whole.data)
        return True


class Whole(Exchange):
    """Keeps what is sent, to send it as one segment."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.server, exchange.connection, exchange.head)
        self.data = b""

    def send(self, data: bytes) -> None:
        self.data += data


STRAYS: dict[str, bytes | Behaviour] = {
    "a response": DONE,
    "the start of a response": b"HTTP/1.1 200 O",
    "the end of a line": b"\r\n",
    "any byte": b"x",
    "an interim response": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


async def statuses(stray: Stray, server: RawServer, settle: Callable[[], Any]) -> list[str]:
    async with aclosing(AiohttpClient(endpoint(server.origin))) as client:
        seen = [(await client.fetch(REQUEST)).data]
        await settle()
        seen += [(await client.fetch(REQUEST)).data for _ in range(3)]
    return [data["status"] for data in seen]


@pytest.mark.parametrize("name", STRAYS)
def test_what_arrives_on_an_idle_connection(name: str) -> None:
    stray = Stray(STRAYS[name])

    async def settle() -> None:
        stray.go.set()
        await asyncio.to_thread(stray.sent.wait, 10)

    with serve(stray) as server:
        assert asyncio.run(statuses(stray, server, settle)) == ["DOING"] * 4
    # One more connection, which is kept.
    assert len(set(map(id, stray.connections))) == 2


@pytest.mark.parametrize("name", STRAYS)
def test_what_the_event_loop_has_not_read_yet(name: str) -> None:
    stray = Stray(STRAYS[name])

    async def settle() -> None:
        stray.go.set()
        # The event loop is busy.
        assert stray.sent.wait(10)

    with serve(stray) as server:
        assert asyncio.run(statuses(stray, server, settle)) == ["DOING"] * 4
    assert len(set(map(id, stray.connections))) == 2


@pytest.mark.parametrize("name", STRAYS)
def test_what_arrives_together_with_a_response(name: str) -> None:
    stray = Stray(STRAYS[name], at_once=True)

    async def settle() -> None:
        pass

    with serve(stray) as server:
        assert asyncio.run(statuses(stray, server, settle)) == ["DOING"] * 4
    assert len(set(map(id, stray.connections))) == 2


def test_a_connection_is_kept() -> None:
    connections = set()

    def behave(exchange: Exchange) -> bool:
        connections.add(id(exchange.connection))
        return DOING(exchange)

    async def scenario(server: RawServer) -> None:
        async with aclosing(AiohttpClient(endpoint(server.origin))) as client:
            for _ in range(5):
                await client.fetch(REQUEST)

    with serve(behave) as server:
        asyncio.run(scenario(server))
    assert len(connections) == 1


@pytest.mark.parametrize("through_tunnel", [False, True])
def test_every_connection_is_checked(through_tunnel: bool, tmp_path: Path) -> None:
    """The one private name of aiohttp that the package uses."""
    bundle = tmp_path / "bundle.pem"
    context = make_certificate(bundle)

    async def scenario(origin: str, proxy: str | None) -> aiohttp.ClientResponse:
        connector = Connector(timeout=5.0, ssl=ssl.create_default_context(cafile=bundle))
        async with aiohttp.ClientSession(connector=connector) as session:
            connect = connector.connect

            async def record(*args: Any, **options: Any) -> Any:
                connection = await connect(*args, **options)
                protocols.append(connection.protocol)
                return connection

            connector.connect = record  # type: ignore[method-assign]
            async with session.get(origin, proxy=proxy) as response:
                await response.read()
                return response

    protocols: list[Any] = []
    with serve(DONE, context=context) as server:
        if through_tunnel:
            with serve(tunnel(server.port)) as proxy:
                assert asyncio.run(scenario(server.origin, proxy.origin)).status == 200
        else:
            assert asyncio.run(scenario(server.origin, None)).status == 200
    (used,) = protocols
    assert type(used) is CheckedProtocol
    assert not used.has_input()
