"""Both clients come to the same with any bytes that a server may send, in any segments."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import answer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.requests_client import RequestsClient, new_session

REQUEST = backup_set_request("ob-1", "bak-1")
GOOD = json.dumps(answer()).encode()


@dataclass
class Speaker:
    """Sends the same segments to each request, then closes the connection."""

    segments: list[bytes] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    #: How many connections are still to be closed, with their lock.
    speaking: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self) -> None:
        """Wait until all is sent and closed: else a client may take a connection for one that stays open."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.speaking, timeout=10)

    def count(self, change: int) -> None:
        with self.changed:
            self.speaking += change
            self.changed.notify_all()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.count(1)
                # A client may keep one, while the other connects.
                threading.Thread(target=self.speak, args=(connection,), daemon=True).start()

    def speak(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            try:
                connection.settimeout(5)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                received = b""
                while b"\r\n\r\n" not in received and (data := connection.recv(0x10000)):
                    received += data
                for segment in self.segments:
                    connection.sendall(segment)
                connection.shutdown(socket.SHUT_WR)
            finally:
                self.count(-1)
            # Until the client has read all: a reset would cut it short.
            while connection.recv(0x10000):
                pass


@dataclass
class Pair:
    """A server, and a client of each kind."""

    speaker: Speaker
    sync: RequestsClient
    shared: AiohttpClient
    runner: asyncio.Runner

    def outcomes(self, segments: list[bytes]) -> tuple[Any, Any]:
        """Return what each client makes of the bytes: data, or the class of the error."""
        self.speaker.segments = segments
        found = []
        for fetch in (
            lambda: self.sync.fetch(REQUEST, retry=False),
            lambda: self.runner.run(asyncio.wait_for(self.shared.fetch(REQUEST), 5)),
        ):
            found.append(outcome(fetch))
            self.speaker.wait()
        sync, shared = found
        return sync, shared


def outcome(fetch: Any) -> Any:
    # Any other exception fails the test.
    try:
        return fetch().data
    except OceanBaseCloudError as error:
        return type(error)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    speaker = Speaker()
    thread = threading.Thread(target=speaker.serve)
    thread.start()
    origin = f"http://127.0.0.1:{speaker.listener.getsockname()[1]}"
    target = Endpoint(conn_id="ob", origin=origin, access_key_id="k", access_key_secret="s", timeout=2.0)
    sync = RequestsClient(new_session(target), target, logging.getLogger(__name__))
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner, sync.session:
        patch.setattr(protocol, "BODY_TIMEOUTS", 1)
        patch.setattr(protocol, "MAX_BODY_BYTES", 2**20)
        shared = AiohttpClient(target)
        yield Pair(speaker, sync, shared, runner)
        runner.run(shared.aclose())
    speaker.listener.shutdown(socket.SHUT_RDWR)
    speaker.listener.close()
    thread.join()


statuses = st.sampled_from([200] * 4 + [201, 204, 206, 301, 304, 400, 401, 403, 404, 407, 408, 429, 500, 503])
reasons = st.sampled_from([b"", b" ", b" OK", b" Not, so: good"])
tokens = st.sampled_from(
    [b"X-Odd", b"Content-Type", b"Retry-After", b"Set-Cookie", b"Date", b"WWW-Authenticate"]
)
values = st.sampled_from(
    [b"", b"1", b"soon", b"a=b; Path=/", b"application/json", b'Basic realm="x"', b"Digest realm=r, nonce=n"]
) | st.text('azAZ09 ,;="\\\t\u00e9\u4e91', max_size=12).map(lambda text: text.strip().encode())
headers = st.lists(st.tuples(tokens, values), max_size=4)
interims = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 E\r\nLink: <x>\r\n\r\n",
        ]
    ),
    max_size=3,
)
envelopes = st.sampled_from(
    [GOOD, GOOD, b'{"success": false}', b'{"success": true, "data": null}', b"{", b"[]"]
)
bodies = envelopes | st.binary(max_size=40)
encodings = st.sampled_from([None, None, "gzip", "x-gzip", "GZIP", "br", "identity"])
framings = st.sampled_from(["length", "chunked", "close"])


@st.composite
def valid_messages(draw: st.DrawFn) -> bytes:
    """HTTP as the standard has it, with odd content."""
    status, body, encoding = draw(statuses), draw(bodies), draw(encodings)
    lines = [name + b": " + value for name, value in draw(headers)]
    if encoding:
        lines.append(b"Content-Encoding: " + encoding.encode())
        if "gzip" in encoding.lower() and draw(st.integers(0, 4)):
            body = gzip.compress(body)
    framing = draw(framings)
    if status in (204, 304):
        body = b""
    elif framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 50))
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    lines.append(b"Connection: close")
    head = b"HTTP/1.1 %d%s\r\n" % (status, draw(reasons))
    return b"".join(draw(interims)) + head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


