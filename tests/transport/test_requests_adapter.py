"""The session of a task, also for what users do with it: OceanBaseHook.get_conn() hands it out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests
from faults.server import DONE, Behaviour, Exchange, RawServer, serve, trickle

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.transport.requests_adapter import deadline
from airflow_provider_oceanbase.transport.requests_client import new_session

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"3;x=1\r\nabc\r\n" * 30_000 + b"0\r\nX: 1\r\n\r\n"


def raw(data: bytes) -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.send(data)
        return True

    return behave


def open_session(server: RawServer) -> requests.Session:
    return new_session(Endpoint("ob", server.origin, "key", "secret"))


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[tuple[RawServer, requests.Session]]:
    with serve(*request.param) as server, open_session(server) as session:
        yield server, session


@pytest.mark.parametrize("served", [[raw(CHUNKS), DONE]], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_chunks(served: tuple[RawServer, requests.Session], stream: bool) -> None:
    server, session = served
    response = session.get(server.origin, stream=stream, timeout=5)
    body = b"".join(response.iter_content(1000)) if stream else response.content
    assert body == b"abc" * 30_000
    assert session.get(server.origin, timeout=5).json()["success"]


@pytest.mark.parametrize("served", [[raw(OK + b"Content-Length: 9\r\n\r\n"), DONE]], indirect=True)
def test_head(served: tuple[RawServer, requests.Session]) -> None:
    server, session = served
    assert session.head(server.origin, timeout=5).headers["Content-Length"] == "9"
    assert session.get(server.origin, timeout=5).status_code == 200


@pytest.mark.parametrize("timeout", [5, None])
def test_what_comes_after_a_response_is_not_for_the_next_request(timeout: float | None) -> None:
    connections = []

    def behave(exchange: Exchange) -> bool:
        connections.append(exchange.connection)
        if len(connections) > 1:
            return DONE(exchange)
        return raw(OK + b"Content-Length: 1\r\n\r\na" + OK + b"Content-Length: 5\r\n\r\nwrong")(exchange)

    with serve(behave) as server, open_session(server) as session:
        assert session.get(server.origin, timeout=timeout).text == "a"
        for _ in range(2):
            assert session.get(server.origin, timeout=timeout).json()["success"]
    first, *others = connections
    assert others == [others[0]] * 2 != [first] * 2


def test_a_deadline_covers_what_a_timeout_does_not() -> None:
    with (
        serve(trickle(OK + b"Content-Length: 1000\r\n\r\n", b" ")) as server,
        open_session(server) as session,
    ):
        began = time.monotonic()
        with deadline(60), deadline(0.5), pytest.raises(requests.ConnectionError, match="timed out"):
            session.get(server.origin, timeout=5)
        assert 0.5 <= time.monotonic() - began < 5


def test_the_body_of_a_user_s_request_has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_TIMEOUTS", 0.5)

    def behave(exchange: Exchange) -> bool:
        exchange.send(OK + b"Content-Length: 8\r\n\r\n")
        for _ in range(8):
            exchange.server.stopped.wait(0.2)
            exchange.send(b"a")
        return True

    with serve(behave) as server, open_session(server) as session:
        # The head has 0.5 s, the body takes 1.6 s.
        assert session.get(server.origin, timeout=1).text == "a" * 8
