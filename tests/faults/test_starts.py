"""Starts of backups that fail: the error, and the number of requests."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from certificates import make_certificate
from conftest import set_connection
from faults.cells import authorized
from faults.server import Behaviour, RawServer, answer, backup_set, bomb, drip, hang, reset, serve, stall

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.exceptions import (
    BackupStartUnknownError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.transport.repeating import RETRY_ATTEMPTS
from airflow_provider_oceanbase.transport.requests_client import RequestsClient

pytestmark = pytest.mark.usefixtures("no_pauses")

ENVELOPE = {"success": False, "errorCode": "E001R000", "errorMessage": "Unknown Error", "requestId": "theirs"}
STARTED = answer({"success": True, "data": {"backupTaskId": "bak-new"}, "requestId": "r"})
DIGEST = 'Digest realm="r", nonce="n", qop="auth"'
CHALLENGE = answer(b"", 401, WWW_Authenticate=DIGEST)


@pytest.fixture
def hook() -> Iterator[OceanBaseHook]:
    hook = OceanBaseHook()
    yield hook
    hook.close()


def start(hook: OceanBaseHook) -> str:
    return hook.start_backup("ob-1", backup_object_type="tenant", tenant_id="t1")


def posts(server: RawServer) -> int:
    return len([head for _, head in server.requests if head.startswith("POST ")])


def asked(server: RawServer) -> int:
    """Return how many requests asked for a backup; one without a body did not."""
    heads = [head for _, head in server.requests if head.startswith("POST ")]
    return len([head for head in heads if "Content-Length: 0" not in head])


def connect(monkeypatch: pytest.MonkeyPatch, server: RawServer, **extra: Any) -> None:
    set_connection(monkeypatch, host=server.origin, extra={"timeout": 0.5, **extra})


UNKNOWN: dict[str, tuple[Behaviour, str]] = {
    "no answer": (hang, "No complete response"),
    "closed": (lambda exchange: False, "RemoteDisconnected"),
    "reset": (reset(), "ConnectionResetError"),
    "reset in the head": (reset(b"HTTP/1.1 200 OK\r\nContent-"), "No complete response"),
    "short body": (answer({"success": True}, length=1000), "IncompleteRead"),
    "dripping body": (drip, "No complete response"),
    "no HTTP": (reset(b"220 smtp.example ESMTP\r\n\r\n"), "No complete response"),
    "408": (answer(ENVELOPE, 408), "HTTP 408"),
    "500": (
        answer(ENVELOPE, 500),
        "Service failed (HTTP 500, errorCode E001R000, errorMessage Unknown Error, requestId theirs)",
    ),
    "502 with HTML": (answer(b"<html>", 502), "HTTP 502"),
    "503": (answer(b"", 503, Retry_After="1"), "HTTP 503"),
    "504": (answer(b"", 504), "HTTP 504"),
    "202": (answer({"success": True, "data": None}, 202), "HTTP 202"),
    "204": (answer(b"", 204), "HTTP 204"),
    "HTML": (answer(b"<html>"), "not the documented JSON"),
    "truncated JSON": (answer(b'{"success": true, "data": {'), "not the documented JSON"),
    "success missing": (answer({"data": {"backupTaskId": "bak-new"}}), "without the field success"),
    "no data": (answer({"success": True, "data": None}), "data have no backupTaskId"),
    "an ID that is no text": (answer({"success": True, "data": {"backupTaskId": 7}}), "is the number 7"),
    "a blank ID": (answer({"success": True, "data": {"backupTaskId": " "}}), "a blank backupTaskId"),
    "NUL": (answer({"success": True, "data": {"backupTaskId": "bak\0"}}), "no backupTaskId"),
    "huge": (bomb(2000), "larger than"),
    "101": (reset(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "No complete response"),
    "302": (answer(b"", 302, Location="/api"), "Response is a redirect (HTTP 302"),
    "303": (answer(b"", 303, Location="/api"), "Response is a redirect (HTTP 303"),
}
#: By these, the server says success.
SUCCESSES = (
    *("short body", "dripping body", "202", "204", "HTML", "truncated JSON", "success missing", "no data"),
    *("an ID that is no text", "a blank ID", "NUL", "huge"),
)


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_outcome_is_not_retried(
    name: str, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, says = UNKNOWN[name]
    monkeypatch.setattr(protocol, "BODY_TIMEOUTS", 1)
    monkeypatch.setattr(protocol, "MAX_BODY_BYTES", 1000)
    with serve(authorized(behaviour, STARTED)) as server:
        connect(monkeypatch, server)
        with pytest.raises(BackupStartUnknownError) as caught:
            start(hook)
    assert asked(server) == 1
    assert posts(server) == len(server.requests) == 2
    text = str(caught.value)
    assert says in text
    assert text.startswith("A backup may be running: instance 'ob-1', connection 'oceanbase_default'; ")
    assert "requestId" in text
    assert "clear the task to start one" in text


@pytest.mark.parametrize("name", UNKNOWN)
def test_request_without_credentials_has_started_nothing(
    name: str, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, _ = UNKNOWN[name]
    monkeypatch.setattr(protocol, "BODY_TIMEOUTS", 1)
    monkeypatch.setattr(protocol, "MAX_BODY_BYTES", 1000)
    with serve(behaviour, CHALLENGE, STARTED) as server:
        connect(monkeypatch, server)
        if name in ("302", "303"):
            with pytest.raises(OceanBaseRefusedError, match="Redirects are not followed"):
                start(hook)
        elif name in SUCCESSES:
            # Nobody knows what such a server has done.
            with pytest.raises(BackupStartUnknownError):
                start(hook)
        else:
            assert start(hook) == "bak-new"
    is_repeated = name not in (*SUCCESSES, "302", "303")
    assert (posts(server), asked(server)) == ((3, 1) if is_repeated else (1, 0))


def test_server_that_starts_without_being_asked(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(STARTED) as server:
        connect(monkeypatch, server)
        with pytest.raises(BackupStartUnknownError, match="Served without credentials"):
            start(hook)
    assert posts(server) == 1


@pytest.mark.parametrize("last", [reset(), hang, answer(b"", 503)], ids=["reset", "no answer", "503"])
def test_server_without_authentication_is_asked_once(
    last: Behaviour, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answer(ENVELOPE, 400), last, STARTED) as server:
        connect(monkeypatch, server)
        with pytest.raises(BackupStartUnknownError):
            start(hook)
    assert (posts(server), asked(server)) == (2, 1)


def test_server_that_wants_the_body_first(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answer(ENVELOPE, 400), CHALLENGE, STARTED) as server:
        connect(monkeypatch, server)
        assert start(hook) == "bak-new"
    assert (posts(server), asked(server)) == (3, 2)


@pytest.mark.parametrize("before", [(CHALLENGE,), (CHALLENGE, STARTED)], ids=["first start", "later start"])
@pytest.mark.parametrize("end", [stall, reset], ids=["stalls", "is cut off"])
@pytest.mark.parametrize("status", [401, 403, 429])
def test_refusal_that_does_not_arrive_whole(
    status: int, end: Any, before: Any, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status is enough: nothing was started."""
    head = f"HTTP/1.1 {status} No\r\nWWW-Authenticate: {DIGEST}\r\nContent-Length: 99\r\n\r\n{{"
    # After a 403, the next request starts without the old challenge.
    again = (CHALLENGE,) if status == 403 else ()
    with serve(*before, end(head.encode()), *again, STARTED) as server:
        connect(monkeypatch, server)
        for _ in before:
            assert start(hook) == "bak-new"
    assert posts(server) == len(before) + len(again) + 2


