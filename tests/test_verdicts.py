"""Every error of the package begins with its verdict: a log shows the beginning of a line."""

from __future__ import annotations

import ast
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.models.connection import Connection
from conftest import CONN_ID, SECRET, backup_set
from modes import MODES, wait
from requests.structures import CaseInsensitiveDict

import airflow_provider_oceanbase
from airflow_provider_oceanbase._texts import frames
from airflow_provider_oceanbase.cloud import arguments, failures, protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.backup_sets import BackupSetList, BackupSetPage, BackupSetPages, utc
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.cloud.start_backup import start_backup_request, start_unknown
from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    BackupStartUnknownError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    unexpected,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.starting.decision import TABLE, Step
from airflow_provider_oceanbase.starting.kept import KeptStart
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport.known_connection import KnownConnection
from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

LONG = "x" * 5000
#: What is seen of a line, and in how much of it the verdict stands.
SEEN, VERDICT = 85, 60
PROXY = f"http://user:{SECRET}@proxy.example:3128"
ENDPOINT = Endpoint("ob" * 100, "https://api.example", "the-key", SECRET, proxy=None)
PROXIED = Endpoint("ob", "https://api.example", "the-key", SECRET, proxy=PROXY)
READING = backup_set_request(LONG, LONG)
STARTING = start_backup_request("ob-1", backup_object_type="tenant")
CHALLENGE = 'Digest realm="r", nonce="n", qop="auth"'
ENVELOPE = {"success": False, "errorCode": LONG, "errorMessage": f"no\n{LONG}", "requestId": LONG}


