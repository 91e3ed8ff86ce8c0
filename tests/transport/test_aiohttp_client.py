from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from certificates import make_certificate
from digest_server import refuse
from faults.answers import CHALLENGE, UNAUTHORIZED, challenged
from faults.server import Behaviour, Exchange, RawServer, hang, serve, stall, tunnel

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import (
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport.aiohttp_client import LANES, AiohttpClient

REQUEST = backup_set_request("ob-1", "bak-1")
SIZE = b"Content-Length: 99\r\n\r\n{"
HEAD = b"HTTP/1.1 200 OK\r\n" + SIZE


@pytest.fixture
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator() as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
        yield cloud


def endpoint(origin: str, **fields: Any) -> Endpoint:
    defaults = {"access_key_id": "emulator-key", "access_key_secret": "emulator-secret", "timeout": 5.0}
    return Endpoint(conn_id="ob", origin=origin, **defaults | fields)


def statuses(cloud: CloudEmulator) -> list[int]:
    return [request.status for request in cloud.requests]


async def send(target: Endpoint, times: int = 1, at_once: int = 1) -> list[Any]:
    async with aclosing(AiohttpClient(target)) as shared:
        results: list[Any] = []
        for _ in range(times):
            requests = (shared.fetch(REQUEST) for _ in range(at_once))
            results += await asyncio.gather(*requests, return_exceptions=True)
        return results


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    # In debug mode asyncio and aiohttp warn about unclosed resources, and warnings are errors.
    return asyncio.run(coroutine, debug=True)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_one_round_trip_per_poll(algorithm: str) -> None:
    with CloudEmulator(algorithms=[algorithm]) as cloud:
        cloud.add_backup_set("ob-1", "bak-1")
        answers = run(send(endpoint(cloud.url, project_id="p-1"), 4))
    assert [answer.data["status"] for answer in answers] == ["BEGINNING", "DOING", "DONE", "DONE"]
    assert statuses(cloud) == [401, 200, 200, 200, 200]
    first = cloud.requests[0]
    assert first.headers["x-ob-project-id"] == "p-1"
    assert first.headers["user-agent"].startswith("airflow-provider-oceanbase/")
    assert len({request.query["requestId"] for request in cloud.requests}) == 4


def test_first_known_challenge_of_several_is_used() -> None:
    with CloudEmulator(algorithms=["SHA-256", "MD5"]) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
        (answer,) = run(send(endpoint(cloud.url)))
    assert answer.data["status"] == "DONE"
    assert {len(proof) for proof in cloud.seen_digest_responses} == {64}


@pytest.mark.parametrize("nonce_uses", [None, 1])
def test_polls_in_flight_are_never_refused(nonce_uses: int | None) -> None:
    with CloudEmulator(nonce_uses=nonce_uses) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
        answers = run(send(endpoint(cloud.url), 5, at_once=40))
    assert [answer.data["status"] for answer in answers] == ["DOING"] * 200
    challenges = statuses(cloud).count(401)
    assert challenges == 200 if nonce_uses else challenges <= LANES


def test_thousand_at_once_need_few_challenges(cloud: CloudEmulator) -> None:
    answers = run(send(endpoint(cloud.url, timeout=60.0), at_once=1000))
    assert {answer.data["status"] for answer in answers} == {"DOING"}
    assert statuses(cloud).count(401) <= LANES
    assert statuses(cloud).count(200) == 1000


def test_few_waits_use_few_lanes(cloud: CloudEmulator) -> None:
    run(send(endpoint(cloud.url), 10, at_once=2))
    assert statuses(cloud).count(401) <= 2


def test_loops_do_not_share(cloud: CloudEmulator) -> None:
    target = endpoint(cloud.url)
    for _ in range(2):
        (answer,) = run(send(target))
        assert answer.data["status"] == "DOING"


def test_cancelled_user_does_not_affect_others(cloud: CloudEmulator) -> None:
    target = endpoint(cloud.url)

    async def scenario() -> None:
        async with aclosing(AiohttpClient(target)) as shared:
            # Cancel it while the session opens, and while it sends.
            for rounds in (1, 50):
                doomed = asyncio.create_task(shared.fetch(REQUEST))
                for _ in range(rounds):
                    await asyncio.sleep(0)
                doomed.cancel()
                await asyncio.gather(doomed, return_exceptions=True)
            assert (await shared.fetch(REQUEST)).data is not None
            assert shared._lanes.free == LANES

    run(scenario())


def test_invalid_bundle_is_read_again(cloud: CloudEmulator, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("nonsense")

    async def scenario() -> None:
        async with aclosing(AiohttpClient(endpoint(cloud.url, verify=str(bundle)))) as shared:
            with pytest.raises(OceanBaseUnavailableError, match="SSLError"):
                await shared.fetch(REQUEST)
            make_certificate(bundle)
            assert (await shared.fetch(REQUEST)).data is not None

    run(scenario())


def test_https(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    context = make_certificate(certificate)
    with CloudEmulator(ssl_context=context) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
        folder = tmp_path / "folder"
        folder.mkdir()
        trusted, unverified, untrusted, empty = (
            run(send(endpoint(cloud.url, verify=verify)))[0]
            for verify in (str(certificate), False, True, str(folder))
        )
    assert trusted.data["status"] == unverified.data["status"] == "DONE"
    for error in (untrusted, empty):
        assert isinstance(error, OceanBaseUnavailableError)
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)


@pytest.mark.parametrize(
    ("failure", "error_class", "says"),
    [
        ({"drop": True}, OceanBaseUnavailableError, "No complete response"),
        ({"status": 200, "body": b"<html>"}, OceanBaseMalformedResponseError, "6 bytes of text/html"),
        (
            {"status": 200, "body": b"x" * 2000},
            OceanBaseMalformedResponseError,
            "Response larger than",
        ),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, OceanBaseRefusedError, "a redirect"),
    ],
)
def test_failures(
    failure: dict[str, Any],
    error_class: type[Exception],
    says: str,
    cloud: CloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "MAX_BODY_BYTES", 1500)
    cloud.fail(**failure, times=2)
    error, *_ = run(send(endpoint(cloud.url), 3))
    assert type(error) is error_class
    assert says in str(error)
    assert "backup task 'bak-1' of instance 'ob-1'" in str(error)


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_queue_for_a_dead_host_times_out() -> None:
    async def scenario(target: Endpoint) -> list[Any]:
        async with asyncio.timeout(10):
            return await send(target, at_once=10 * LANES)

    with silent_server() as origin:
        errors = run(scenario(endpoint(origin, timeout=0.5)))
    assert {type(error) for error in errors} == {OceanBaseUnavailableError}
    sent = [error for error in errors if "in time (timeout 0.5 s)" in str(error)]
    waited = [error for error in errors if f"waited 0.5 s for one of {LANES} requests" in str(error)]
    assert LANES <= len(sent) < len(errors) == len(sent) + len(waited)


@pytest.mark.parametrize("behaviour", [hang, stall(HEAD), stall(UNAUTHORIZED + SIZE)])
def test_connections_to_a_silent_host_close_at_once(behaviour: Behaviour, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"

    async def scenario(server: RawServer) -> None:
        silent = endpoint(server.origin, verify=str(certificate), timeout=1.0)
        async with aclosing(AiohttpClient(silent)) as shared:
            for _ in range(2):
                results = await asyncio.gather(
                    *(shared.fetch(REQUEST) for _ in range(3)), return_exceptions=True
                )
                assert [type(result) for result in results] == [OceanBaseUnavailableError] * 3
            # The event loop would wait for the host's end of TLS for 30 s.
            async with asyncio.timeout(5):
                while connections_to(server.port):
                    await asyncio.sleep(0.01)

    with serve(behaviour, context=make_certificate(certificate)) as server:
        run(scenario(server))
        assert len(server.requests) == 6


def connections_to(port: int) -> int:
    connections = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port for one in connections)


def test_long_body_of_a_challenge_is_not_read(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CHALLENGE_BODY_BYTES", 10)
    (answer,) = run(send(endpoint(cloud.url)))
    assert answer.data["status"] == "DOING"


def test_answer_to_a_challenge_needs_no_second_tunnel(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    emulator = CloudEmulator(ssl_context=make_certificate(certificate), nonce_uses=1)
    with emulator as cloud, serve(tunnel(cloud.port)) as proxy:
        run(send(endpoint(cloud.url, verify=str(certificate), proxy=proxy.origin), times=3))
    assert statuses(cloud) == [401, 404] * 3
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("host", ["http://api.example", "http://api.example:8080", "http://[::1]:80"])
def test_answer_to_a_challenge_takes_the_same_connection_of_a_proxy(host: str) -> None:
    connections = []

    def behave(exchange: Exchange) -> bool:
        connections.append(exchange.connection.getpeername())
        return challenged(refuse(CHALLENGE), "Authorization: Digest")(exchange)

    with serve(behave) as proxy:
        results = run(send(endpoint(host, proxy=proxy.origin), times=2))
    assert [result.data["status"] for result in results] == ["DONE"] * 2
    assert len(connections) == 3
    assert len(set(connections)) == 1


def test_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            lines.extend(connection.recv(65536).decode().splitlines())
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        proxy = f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}"
        (error,) = run(send(endpoint("http://api.example", proxy=proxy)))
        thread.join()
    assert lines[0].startswith("GET http://api.example/api/v2/instances/ob-1/")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in lines
    assert "Proxy wants a password" in str(error)