REFUSED: dict[str, tuple[Behaviour, type[OceanBaseCloudError]]] = {
    "307": (answer(b"", 307, Location="http://elsewhere.example/"), OceanBaseRefusedError),
    "400": (answer(ENVELOPE, 400), OceanBaseRefusedError),
    "401 with Basic": (
        answer(b"", 401, WWW_Authenticate='Basic realm="x"'),
        OceanBaseAuthenticationError,
    ),
    "403": (answer(ENVELOPE, 403), OceanBaseAuthenticationError),
    "404": (answer(ENVELOPE, 404), OceanBaseNotFoundError),
    "405": (answer(b"", 405), OceanBaseRefusedError),
    "407": (answer(b"", 407), OceanBaseRefusedError),
    "409": (answer(ENVELOPE, 409), OceanBaseRefusedError),
    "success: false": (answer(ENVELOPE), OceanBaseRefusedError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_is_a_known_outcome(name: str, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, error = REFUSED[name]
    for script in (authorized(behaviour, STARTED), behaviour):
        with serve(script) as server:
            hook.close()
            connect(monkeypatch, server)
            with pytest.raises(error, match="the start of a tenant backup of instance 'ob-1'"):
                start(hook)
    # Without a challenge, a server that wants the body gets it.
    assert posts(server) == (2 if name == "400" else 1)


def test_throttled_start_is_retried(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = answer(ENVELOPE, 429, Retry_After="1")
    with serve(authorized(throttled, throttled, STARTED)) as server:
        connect(monkeypatch, server)
        assert start(hook) == "bak-new"
    assert asked(server) == 3
    with serve(authorized(throttled)) as server:
        connect(monkeypatch, server)
        hook.close()
        with pytest.raises(OceanBaseThrottledError):
            start(hook)
    assert asked(server) == RETRY_ATTEMPTS


def test_outcome_after_a_retry_may_be_unknown(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(authorized(answer(b"", 429), answer(b"", 502), STARTED)) as server:
        connect(monkeypatch, server)
        with pytest.raises(BackupStartUnknownError):
            start(hook)
    assert asked(server) == 2


def test_request_after_a_challenge_has_the_body(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(CHALLENGE, STARTED, STARTED) as server:
        connect(monkeypatch, server)
        assert [start(hook), start(hook)] == ["bak-new", "bak-new"]
    assert posts(server) == 3
    length = len(json.dumps({"backupObjectType": "tenant", "backupPolicy": "manual", "tenantId": "t1"}))
    for _, head in server.requests:
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        # Without JSON, requests would send another type, or chunks.
        assert fields["Content-Type"] == "application/json"
        # What is asked for goes out with credentials only.
        assert int(fields["Content-Length"]) > length * ("Authorization" in fields) - 1
        assert ("Authorization" in fields) == (fields["Content-Length"] != "0")
        assert "Transfer-Encoding" not in fields


def test_stale_nonce_is_replaced(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = answer(b"", 401, WWW_Authenticate='Digest realm="r", nonce="m", qop="auth", stale=true')
    with serve(CHALLENGE, STARTED, stale, STARTED) as server:
        connect(monkeypatch, server)
        assert [start(hook), start(hook)] == ["bak-new", "bak-new"]
    assert posts(server) == 4


def test_wrong_key_is_a_known_outcome(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(CHALLENGE) as server:
        connect(monkeypatch, server)
        with pytest.raises(OceanBaseAuthenticationError):
            start(hook)
    assert posts(server) == 2


def test_reset_after_the_challenge_is_unknown(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(CHALLENGE, reset(), STARTED) as server:
        connect(monkeypatch, server)
        with pytest.raises(BackupStartUnknownError):
            start(hook)
    assert posts(server) == 2


def test_refused_connection_after_the_challenge_is_known(
    hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client must open another connection.
    closing = answer(b"", 401, WWW_Authenticate=DIGEST, Connection="close")

    def challenge_and_close(exchange: Any) -> bool:
        exchange.server.listener.shutdown(socket.SHUT_RDWR)
        exchange.server.listener.close()
        return closing(exchange) and False

    server = RawServer([challenge_and_close])
    connect(monkeypatch, server)
    accepting = threading.Thread(target=server.accept)
    accepting.start()
    with pytest.raises(OceanBaseUnavailableError, match="Host refuses connections"):
        start(hook)
    accepting.join()
    assert posts(server) == 1


def test_reset_of_a_kept_connection_is_unknown(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(authorized(backup_set(), reset(), STARTED)) as server:
        connect(monkeypatch, server)
        hook.get_backup_set("ob-1", "bak-1")
        with pytest.raises(BackupStartUnknownError):
            start(hook)
    assert posts(server) == asked(server) == 1


def test_kept_connection_that_was_closed_is_replaced(
    hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    def answer_and_close(exchange: Any) -> bool:
        backup_set()(exchange)
        exchange.connection.shutdown(socket.SHUT_RDWR)
        closed.set()
        return False

    with serve(authorized(answer_and_close, STARTED)) as server:
        connect(monkeypatch, server)
        hook.get_backup_set("ob-1", "bak-1")
        assert closed.wait(20)
        assert start(hook) == "bak-new"
    assert posts(server) == 1


def assert_never_sent(hook: OceanBaseHook, says: str = "No complete response") -> None:
    attempts: list[Any] = []
    send = RequestsClient._send

    def count(client: RequestsClient, request: Any) -> Any:
        attempts.append(request)
        return send(client, request)

    with (
        patch.object(RequestsClient, "_send", count),
        pytest.raises(OceanBaseUnavailableError, match=says) as caught,
    ):
        start(hook)
    assert not caught.value.may_have_acted
    assert len(attempts) == RETRY_ATTEMPTS


def test_refused_connection(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    set_connection(monkeypatch, host=f"http://127.0.0.1:{port}")
    assert_never_sent(hook, "^Host refuses connections")


def test_unknown_host(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, host="http://no-such-host.invalid")
    assert_never_sent(hook, "^Host name not found")


def test_connection_that_takes_too_long(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # Nothing accepts: the first connection fills the backlog, and Linux lets the others wait.
        waiting = [socket.create_connection(address)]
        set_connection(monkeypatch, host=f"http://127.0.0.1:{address[1]}", extra={"timeout": 0.1})
        assert_never_sent(hook, "^No complete response in time")
        waiting[0].close()


@pytest.mark.parametrize("certificate", [None, {"expired": True}, {"host": "127.0.0.9"}])
def test_certificate(
    certificate: dict[str, Any] | None, hook: OceanBaseHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "certificate.pem"
    with serve(STARTED, context=make_certificate(path, **certificate or {})) as server:
        connect(monkeypatch, server, verify=str(path) if certificate else "true")
        assert_never_sent(hook, "^Certificate not trusted")
    assert server.requests == []


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [(answer(b"", 502), "Proxy cannot reach"), (reset(), "No complete response"), (hang, "in time")],
)
def test_tunnel(
    behaviour: Behaviour, says: str, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(behaviour) as proxy:
        set_connection(monkeypatch, host="https://api.example", extra={"proxy": proxy.origin, "timeout": 0.3})
        assert_never_sent(hook, says)
    assert len(proxy.requests) == RETRY_ATTEMPTS
    assert posts(proxy) == 0


@pytest.mark.parametrize("status", [403, 407])
def test_refused_tunnel(status: int, hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answer(b"", status)) as proxy:
        set_connection(monkeypatch, host="https://api.example", extra={"proxy": proxy.origin})
        with pytest.raises(OceanBaseRefusedError, match=r"^Proxy "):
            start(hook)
    assert len(proxy.requests) == 1


def test_handshake_that_is_reset(hook: OceanBaseHook, monkeypatch: pytest.MonkeyPatch) -> None:
    # A server without TLS reads the ClientHello as the head of a request, and resets the connection.
    with serve(reset()) as server:
        set_connection(monkeypatch, host=server.origin.replace("http:", "https:"), extra={"timeout": 0.3})
        assert_never_sent(hook, "^No complete response")
    assert posts(server) == 0