def response(status: int, body: Any = ENVELOPE, request: Any = READING, **headers: str) -> Callable[[], Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return lambda: protocol.read_response(request, "mine", status, names, raw)


def unreachable(error: Exception, endpoint: Endpoint = ENDPOINT) -> Callable[[], Any]:
    return lambda: raised(failures.unreachable(READING, "mine", endpoint, error, handled=None))


def raised(error: Exception) -> Any:
    raise error


def connection(fields: dict[str, Any], extra: dict[str, Any] | None = None) -> Callable[[], Any]:
    known: dict[str, Any] = {"login": "the-key", "password": SECRET, **fields}
    stored = Connection(conn_id="ob", conn_type="oceanbase", extra=json.dumps(extra or {}), **known)
    return lambda: Endpoint.from_connection(stored, stored.extra_dejson)


def unread(error: Exception) -> Callable[[], Any]:
    known = KnownConnection("ob")
    with known.reading():
        raise error
    failure = known.failure()
    assert failure
    return lambda: raised(failure)


def failed(**fields: Any) -> Callable[[], Any]:
    condition = BackupSetCondition("ob-1", "bak-1", require_valid=True)
    return lambda: raised(condition.judge(backup_set(**fields), "r").failure or AssertionError())


def pages(**page: Any) -> Callable[[], Any]:
    def take() -> None:
        reader = BackupSetPages(BackupSetList("ob-1"))
        for _ in range(100):
            reader.take(BackupSetPage(**page), "r")

    return take


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


TOO_MANY = [{"backupSetId": "a", "tenantBackupSetList": [{}] * 600_000}]
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "401": (response(401, WWW_Authenticate=CHALLENGE), "AccessKey refused (HTTP 401)"),
    "401 stale": (response(401, WWW_Authenticate=f"{CHALLENGE}, stale=true"), "Fresh nonce called stale"),
    "401 Basic": (response(401, WWW_Authenticate="Basic"), "No digest authentication that is known"),
    "403": (response(403), "AccessKey may not do this (HTTP 403)"),
    "404": (response(404), "Not found (HTTP 404)"),
    "407": (response(407), "Proxy wants a password (HTTP 407)"),
    "408": (response(408), "Service failed (HTTP 408)"),
    "429": (response(429), "Too many requests (HTTP 429)"),
    "503": (response(503), "Service failed (HTTP 503)"),
    "302": (response(302), "Response is a redirect (HTTP 302)"),
    "400": (response(400), "Request refused (HTTP 400)"),
    "refused": (response(200), "Request refused (HTTP 200)"),
    "100": (response(100), "No response after an interim one"),
    "HTML": (response(200, b"<html>", Content_Type=LONG), "Response is not the documented JSON"),
    "no success": (response(200, {}), "Response without the field success"),
    "shape": (response(200, {"success": True, "data": []}), "Response is not as documented"),
    "mixed up": (
        response(200, {"success": True, "requestId": "1234-6f62737570c1"}),
        "Response to another request",
    ),
    "unasked": (
        lambda: protocol.read_response(STARTING, "r", 200, {}, b'{"success": true}', sent=False),
        "Served without credentials",
    ),
    "large": (
        lambda: raised(failures.too_large(READING, "r", 2**24, status=200)),
        "Response larger than 16 MiB",
    ),
    "in line": (lambda: raised(failures.not_sent(READING, ENDPOINT, 32)), "Nothing sent: waited 30 s"),
    "timeout": (unreachable(TimeoutError()), "No complete response in time (timeout 30 s)"),
    "reset": (unreachable(ConnectionResetError(104, "reset")), "No complete response (ConnectionResetError"),
    "foreign": (unreachable(RuntimeError(f"{SECRET} {PROXY}")), "No complete response (RuntimeError)"),
    "refused port": (unreachable(ConnectionRefusedError(111, "no")), "Host refuses connections"),
    "refused proxy port": (
        unreachable(ConnectionRefusedError(111, "no"), PROXIED),
        "Proxy refuses connections",
    ),
    "no name": (unreachable(socket.gaierror(-2, "unknown")), "Host name not found"),
    "no TLS": (unreachable(tls("WRONG_VERSION_NUMBER")), "No TLS at this port"),
    "certificate": (unreachable(tls("CERTIFICATE_VERIFY_FAILED")), "Certificate not trusted"),
    "tunnel 403": (
        unreachable(OSError("Tunnel connection failed: 403 no"), PROXIED),
        "Proxy refuses to connect",
    ),
    "tunnel 502": (unreachable(OSError("Tunnel connection failed: 502 no"), PROXIED), "Proxy cannot reach"),
    "no login": (connection({"login": ""}), "Unusable field: login (AccessKey ID) is missing"),
    "no password": (connection({"password": ""}), "Unusable field: password (AccessKey secret) is missing"),
    "bad secret": (
        connection({"password": f"{SECRET}\n"}),
        "Unusable field: password (AccessKey secret) has",
    ),
    "bad host": (connection({"host": f"a b {SECRET}"}), "Unusable field: host is not"),
    "bad schema": (connection({"schema": LONG}), "Unusable field: schema is"),
    "bad timeout": (connection({}, {"timeout": LONG}), "Unusable field: extra.timeout is"),
    "bad verify": (connection({}, {"verify": LONG}), "Unusable field: extra.verify is"),
    "bad proxy": (connection({}, {"proxy": f"{SECRET}@proxy"}), "Unusable field: extra.proxy is not a URL"),
    "missing connection": (
        unread(AirflowNotFoundException(SECRET)),
        "Connection missing, or not readable now",
    ),
    "unreadable connection": (unread(RuntimeError(SECRET)), "Connection not readable (RuntimeError)"),
    "blank ID": (lambda: backup_set_request("", "b"), "Unusable argument: instance_id is ''"),
    "long ID": (lambda: backup_set_request(f"{LONG} ", "b"), "Unusable argument: instance_id is"),
    "not Unicode": (lambda: backup_set_request("\ud800", "b"), "Unusable argument: instance_id is"),
    "deep": (
        lambda: arguments.plain("database_tables", [{LONG: ["None"]}]),
        "Unusable argument: database_tables[0]",
    ),
    "no names": (lambda: arguments.checked_names("tenants", 7), "Unusable argument: tenants is 7"),
    "page size": (lambda: BackupSetList("ob-1", page_size=0), "Unusable argument: page_size is 0"),
    "no time": (lambda: utc("start_time", LONG), "Unusable argument: start_time is"),  # type: ignore[arg-type]
    "no checkpoint": (
        lambda: CheckpointCondition("o", "x").query,
        "Unusable argument: min_checkpoint is 'x'",
    ),
    "no type": (
        lambda: start_backup_request("o", backup_object_type=LONG),
        "Unusable argument: backup_object_type is",
    ),
    "no databases": (
        lambda: start_backup_request("o", backup_object_type="database", database_tables=[]),
        "Unusable argument: database_tables is []",
    ),
    "long list": (pages(backup_sets=TOO_MANY, total=None, has_more=True), "List has more than 500,000"),
    "endless list": (pages(backup_sets=[], total=None, has_more=True), "List does not end"),
    "bug": (
        lambda: raised(unexpected("Wait", RuntimeError(SECRET), hint="See the log.", conn_id="ob")),
        "Wait stopped unexpectedly in the triggerer (RuntimeError)",
    ),
    "failed": (failed(status="FAILED"), "Backup ended with status FAILED"),
    "invalid": (failed(validity="x" * 200), "Backup is not VALID: DONE, validity"),
    "unknown start": (
        lambda: raised(start_unknown(OceanBaseCloudError("Service failed", conn_id="ob"), "ob-1")),
        "A backup may be running: instance 'ob-1', connection 'ob'",
    ),
    **{
        f"kept start {number}": (
            lambda row=row: raised(
                BackupStartUnknownError(row.reason.format(kept=KeptStart()), instance_id="ob-1")
            ),
            "A backup may be running: instance 'ob-1'",
        )
        for number, row in enumerate(TABLE)
        if row.step is Step.UNKNOWN
    },
}


@pytest.mark.parametrize("name", CASES)
def test_error(name: str) -> None:
    fail, verdict = CASES[name]
    with pytest.raises((OceanBaseCloudError, BackupSetFailedError, BackupStartUnknownError)) as caught:
        fail()
    text, error = str(caught.value), caught.value
    assert text.startswith(verdict)
    assert len(verdict) <= VERDICT
    assert not re.match(r"Request for|Asked|Backup task|Instance|Connection '|[a-z]", text)
    assert re.search(r"[.?]$", text)
    assert "None" not in text.replace("'None'", "")
    assert SECRET not in text
    assert text.isprintable()
    assert len(text) < 3000
    assert 10 < len(error.advice) <= SEEN
    assert error.advice in text
    assert error.advice.endswith(".")
    assert "Nothing was sent" not in error.advice


