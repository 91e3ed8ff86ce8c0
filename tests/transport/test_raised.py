"""Whatever is raised while a request is sent: it leaves as our error, and the next request works."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
import requests
import urllib3
from conftest import answer as vendors_answer
from digest_server import KEY, SECRET, Digest
from faults.server import Exchange, answer, serve

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.cloud.query import Answer
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseUnavailableError
from airflow_provider_oceanbase.transport.aiohttp_client import LANES, AiohttpClient
from airflow_provider_oceanbase.transport.requests_client import RequestsClient, new_session

REQUEST = backup_set_request("ob-1", "bak-1")
PROXY = "http://user:password@proxy"
ERRORS = (
    aiohttp.ClientError(PROXY),
    requests.RequestException(PROXY),
    urllib3.exceptions.HTTPError(PROXY),
    OSError(PROXY),
    OSError("no number", PROXY),
    ssl.SSLError(PROXY),
    TimeoutError(PROXY),
    ValueError(PROXY),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, PROXY),
    AssertionError(PROXY),
    RuntimeError(PROXY),
)
_PACKAGE = "airflow_provider_oceanbase"
_DIGEST = f"{_PACKAGE}.cloud.digest.DigestAuth"
BOTH = (
    f"{_DIGEST}.authorization",
    f"{_DIGEST}.challenged",
    f"{_DIGEST}.answered",
    f"{_PACKAGE}.cloud.body.Body.fits",
    f"{_PACKAGE}.cloud.body.Body.complete",
)
IN_TRIGGERERS = (
    *BOTH,
    f"{_PACKAGE}.transport.lanes.cookie_header",
    f"{_PACKAGE}.transport.lanes.joined_header",
    f"{_PACKAGE}.transport.aiohttp_client.joined_header",
    "aiohttp.ClientSession._build_url",
    "aiohttp.TCPConnector.connect",
    "aiohttp.TCPConnector._create_connection",
    "aiohttp.ClientRequest.send",
    "aiohttp.ClientResponse.start",
    "aiohttp.ClientResponse.close",
    "aiohttp.StreamReader.readany",
)
IN_TASKS = (
    *BOTH,
    f"{_PACKAGE}.transport.requests_digest.cookie_header",
    "requests.adapters.HTTPAdapter.send",
    "requests.adapters.HTTPAdapter.build_response",
    "requests.sessions.extract_cookies_to_jar",
    "urllib3.connection.HTTPConnection.connect",
    "urllib3.connection.HTTPConnection.getresponse",
    "urllib3.response.HTTPResponse.read1",
)


@pytest.fixture
def origin() -> Iterator[str]:
    """A server whose challenges and answers have all the headers that a client reads."""

    def behave(exchange: Exchange) -> bool:
        if Digest().accepts(exchange.server.requests[-1][1]):
            response = answer(vendors_answer(), Authentication_Info="qop=auth")
        else:
            challenge = {"WWW_Authenticate": 'Digest realm="r", nonce="n"', "Set_Cookie": "a=b"}
            response = answer(b"refused", 401, **challenge)
        connection: Any = HeadFirst(exchange.connection)
        return response(Exchange(exchange.server, connection, exchange.head))

    with serve(behave) as server:
        yield server.origin


class HeadFirst:
    """Sends the body of a response later: while it is handled, its connection is in use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def sendall(self, data: bytes) -> None:
        end = data.index(b"\r\n\r\n") + 4
        self._connection.sendall(data[:end])
        time.sleep(0.002)
        self._connection.sendall(data[end:])


def endpoint(origin: str) -> Endpoint:
    return Endpoint("ob", origin, KEY, SECRET, timeout=5.0, verify=False)


@contextmanager
def raising(where: str, error: BaseException, at: int) -> Iterator[None]:
    """Raise an error in the n-th call of a function."""
    owner, name = where.rsplit(".", 1)
    original: Callable[..., Any] = getattr(resolve_name(owner), name)
    calls = itertools.count(1)

    def call(*arguments: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise error
        return original(*arguments, **options)

    with patch(where, call):
        yield


def assert_meaningful(failure: Any, error: BaseException) -> None:
    """What leaves a client says what was raised, and keeps its text to itself."""
    if isinstance(error, asyncio.CancelledError):
        assert isinstance(failure, asyncio.CancelledError)
        return
    assert type(failure) is OceanBaseUnavailableError
    assert failure.transient
    assert type(error).__name__ in str(failure) or "in time" in str(failure)
    assert "user:password" not in str(failure)
    assert failure.__cause__ is None


@pytest.mark.parametrize("where", IN_TRIGGERERS)
def test_in_a_triggerer(where: str, origin: str) -> None:
    complaints: list[Any] = []

    async def sent_with(error: BaseException, at: int) -> Any:
        async with aclosing(AiohttpClient(endpoint(origin))) as client:
            with raising(where, error, at):
                (failure,) = await asyncio.gather(client.fetch(REQUEST), return_exceptions=True)
            connector = (await client._session()).connector
            assert connector
            assert not connector._acquired
            assert (client._lanes.free, client._lanes._in_flight) == (LANES, {})
            # The same lane again, since the last one back is the first one out.
            assert (await client.fetch(REQUEST)).data is not None
        return failure

    async def all_of_them() -> list[tuple[BaseException, Any]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        errors = (*ERRORS, asyncio.CancelledError())
        return [(error, await sent_with(error, at)) for error in errors for at in (1, 2)]

    outcomes = asyncio.run(all_of_them())
    failed = [(error, outcome) for error, outcome in outcomes if not isinstance(outcome, Answer)]
    # aiohttp sends again what a connection has lost, and not all is called twice.
    assert len(failed) >= len(outcomes) / 2 - 2
    for error, failure in failed:
        assert_meaningful(failure, error)
    assert complaints == []


@pytest.mark.parametrize("where", IN_TASKS)
def test_in_a_task(where: str, origin: str) -> None:
    failed = 0
    for error, at in itertools.product(ERRORS, (1, 2)):
        client = RequestsClient(new_session(endpoint(origin)), endpoint(origin), logging.getLogger())
        with client.session:
            with raising(where, error, at):
                try:
                    client.fetch(REQUEST, retry=False)
                except OceanBaseCloudError as failure:
                    failed += 1
                    assert_meaningful(failure, error)
            assert client.fetch(REQUEST, retry=False).data is not None
    assert failed >= len(ERRORS)


class Poisoned:
    """An authentication session whose answer cannot be sent."""

    def authorization(self, method: str, target: str) -> str:
        return "Digest\nInjected: 1"


def test_what_cannot_be_sent_is_forgotten_in_a_triggerer(origin: str) -> None:
    async def scenario() -> None:
        async with aclosing(AiohttpClient(endpoint(origin))) as client:
            client._lanes._free[-1]._digest._session = Poisoned()  # type: ignore[assignment]
            with pytest.raises(OceanBaseUnavailableError, match="ValueError"):
                await client.fetch(REQUEST)
            assert (await client.fetch(REQUEST)).data is not None

    asyncio.run(scenario())


def test_what_cannot_be_sent_is_forgotten_in_a_task(origin: str) -> None:
    client = RequestsClient(new_session(endpoint(origin)), endpoint(origin), logging.getLogger())
    with client.session:
        client.session.auth._of_thread.digest._session = Poisoned()  # type: ignore[union-attr]
        with pytest.raises(OceanBaseUnavailableError, match="ValueError"):
            client.fetch(REQUEST, retry=False)
        assert client.fetch(REQUEST, retry=False).data is not None