@st.composite
def broken_messages(draw: st.DrawFn) -> bytes:
    """HTTP with a piece cut out, or other bytes in its place."""
    message = draw(valid_messages())
    begin = draw(st.integers(0, len(message) - 1))
    end = draw(st.integers(begin, min(begin + 30, len(message))))
    return message[:begin] + draw(st.binary(max_size=6)) + message[end:]


#: Each is legal to one of curl, requests and aiohttp at least, and illegal to another.
ODD_LINES = [
    b"no colon",
    b": 1",
    b"X : 1",
    b"X Y: 1",
    b"X(Y): 1",
    b"X\xe8: 1",
    b"X: a\0b",
    b"X: a\x01\x7fb",
    b"X: a\rb",
    b"X: a\r\n b",
    b" folded",
    b"Content-Length: %d" % len(GOOD),
    b"Content-Length: %d, %d" % (len(GOOD), len(GOOD)),
    b"Content-Length: +%d" % len(GOOD),
    b"Content-Length: 5",
    b"Content-Length:",
    b"Content-Length: -1",
    b"Content-Length: 1e3",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: xchunked",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Content-Encoding: gzip, identity",
]
ODD_STARTS = [b"HTTP/1.1 200 OK"] * 5 + [
    b"HTTP/1.1 %s OK" % status
    for status in (b"099", b"000", b"600", b"999", b"0200", b"20", b"+200", b"101", b"204", b"205", b"304")
]
ODD_STARTS += [b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"HTTP/1.1\t200 OK"]
ODD_STARTS += [b"\r\nHTTP/1.1 200 OK", b" HTTP/1.1 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200 \x01\xff"]
ODD_SIZES = [b"%x", b"%x ", b" %x", b"0x%x", b"+%x", b"-%x", b"0_%x", b"00%x", b"%x;a=b", b"%x\t;", b"%x\0"]


@st.composite
def odd_messages(draw: st.DrawFn) -> bytes:
    """What the libraries read in different ways, if they read it."""
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    lines = draw(st.lists(st.sampled_from(ODD_LINES), max_size=2))
    body = GOOD
    if draw(st.booleans()):
        size = draw(st.sampled_from(ODD_SIZES)) % len(GOOD)
        after = draw(st.sampled_from([end, b"XY", b""]))
        last = draw(st.sampled_from([end + end, end + b"X: 1" + end + end, end, b""]))
        lines.append(b"Transfer-Encoding: chunked")
        body = size + end + GOOD + after + b"0" + last
    elif draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(GOOD))
    head = [draw(st.sampled_from(ODD_STARTS)), *draw(st.permutations(lines))]
    more = draw(st.sampled_from([b"", b"", b"\r\n", b"more", b"HTTP/1.1 200 OK\r\n\r\n"]))
    return b"".join(line + end for line in head) + end + body + more


cuts = st.lists(st.integers(1, 400), max_size=3)
THOROUGH = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck]
)


def split(message: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(at), len(message)]
    return [part for begin, end in itertools.pairwise(edges) if (part := message[begin:end])]


@THOROUGH
@given(valid_messages(), cuts)
def test_valid_message(pair: Pair, message: bytes, at: list[int]) -> None:
    sync, shared = pair.outcomes(split(message, at))
    assert sync == shared


@THOROUGH
@given(odd_messages(), cuts)
def test_odd_message(pair: Pair, message: bytes, at: list[int]) -> None:
    sync, shared = pair.outcomes(split(message, at))
    assert sync == shared


@THOROUGH
@given(broken_messages() | st.binary(max_size=80), cuts)
# A line that is no header, a line end that is none, a name that no header has, a length that is no number, a
# version that is none.
@example(b'HTTP/1.1 200 OK\xbbcess": true, "data": null}', [])
@example(b"HTTP/1.1 404\r\xaaWWW-Authenticate: \r\n\r\n", [])
@example(b'HTTP/1.1 429 OK\r\nCont"ngth: 2\r\nConnection: close\r\n\r\n[]', [])
@example(b"HTTP/1.1 200 OK\r\nContent-Length: ?\x89\r\n\r\n\xf7", [])
@example(b"HTTP/1 100 Continue\r\n\r\nHTTP/1.1 301 \r\nContent-Length: 0\r\n\r\n", [3])
def test_broken_message(pair: Pair, message: bytes, at: list[int]) -> None:
    sync, shared = pair.outcomes(split(message, at))
    assert sync == shared