def test_advice_is_cut() -> None:
    assert OceanBaseCloudError("It broke", hint="y" * 100).advice == "y" * (SEEN - 1) + "…"


def test_every_phrase_of_the_code_is_one() -> None:
    """What the table above may have missed: ``what`` and the second argument of ``error()``."""
    package = Path(airflow_provider_oceanbase.__file__).parent
    phrases = []
    for path in [
        *(package / "cloud").glob("*.py"),
        *(package / "transport").glob("*.py"),
        package / "hooks.py",
    ]:
        if path.name == "endpoint.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assign(targets=[ast.Name("what")], value=value):
                    phrases.append(_beginning(value))
                case ast.Call(
                    func=ast.Attribute(attr="error", value=ast.Name("request")), args=[_, value, *_]
                ):
                    phrases.append(_beginning(value))
    found = [phrase for phrase in phrases if phrase]
    assert len(found) > 20
    assert [phrase for phrase in found if not phrase[0].isupper()] == []
    # Up to the first stop, or to what is put in.
    assert [phrase for phrase in found if len(re.split(r"[:;(]", phrase)[0]) > VERDICT] == []


def _beginning(value: ast.expr) -> str:
    while isinstance(value, ast.JoinedStr | ast.BinOp):
        value = value.left if isinstance(value, ast.BinOp) else value.values[0]
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


@pytest.mark.parametrize("mode", MODES)
def test_a_rotated_key_names_until_when_it_was_accepted(mode: str, cloud: CloudEmulator) -> None:
    """As far as the process knows: in reschedule mode each poll may be in another one."""
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    rotating = threading.Thread(target=rotate, args=(cloud,))
    rotating.start()
    began = datetime.now(UTC)
    with pytest.raises(OceanBaseAuthenticationError) as caught:
        wait(mode, poke_interval=0.1, timeout=60)
    rotating.join()
    text = str(caught.value)
    until = re.match(r"AccessKey refused \(HTTP 401(?:, accepted until (.*?) UTC)?\): backup task", text)
    assert until
    assert (until[1] is None) == (mode == "reschedule")
    if until[1]:
        assert until[1] in {f"{moment:%H:%M}" for moment in (began, datetime.now(UTC))}
    assert f"connection 'oceanbase_default', host {cloud.url}" in text


def rotate(cloud: CloudEmulator) -> None:
    """Rotate the key once each side has polled: the worker, and in deferrable mode the triggerer."""
    deadline = time.monotonic() + 30
    while cloud.polls("ob-1", "bak-1") < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    cloud.rotate_key("another-key", "another-secret")


def test_a_changed_key_has_no_past(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = OceanBaseHook()
    request = backup_set_request("ob-1", "bak-1")
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    hook.poll(request, first=False, is_final=lambda _: True)
    cloud.rotate_key("another-key", "another-secret")
    wrong = cloud.connection_uri.replace("another-secret", "the-wrong-secret")
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", wrong)
    with pytest.raises(OceanBaseAuthenticationError) as caught:
        hook.poll(request, first=False, is_final=lambda _: True)
    assert caught.value.accepted_until is None


def test_few_frames_of_a_bug() -> None:
    def dig(levels: int) -> None:
        if levels == 0:
            raise KeyError(SECRET)
        deeper(levels)

    # Two by turns: equal lines would be counted, not shown.
    def deeper(levels: int) -> None:
        dig(levels - 1)

    with pytest.raises(KeyError) as caught:
        dig(50)
    assert frames(caught.value).count("File ") == 6
    assert SECRET not in frames(caught.value)


@pytest.mark.parametrize("status", [400, 403, 405, 418])
@pytest.mark.parametrize("body", [b"<html>denied</html>", {"message": "denied"}])
def test_a_refusal_that_is_not_the_apis_points_at_what_is_in_between(status: int, body: Any) -> None:
    with pytest.raises(OceanBaseCloudError) as caught:
        response(status, body)()
    advice = caught.value.advice
    assert "Proxy URL" in advice
    assert "Host" in advice
    assert "errorCode and errorMessage say why" not in str(caught.value)
    assert "a proxy or another server may have answered" in str(caught.value)
    assert len(advice) <= 85
    assert not advice.endswith("…")
    # The API's own refusal says why itself.
    with pytest.raises(type(caught.value)) as caught:
        response(status)()
    assert caught.value.hint == caught.value.default_hint


def test_long_ids_do_not_fill_a_message() -> None:
    names = {"instance_id": "ob-" * 5000, "backup_task_id": "bak-" * 5000}
    error = BackupSetFailedError("ended with status FAILED", status="FAILED", **names)
    condition = BackupSetCondition(**names)
    for text in (str(error), condition.details, condition._missing().notices[0].text):
        assert len(text) < 1000
