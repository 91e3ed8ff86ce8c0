from __future__ import annotations

import pickle
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock
from conftest import SECRET, URL, answer, run, set_connection
from dag_runs import DagRunner
from faults.server import drip, serve

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import repeating

CHALLENGE = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}


@pytest.fixture
def server() -> Any:
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between attempts instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    return slept


def test_constructor_does_nothing() -> None:
    OceanBaseHook("no_such_connection")


def test_get_backup_set(server: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, extra={"project_id": "p-1"})
    server.get(URL, json=answer())
    assert OceanBaseHook().get_backup_set("ob-1", "bak-1") == answer()["data"]
    sent = server.last_request
    assert sent.qs["checkbackupsetdownloadenable"] == ["false"]
    assert uuid.UUID(sent.qs["requestid"][0])
    assert sent.headers["X-Ob-Project-Id"] == "p-1"
    assert sent.headers["User-Agent"].startswith("airflow-provider-oceanbase/")
    assert sent.timeout == 30
    assert sent.verify is True


def test_find_backup_set(server: requests_mock.Mocker) -> None:
    server.get(URL, [{"json": answer()}, {"json": {"success": True, "data": None}}])
    hook = OceanBaseHook()
    assert hook.find_backup_set("ob-1", "bak-1", check_backup_set_download_enable=True) == answer()["data"]
    assert server.last_request.qs["checkbackupsetdownloadenable"] == ["true"]
    assert hook.find_backup_set("ob-1", "bak-1") is None


def test_get_without_a_backup_set_is_an_error(server: requests_mock.Mocker) -> None:
    server.get(URL, json={"success": True, "data": None, "requestId": "r-9"})
    with pytest.raises(OceanBaseNotFoundError, match="not registered") as caught:
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert caught.value.request_id == "r-9"


def test_settings_reach_every_request(server: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither overrides the connection.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)
    monkeypatch.setenv("HTTPS_PROXY", "http://of-the-environment:1")
    set_connection(
        monkeypatch,
        host="https://api.example:8443",
        extra={"timeout": 5, "verify": "false", "proxy": "http://proxy:3128"},
    )
    server.get("https://api.example:8443/api/v2/instances/ob-1/backup/data/sets/bak-1", json=answer())
    OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert server.last_request.timeout == 5
    assert server.last_request.verify is False
    assert server.last_request.proxies == {"http": "http://proxy:3128", "https": "http://proxy:3128"}


def test_transient_failures_are_retried(server: requests_mock.Mocker, pauses: list[float]) -> None:
    server.get(
        URL,
        [
            {"exc": requests.ConnectTimeout},
            {"status_code": 503},
            {"json": answer(status=None)},
            {"status_code": 429, "headers": {"Retry-After": "9"}},
            {"json": answer()},
        ],
    )
    assert OceanBaseHook().get_backup_set("ob-1", "bak-1")["status"] == "DONE"
    assert len({request.qs["requestid"][0] for request in server.request_history}) == 5
    assert [1 <= pauses[0] <= 2, 2 <= pauses[1] <= 3, 4 <= pauses[2] <= 5] == [True] * 3
    assert 9 <= pauses[3] <= 10


def test_last_failure_is_raised(
    server: requests_mock.Mocker, pauses: list[float], logged: Callable[[], str]
) -> None:
    server.get(URL, status_code=503)
    with pytest.raises(OceanBaseUnavailableError) as caught:
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert len(server.request_history) == repeating.RETRY_ATTEMPTS
    assert caught.value.request_id == server.last_request.qs["requestid"][0]
    assert sum(pauses) < repeating.RETRY_SECONDS
    assert "Service failed (HTTP 503), attempt 4 of 5, the next in " in logged()


def test_long_retry_after_is_left_to_the_caller(server: requests_mock.Mocker, pauses: list[float]) -> None:
    server.get(URL, status_code=429, headers={"Retry-After": "31"})
    with pytest.raises(OceanBaseThrottledError) as caught:
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert caught.value.retry_after == 31
    assert len(server.request_history) == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("response", "error_class"),
    [
        ({"status_code": 401}, OceanBaseAuthenticationError),
        ({"status_code": 403}, OceanBaseAuthenticationError),
        ({"status_code": 404}, OceanBaseNotFoundError),
        ({"status_code": 400}, OceanBaseRefusedError),
        ({"json": {"success": False}}, OceanBaseRefusedError),
        ({"status_code": 302, "headers": {"Location": "https://elsewhere.example/"}}, OceanBaseRefusedError),
    ],
)
def test_final_failures_are_not_retried(
    response: dict[str, Any], error_class: type[Exception], server: requests_mock.Mocker
) -> None:
    server.get(URL, **response)
    with pytest.raises(error_class):
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert len(server.request_history) == 1


