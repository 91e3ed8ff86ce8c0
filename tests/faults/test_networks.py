"""Hosts that cannot be reached or trusted, and servers with odd challenges."""

from __future__ import annotations

import asyncio
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from conftest import set_connection
from faults.server import DOING, DONE, RawServer, answer, interim, reset, serve
from modes import MODES, fire, trigger, wait

from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator, Profile

pytestmark = pytest.mark.usefixtures("no_pauses")


def assert_unreachable(says: str, logged: Callable[[], str]) -> None:
    """The operator and the first poll of each mode fail; a trigger logs the reason and keeps waiting."""
    with pytest.raises(OceanBaseUnavailableError) as caught:
        OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert says in str(caught.value)
    assert re.search(r"\. Check .*connection", str(caught.value))
    for mode in MODES:
        with pytest.raises(OceanBaseUnavailableError, match="connection 'oceanbase_default', host "):
            wait(mode)
    logged()
    event = asyncio.run(fire(trigger(timeout=0.2)))
    assert "no answer for" in event["timeout"]
    assert says in logged()


@pytest.mark.parametrize(
    ("certificate", "trusted", "says"),
    [
        ({"expired": True}, True, "certificate has expired"),
        ({"host": "127.0.0.9"}, True, "IP address mismatch"),
        ({}, False, "self-signed certificate"),
    ],
)
def test_tls(
    certificate: dict[str, Any],
    trusted: bool,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    path = tmp_path / "certificate.pem"
    with serve(DONE, context=make_certificate(path, **certificate)) as server:
        set_connection(monkeypatch, host=server.origin, extra={"verify": str(path) if trusted else "true"})
        assert_unreachable(says, logged)
    assert server.requests == []


def test_ca_bundle_of_the_connection_overrides_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
    make_certificate(wrong)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong))
    with serve(DOING, DONE, context=make_certificate(right)) as server:
        set_connection(monkeypatch, host=server.origin, extra={"verify": str(right)})
        assert wait("deferrable")["status"] == "DONE"
        assert wait("poke")["status"] == "DONE"


