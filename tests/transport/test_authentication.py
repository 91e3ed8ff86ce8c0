"""Digest authentication of both clients: against the emulator, odd servers, and CherryPy."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import answer
from digest_server import KEY, SECRET, Digest, guard, refuse
from faults.server import DONE, Behaviour, Exchange, hang, serve
from faults.server import answer as respond

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport.aiohttp_client import LANES, AiohttpClient
from airflow_provider_oceanbase.transport.requests_client import RequestsClient, new_session

REQUEST = backup_set_request("ob-1", "bak-1")
CLIENTS = ("requests", "aiohttp")
#: Sends a request once; returns the status of the backup set.
Fetch = Callable[..., Any]


def endpoint(origin: str, key: str = KEY, secret: str = SECRET, timeout: float = 5.0) -> Endpoint:
    return Endpoint(conn_id="ob", origin=origin, access_key_id=key, access_key_secret=secret, timeout=timeout)


def emulated(cloud: CloudEmulator) -> Endpoint:
    return endpoint(cloud.url, "emulator-key", "emulator-secret")


@contextmanager
def client(name: str, target: Endpoint) -> Iterator[Fetch]:
    if name == "requests":
        sync = RequestsClient(new_session(target), target, logging.getLogger(__name__))
        with sync.session:
            yield lambda request=REQUEST: sync.fetch(request, retry=False).data
        return
    # In debug mode asyncio and aiohttp warn about unclosed resources, and warnings are errors.
    with asyncio.Runner(debug=True) as runner:
        shared = AiohttpClient(target)
        yield lambda request=REQUEST: runner.run(shared.fetch(request)).data
        runner.run(shared.aclose())


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Callable[[Endpoint], Any]:
    """Opens a client of each kind."""
    return functools.partial(client, request.param)


@contextmanager
def emulator(**options: Any) -> Iterator[CloudEmulator]:
    with CloudEmulator(**options) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
        yield cloud


def statuses(cloud: CloudEmulator) -> list[int]:
    return [request.status for request in cloud.requests]


@pytest.mark.parametrize("algorithms", [["MD5"], ["SHA-256"], ["SHA-256", "MD5"]])
def test_one_round_trip_per_poll(algorithms: list[str], connect: Any) -> None:
    with emulator(algorithms=algorithms) as cloud, connect(emulated(cloud)) as fetch:
        assert [fetch()["status"] for _ in range(4)] == ["DONE"] * 4
    assert statuses(cloud) == [401, 200, 200, 200, 200]
    # The attempt without credentials and the one with them have the same requestId.
    ids = [request.query["requestId"] for request in cloud.requests]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert {len(proof) for proof in cloud.seen_digest_responses - {""}} == {
        32 if algorithms == ["MD5"] else 64
    }


def test_expired_nonce(connect: Any) -> None:
    with emulator(nonce_seconds=60) as cloud, connect(emulated(cloud)) as fetch:
        for seconds in (0.0, 59.0, 61.0, 62.0):
            cloud._clock = functools.partial(float, seconds)
            fetch()
    assert statuses(cloud) == [401, 200, 200, 401, 200, 200]


def test_one_time_nonces(connect: Any) -> None:
    with emulator(nonce_uses=1) as cloud, connect(emulated(cloud)) as fetch:
        for _ in range(3):
            fetch()
    assert statuses(cloud) == [401, 200] * 3


def test_next_nonce_saves_a_challenge(connect: Any) -> None:
    nonces = [f"nonce-{number}" for number in range(3)]
    challenge = 'Digest realm="r", nonce="nonce-0", qop="auth"'

    def once(nonce: str, following: str) -> Behaviour:
        right = respond(answer(), Authentication_Info=f'qop=auth, nextnonce="{following}"')
        return guard(Digest(nonce=nonce), challenge, accepted=right)

    replies = [refuse(challenge), *itertools.starmap(once, itertools.pairwise([*nonces, "unused"]))]
    with serve(*replies) as server, connect(endpoint(server.origin)) as fetch:
        assert [fetch()["status"] for _ in nonces] == ["DONE"] * 3
    assert len(server.requests) == 4


def test_wrong_secret(connect: Any) -> None:
    with (
        emulator(access_key_secret="another") as cloud,
        connect(emulated(cloud)) as fetch,
        pytest.raises(OceanBaseAuthenticationError, match="AccessKey refused") as caught,
    ):
        fetch()
    assert caught.value.error_message == "Unauthorized"
    assert statuses(cloud) == [401, 401]


def test_nonce_that_is_always_stale(connect: Any) -> None:
    with (
        emulator(nonce_uses=0) as cloud,
        connect(emulated(cloud)) as fetch,
        pytest.raises(OceanBaseUnavailableError, match="Fresh nonce called stale"),
    ):
        fetch()
    assert statuses(cloud) == [401, 401]


def test_key_that_is_disabled_and_enabled_again(connect: Any) -> None:
    with emulator() as cloud, connect(emulated(cloud)) as fetch:
        fetch()
        cloud.rotate_key("another", "key")
        with pytest.raises(OceanBaseAuthenticationError):
            fetch()
        cloud.rotate_key("emulator-key", "emulator-secret")
        assert fetch()["status"] == "DONE"


def test_idle_connection_that_the_server_closed(connect: Any) -> None:
    with emulator() as cloud:
        target = emulated(cloud)
        opened = connect(target)
        fetch = opened.__enter__()
        fetch()
    with emulator(port=cloud.port) as cloud:
        assert fetch()["status"] == "DONE"
        opened.__exit__(None, None, None)
    # The new server does not know the old nonces.
    assert statuses(cloud) == [401, 200]


@pytest.mark.parametrize("backup_task_id", ["bak-1", "bak 1", "a/b?c#d%2F", "é", "a:b&c=d", "~!'()*\"\\"])
def test_the_path_is_signed_as_it_is_sent(backup_task_id: str, connect: Any) -> None:
    with CloudEmulator() as cloud, connect(emulated(cloud)) as fetch:
        cloud.add_backup_set("ob:1/é", backup_task_id, statuses=("DONE",))
        assert fetch(backup_set_request("ob:1/é", backup_task_id))["backupSetId"] == backup_task_id
    assert statuses(cloud) == [401, 200]


PLAIN = 'Digest realm="r", nonce="n", qop="auth"'
SHA_512_256 = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-512-256'
#: What the server expects, and the headers by which it challenges.
LEGAL_CHALLENGES: dict[str, tuple[Digest, list[str]]] = {
    "plain": (Digest(), [PLAIN]),
    "upper case": (Digest(), ['DIGEST REALM="r", NONCE="n", QOP="AUTH"']),
    "tokens": (Digest(), ["Digest realm=r, nonce=n, qop=auth"]),
    "blanks": (Digest(), ['Digest\t realm = "r" ,\tnonce = "n" , qop = "auth"']),
    "empty elements": (Digest(), [', ,Digest realm="r",, nonce="n", qop="auth", ,']),
    "comma in the realm": (Digest(realm="a, b"), ['Digest realm="a, b", nonce="n", qop="auth"']),
    "empty realm": (Digest(realm=""), ['Digest realm="", nonce="n", qop="auth"']),
    "tab in the realm": (Digest(realm="a\tb"), ['Digest realm="a\tb", nonce="n", qop="auth"']),
    "realm of another language": (Digest(realm="云, 先"), ['Digest realm="云, 先", nonce="n", qop="auth"']),
    "escapes": (
        Digest(realm='say "hi"', nonce='n"\\', opaque='C:\\"'),
        ['Digest realm="say \\"hi\\"", nonce="n\\"\\\\", opaque="C:\\\\\\"", qop="auth"'],
    ),
    "opaque": (Digest(opaque="a=b c="), [f'{PLAIN}, opaque="a=b c="']),
    "auth-int first": (Digest(), ['Digest realm="r", nonce="n", qop="auth-int, auth"']),
    "no qop": (Digest(), ['Digest realm="r", nonce="n"']),
    "empty qop": (Digest(), ['Digest realm="r", nonce="n", qop=""']),
    "MD5-sess": (Digest(algorithm="MD5-sess"), [f"{PLAIN}, algorithm=MD5-sess"]),
    "MD5-sess, no qop": (
        Digest(algorithm="MD5-sess"),
        ['Digest realm="r", nonce="n", algorithm=MD5-sess'],
    ),
    "sha-256": (Digest(algorithm="SHA-256"), [f"{PLAIN}, algorithm=sha-256"]),
    "SHA-256-sess": (Digest(algorithm="SHA-256-sess"), [f'{PLAIN}, algorithm="SHA-256-sess"']),
    "SHA-512-256": (Digest(algorithm="SHA-512-256"), [SHA_512_256, PLAIN]),
    "an unknown algorithm first": (Digest(), [f"{PLAIN}, algorithm=SHA-9", PLAIN]),
    "without nonce first": (Digest(), ['Digest realm="other"', PLAIN]),
    "userhash and charset": (Digest(), [f"{PLAIN}, userhash=true, charset=UTF-8"]),
    "a domain elsewhere": (Digest(), [f'{PLAIN}, domain="https://elsewhere.example/"']),
    "Basic and Bearer": (
        Digest(),
        ['Basic realm="x, y"', 'Bearer error="no, Digest here"', PLAIN, 'Basic realm="z"'],
    ),
    "Negotiate": (Digest(), ["Negotiate oYG2MIGzoAMKAQChCwYJKoZIgvcS==", f"NTLM, {PLAIN}"]),
    "a long nonce": (Digest(nonce="n" * 7000), [f'Digest realm="r", nonce="{"n" * 7000}", qop="auth"']),
}


@pytest.mark.parametrize("name", LEGAL_CHALLENGES)
def test_legal_challenge_is_answered(name: str, connect: Any) -> None:
    digest, challenges = LEGAL_CHALLENGES[name]
    with serve(guard(digest, *challenges)) as server, connect(endpoint(server.origin)) as fetch:
        assert [fetch()["status"] for _ in range(3)] == ["DONE"] * 3
    assert len(server.requests) == 4


#: Challenges that cannot be answered; a surrogate stands for a byte that is no UTF-8.
ODD_CHALLENGES = {
    "nothing": [],
    "Basic": ['Basic realm="x"'],
    "no nonce": ['Digest realm="r"'],
    "unknown algorithm": [f"{PLAIN}, algorithm=ROT13"],
    "auth-int": ['Digest realm="r", nonce="n", qop="auth-int"'],
    "Latin-1 in the realm": ['Digest realm="Acc\udce8s", nonce="n", qop="auth"'],
    "Latin-1 in the nonce": ['Digest realm="r", nonce="\udce8", qop="auth"'],
    "half a quote": ['Digest realm="r", nonce="n'],
}
#: aiohttp's parser may reject these responses as a whole.
CONTROLS = {
    "control character": ['Digest realm="r", nonce="n\x01", qop="auth"'],
    "DEL": ['Digest realm="r\x7f", nonce="n", qop="auth"'],
    "NUL": ['Digest realm="r", nonce="n", opaque="\x00"'],
    "escape": ['Digest realm="\x1b[1m", nonce="n"'],
}


@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("name", [*ODD_CHALLENGES, *CONTROLS])
def test_odd_challenge_does_not_affect_later_requests(name: str, known: bool, connect: Any) -> None:
    odd = refuse(*(ODD_CHALLENGES | CONTROLS)[name])
    right = guard(Digest(), PLAIN)
    replies = [right, right, odd, right] if known else [odd, right]
    with serve(*replies) as server, connect(endpoint(server.origin)) as fetch:
        if known:
            fetch()
        with pytest.raises(OceanBaseCloudError) as caught:
            fetch()
        assert {fetch()["status"] for _ in range(20)} == {"DONE"}
    # Only the request after it needs another challenge.
    assert len(server.requests) == 24 if known else 22
    if name not in CONTROLS:
        assert type(caught.value) is OceanBaseAuthenticationError
        assert "No digest authentication that is known" in str(caught.value)


def test_answer_that_is_refused_does_not_affect_later_requests(connect: Any) -> None:
    router = refuse('Digest realm="router", nonce="x", qop="auth"')
    right = guard(Digest(), PLAIN)
    with serve(right, right, router, router, right) as server, connect(endpoint(server.origin)) as fetch:
        fetch()
        with pytest.raises(OceanBaseAuthenticationError, match="AccessKey refused"):
            fetch()
        assert {fetch()["status"] for _ in range(20)} == {"DONE"}
    assert len(server.requests) == 4 + 21


@pytest.mark.parametrize("algorithms", [["MD5", "SHA-256"], ["SHA-256", "MD5"], ["MD5"]])
def test_where_md5_is_forbidden(algorithms: list[str], connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def md5(data: bytes = b"", *, usedforsecurity: bool = True) -> None:
        raise ValueError("[digital envelope routines] unsupported")

    with emulator(algorithms=algorithms) as cloud, connect(emulated(cloud)) as fetch:
        monkeypatch.setattr(hashlib, "md5", md5)
        if algorithms == ["MD5"]:
            with pytest.raises(OceanBaseAuthenticationError, match=r"\(offered: Digest MD5\)"):
                fetch()
        else:
            assert [fetch()["status"] for _ in range(2)] == ["DONE"] * 2
            assert statuses(cloud) == [401, 200, 200]


def sticky(seen: list[str | None]) -> Behaviour:
    """Two servers, each with nonces of its own; a cookie leads to the one that set it, chance to either."""
    turns = itertools.cycle((0, 1))

    def behave(exchange: Exchange) -> bool:
        _, head = exchange.server.requests[-1]
        cookie = re.search(r"(?mi)^cookie: (.*)\r$", head)
        seen.append(cookie and cookie[1])
        node = int(cookie[1].removeprefix("NODE=")) if cookie else next(turns)
        if Digest(nonce=str(node)).accepts(head):
            return DONE(exchange)
        challenge = f'Digest realm="r", nonce="{node}", qop="auth"'
        cookies = (f"NODE={node}; Path=/", "gone=x; Max-Age=0", "other=1; Path=/elsewhere")
        return refuse(challenge, Set_Cookie="\r\nSet-Cookie: ".join(cookies))(exchange)

    return behave


def test_cookies_of_a_challenge_come_with_the_answer_only(connect: Any) -> None:
    seen: list[str | None] = []
    with serve(sticky(seen)) as server, connect(endpoint(server.origin)) as fetch:
        assert [fetch()["status"] for _ in range(3)] == ["DONE"] * 3
    assert seen == [None, "NODE=0", None, "NODE=1", None, "NODE=0"]


def test_cookie_that_no_header_may_hold_is_not_sent(connect: Any) -> None:
    odd = refuse(PLAIN, Set_Cookie="a=\u00e9\r\nSet-Cookie: b=\udce9\r\nSet-Cookie: c\r\nSet-Cookie: ;;=")
    with serve(odd, guard(Digest(), PLAIN)) as server, connect(endpoint(server.origin)) as fetch:
        assert fetch()["status"] == "DONE"
    assert "\u00e9" not in server.requests[1][1]


def test_connection_of_a_challenge_is_used_again(connect: Any) -> None:
    connections = set()
    right = guard(Digest(), PLAIN)

    def behave(exchange: Exchange) -> bool:
        connections.add(exchange.connection.getpeername())
        return right(exchange)

    with serve(behave) as server, connect(endpoint(server.origin)) as fetch:
        fetch()
    assert (len(server.requests), len(connections)) == (2, 1)


CHALLENGE_WITH_BODY = (
    b"HTTP/1.1 401 Unauthorized\r\n"
    b'WWW-Authenticate: Digest realm="r", nonce="n"\r\n'
    b"Content-Length: 999999\r\n"
    b"\r\n{"
)


def stall(exchange: Exchange) -> bool:
    """Challenge, and never complete the body."""
    exchange.send(CHALLENGE_WITH_BODY)
    return hang(exchange)


def test_challenge_that_stalls(connect: Any) -> None:
    right = guard(Digest(), PLAIN)
    with serve(stall, right) as server, connect(endpoint(server.origin, timeout=0.3)) as fetch:
        with pytest.raises(OceanBaseUnavailableError, match=r"in time \(timeout 0.3 s\)"):
            fetch()
        assert fetch()["status"] == "DONE"


def test_challenge_that_trickles(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_TIMEOUTS", 1)

    def trickle(exchange: Exchange) -> bool:
        exchange.send(
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=r, nonce=n\r\nContent-Length: 999\r\n\r\n"
        )
        while not exchange.server.stopped.wait(0.1):
            exchange.send(b" ")
        return False

    with (
        serve(trickle) as server,
        connect(endpoint(server.origin, timeout=0.5)) as fetch,
        pytest.raises(OceanBaseUnavailableError, match="in time"),
    ):
        fetch()


def test_challenge_with_a_long_body_is_closed(connect: Any) -> None:
    closed = threading.Event()
    right = guard(Digest(), PLAIN)

    def endless(exchange: Exchange) -> bool:
        exchange.send(CHALLENGE_WITH_BODY + b" " * 2 * protocol.MAX_CHALLENGE_BODY_BYTES)
        exchange.connection.settimeout(5)
        with suppress(ConnectionResetError):
            assert exchange.connection.recv(1) == b""
        closed.set()
        return False

    def wait(exchange: Exchange) -> bool:
        return closed.wait(2) and right(exchange)

    with serve(endless, wait) as server, connect(endpoint(server.origin)) as fetch:
        assert fetch()["status"] == "DONE"


def test_cancelled_challenges_free_their_connections() -> None:
    right = guard(Digest(), PLAIN)

    async def scenario(origin: str, requests: list[Any]) -> Any:
        shared = AiohttpClient(endpoint(origin))
        doomed = [asyncio.create_task(shared.fetch(REQUEST)) for _ in range(LANES)]
        while len(requests) < LANES:
            await asyncio.sleep(0.01)
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)
        try:
            async with asyncio.timeout(3):
                return (await shared.fetch(REQUEST)).data
        finally:
            await shared.aclose()

    with serve(*[stall] * LANES, right) as server:
        found = asyncio.run(scenario(server.origin, server.requests), debug=True)
    assert found["status"] == "DONE"


def session_of(target: Endpoint) -> Any:
    return new_session(target)


def test_session_authenticates_at_its_endpoint_only() -> None:
    with (
        serve(refuse(PLAIN)) as elsewhere,
        serve(guard(Digest(), PLAIN, accepted=respond(b"", 302, Location=elsewhere.origin + "/x"))) as server,
        session_of(endpoint(server.origin)) as session,
    ):
        assert session.get(server.origin + "/a", timeout=5).status_code == 401
        assert session.get(elsewhere.origin + "/b", timeout=5).status_code == 401
    assert [head.partition(" HTTP")[0] for _, head in elsewhere.requests] == ["GET /x", "GET /b"]
    assert not any("authorization" in head.lower() for _, head in elsewhere.requests)


def test_session_keeps_own_cookies_beside_those_of_a_challenge() -> None:
    replies = [refuse(PLAIN, Set_Cookie="b=2"), guard(Digest(), PLAIN)]
    with serve(*replies) as server, session_of(endpoint(server.origin)) as session:
        assert session.get(server.origin + "/a", cookies={"a": "1"}, timeout=5).status_code == 200
    assert "Cookie: a=1; b=2" in server.requests[1][1].splitlines()


def test_threads_share_a_session() -> None:
    threads = 4
    with emulator() as cloud, session_of(emulated(cloud)) as session:
        url = REQUEST.url(emulated(cloud), "r-1")
        ready = threading.Barrier(threads)

        def get_some(_: int) -> set[int]:
            ready.wait(5)
            return {session.get(url, timeout=5).status_code for _ in range(20)}

        with ThreadPoolExecutor(threads) as pool:
            assert set().union(*pool.map(get_some, range(threads))) == {200}
    assert statuses(cloud).count(401) == threads


@pytest.fixture
def foreign_server() -> Iterator[str]:
    """CherryPy's digest authentication, with the vendor's example as response."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CherryPy warns when it is imported
        import cherrypy
        from cheroot.wsgi import Server
        from cherrypy.lib import auth_digest

    class Api:
        @cherrypy.expose
        @cherrypy.tools.json_out()
        def default(self, *path: str, **query: str) -> Any:
            return answer(backupSetId=path[-1], storageClass=query["requestId"])

    config = {
        "tools.auth_digest.on": True,
        "tools.auth_digest.realm": "cherry",
        "tools.auth_digest.get_ha1": auth_digest.get_ha1_dict_plain({KEY: SECRET}),
        "tools.auth_digest.key": "a1b2c3",
        "tools.auth_digest.accept_charset": "UTF-8",
    }
    application = cherrypy.Application(Api(), "", {"/": config})
    application.log.screen = False
    server = Server(("127.0.0.1", 0), application)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


def test_foreign_server(foreign_server: str, connect: Any) -> None:
    request = backup_set_request("ob/1", "bak 1", check_backup_set_download_enable=True)
    with connect(endpoint(foreign_server)) as fetch:
        for _ in range(3):
            backup_set = fetch(request)
            assert backup_set["backupSetId"] == "bak 1"
            assert len(backup_set["storageClass"]) == 36
    with (
        connect(endpoint(foreign_server, secret="wrong")) as fetch,
        pytest.raises(OceanBaseAuthenticationError, match="AccessKey refused"),
    ):
        fetch()