def test_digest_challenge_is_answered_once(server: requests_mock.Mocker) -> None:
    server.get(URL, [{"status_code": 401, "headers": CHALLENGE}, {"json": answer()}])
    hook = OceanBaseHook()
    hook.get_backup_set("ob-1", "bak-1")
    hook.get_backup_set("ob-1", "bak-1")
    authorizations = [request.headers.get("Authorization") for request in server.request_history]
    assert authorizations[0] is None
    assert "nc=00000001" in authorizations[1]
    assert "nc=00000002" in authorizations[2]
    assert len(authorizations) == 3


def test_only_digest_is_answered(server: requests_mock.Mocker) -> None:
    server.get(URL, status_code=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
    with pytest.raises(OceanBaseAuthenticationError, match="offered: Basic"):
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert "Authorization" not in server.last_request.headers


def test_body_is_bounded(server: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_BODY_BYTES", 100)
    server.get(URL, json=answer())
    with pytest.raises(OceanBaseMalformedResponseError, match="larger than"):
        OceanBaseHook().fetch(backup_set_request("ob-1", "bak-1"), retry=False)


def test_slow_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_TIMEOUTS", 0.1)
    with serve(drip) as server:
        set_connection(monkeypatch, host=server.origin, extra={"timeout": 5})
        with pytest.raises(OceanBaseUnavailableError, match="in time"):
            OceanBaseHook().fetch(backup_set_request("ob-1", "bak-1"), retry=False)


def test_body_of_a_challenge_is_bounded(server: requests_mock.Mocker) -> None:
    huge = {
        "status_code": 401,
        "headers": CHALLENGE,
        "content": b"x" * 10 * protocol.MAX_CHALLENGE_BODY_BYTES,
    }
    server.get(URL, [huge, {"json": answer()}])
    assert OceanBaseHook().get_backup_set("ob-1", "bak-1")["status"] == "DONE"


def test_invalid_input_sends_nothing(server: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OceanBaseInputError, match="instance_id is ''"):
        OceanBaseHook().get_backup_set("", "bak-1")
    set_connection(monkeypatch, password="")
    with pytest.raises(OceanBaseInputError, match=r"password \(AccessKey secret\) is missing"):
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert server.request_history == []


def test_close_forgets_the_connection(server: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    server.get(URL, json=answer())
    hook = OceanBaseHook()
    hook.get_backup_set("ob-1", "bak-1")
    set_connection(monkeypatch, extra={"project_id": "other"})
    hook.get_backup_set("ob-1", "bak-1")
    assert "X-Ob-Project-Id" not in server.last_request.headers
    hook.close()
    hook.get_backup_set("ob-1", "bak-1")
    assert server.last_request.headers["X-Ob-Project-Id"] == "other"


def test_pickled_hook_contains_no_secret() -> None:
    hook = OceanBaseHook()
    hook.get_conn()
    pickled = pickle.dumps(hook)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).endpoint == hook.endpoint
    session = hook.get_conn()
    assert SECRET not in f"{hook!r} {hook} {hook.endpoint!r} {session!r} {session.auth!r}"
    # The session has the key, so it cannot be pickled.
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(session)


@pytest.mark.parametrize(("host", "warns"), [("http://api.example", True), ("http://127.0.0.1:1", False)])
def test_http_warns(
    host: str, warns: bool, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    set_connection(monkeypatch, host=host)
    hook = OceanBaseHook()
    hook.get_conn()
    hook.get_conn()
    assert ("Unencrypted" in logged()) is warns


def test_test_connection_that_is_missing() -> None:
    works, message = OceanBaseHook("no_such_connection").test_connection()
    assert not works
    assert message.startswith("Connection missing, or not readable now: connection 'no_such_connection'. ")


def test_connection_in_the_database_is_found_by_a_script(dag_runner: DagRunner) -> None:
    """Outside a task Airflow 3 itself does not look there."""
    dag_runner.migrate()
    environ = {"AIRFLOW_HOME": str(dag_runner.home), "NO_PROXY": "127.0.0.1"}
    with CloudEmulator() as cloud:
        add = ("connections", "add", "in_the_database", "--conn-uri", cloud.connection_uri)
        run(sys.executable, "-m", "airflow", *add, **environ)
        code = (
            "from airflow_provider_oceanbase.hooks import OceanBaseHook;"
            "print(OceanBaseHook('in_the_database').test_connection());"
            "print(OceanBaseHook('nowhere').test_connection())"
        )
        printed = run(sys.executable, "-c", code, **environ)
    assert "(True, 'AccessKey accepted, but it sees no instance in the project that" in printed
    assert "(False, \"Connection missing, or not readable now: connection 'nowhere'" in printed
    assert "Traceback" not in printed


def test_subclass_changes_the_session(server: requests_mock.Mocker) -> None:
    class TracedHook(OceanBaseHook):
        def get_conn(self) -> requests.Session:
            session = super().get_conn()
            session.headers["X-Trace"] = "t-1"
            return session

    server.get(URL, json=answer())
    TracedHook().get_backup_set("ob-1", "bak-1")
    assert server.last_request.headers["X-Trace"] == "t-1"