def test_refused(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    set_connection(monkeypatch, host=f"http://127.0.0.1:{port}")
    assert_unreachable("Host refuses connections", logged)


def test_unknown_host(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    set_connection(monkeypatch, host="http://no-such-host.invalid")
    assert_unreachable("Host name not found (gaierror: ", logged)


def test_host_that_recovers(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv(
        "AIRFLOW_CONN_OCEANBASE_DEFAULT", f"oceanbase://emulator-key:emulator-secret@127.0.0.1:{port}/http"
    )

    async def scenario() -> Any:
        waiting = asyncio.create_task(fire(trigger()))
        async with asyncio.timeout(20):
            while "polling continues" not in logged():
                await asyncio.sleep(0.02)
        with CloudEmulator(port=port) as cloud:
            cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
            return await waiting

    assert asyncio.run(scenario())["summary"]["status"] == "DONE"


def proxied(monkeypatch: pytest.MonkeyPatch, proxy: RawServer, host: str) -> None:
    set_connection(monkeypatch, host=host, extra={"proxy": proxy.origin, "timeout": 2})


@pytest.mark.parametrize("mode", MODES)
def test_proxy_requires_a_password(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answer(b"", 407)) as proxy:
        proxied(monkeypatch, proxy, "http://api.example")
        with pytest.raises(OceanBaseRefusedError, match="Proxy wants a password"):
            wait(mode)
    assert proxy.requests[0][1].startswith("GET http://api.example/api/v2/instances/ob-1/")


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (407, OceanBaseRefusedError, "Proxy wants a password"),
        (403, OceanBaseRefusedError, "Proxy refuses to connect to the API host"),
        (502, OceanBaseUnavailableError, "Proxy cannot reach the API host"),
    ],
)
def test_proxy_opens_no_tunnel(
    status: int,
    error: type[OceanBaseCloudError],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    with serve(answer(b"", status)) as proxy:
        secret = proxy.origin.replace("//", "//user:hush%2Fhush@")
        set_connection(monkeypatch, host="https://api.example", extra={"proxy": secret, "timeout": 2})
        for mode in MODES:
            with pytest.raises(error, match=f"{says}.*HTTP {status}") as caught:
                wait(mode)
            assert "hush" not in "".join(traceback.format_exception(caught.value))
        event = asyncio.run(fire(trigger(timeout=0.2)))
    assert "hush" not in f"{event}{logged()}"
    assert ("error" in event) == (error is OceanBaseRefusedError)
    assert {head.partition(" HTTP")[0] for _, head in proxy.requests} == {"CONNECT api.example:443"}
    # A refusal is not tried again: a wrong password might lock an account.
    assert error is OceanBaseUnavailableError or len(proxy.requests) == len(MODES) + 1


def test_proxy_dies(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    with serve(reset()) as proxy:
        proxied(monkeypatch, proxy, "https://api.example")
        assert_unreachable("No complete response", logged)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status: int, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(DONE) as elsewhere, serve(DOING, answer(b"", status, Location=elsewhere.origin)) as server:
        set_connection(monkeypatch, host=server.origin)
        with pytest.raises(OceanBaseRefusedError, match="Redirects are not followed"):
            wait(mode)
    assert elsewhere.requests == []


def test_interim_responses_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(interim(DONE)) as proxy:
        proxied(monkeypatch, proxy, "http://api.example")
        assert wait("poke")["status"] == "DONE"


def test_endless_interim_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(interim(DONE, count=50)) as server:
        set_connection(monkeypatch, host=server.origin)
        with pytest.raises(OceanBaseUnavailableError, match="No complete response"):
            wait("poke")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudEmulator]:
    with CloudEmulator() as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
        yield cloud


BASIC, UNKNOWN = 'Basic realm="x", charset="UTF-8"', 'Digest realm="r", nonce="n", algorithm=ROT13'
ODD_CHALLENGES: dict[str, Callable[[str], list[str]]] = {
    "Basic first": lambda digest: [f"{BASIC}, {digest}"],
    "Basic last": lambda digest: [f"{digest}, {BASIC}"],
    "Basic first, in a header of its own": lambda digest: [BASIC, digest],
    "Basic last, in a header of its own": lambda digest: [digest, BASIC],
    "an unknown algorithm first": lambda digest: [f"{UNKNOWN}, {digest}"],
    "an unknown algorithm first, in a header of its own": lambda digest: [UNKNOWN, digest],
    "auth-int too": lambda digest: [digest.replace('qop="auth"', 'qop="auth-int, auth"')],
    "a domain elsewhere": lambda digest: [f'{digest}, domain="https://elsewhere.example/"'],
    "Negotiate first": lambda digest: ["Negotiate", digest],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ODD_CHALLENGES)
def test_digest_is_found(name: str, mode: str, cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    challenges = cloud._digest.challenges
    monkeypatch.setattr(
        cloud._digest, "challenges", lambda *, stale: ODD_CHALLENGES[name](challenges(stale=stale)[0])
    )
    assert wait(mode)["status"] == "DONE"
    authorizations = [request.status for request in cloud.requests]
    assert authorizations.count(200) == 2


@pytest.mark.parametrize("mode", MODES)
def test_nonce_that_is_always_stale(mode: str, cloud: CloudEmulator) -> None:
    cloud._digest.profile = Profile(nonce_uses=0)
    with pytest.raises(OceanBaseUnavailableError, match="Fresh nonce called stale"):
        wait(mode)
    # Two requests per attempt, and as many attempts as for any other failure.
    assert [request.status for request in cloud.requests] == [401] * 10


@pytest.mark.parametrize("mode", MODES)
def test_key_that_is_replaced_in_the_connection(
    mode: str, cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))

    def rotate(seen: Any) -> None:
        if seen.backup_status and cloud.polls("ob-1", "bak-1") == 1:
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)

    cloud._on_request = rotate
    assert wait(mode)["status"] == "DONE"


@pytest.mark.parametrize("mode", MODES)
def test_key_that_is_disabled(mode: str, cloud: CloudEmulator) -> None:
    cloud._on_request = lambda seen: seen.backup_status and cloud.rotate_key("another", "key")
    with pytest.raises(OceanBaseAuthenticationError, match="Check AccessKey ID"):
        wait(mode)
    assert cloud.polls("ob-1", "bak-1") == 1
