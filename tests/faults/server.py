"""A server whose behaviour is scripted down to the bytes, without authentication."""

from __future__ import annotations

import functools
import gzip
import json
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from conftest import answer as vendors_answer

#: Responds to one request; True keeps the connection open.
Behaviour = Callable[["Exchange"], bool]


@dataclass
class RawServer:
    """Responds to the n-th request with the n-th behaviour; the last one stays."""

    behaviours: Sequence[Behaviour]
    context: ssl.SSLContext | None = None
    #: When each request was complete, and its head.
    requests: list[tuple[float, str]] = field(default_factory=list)
    sent_bytes: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    listener: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=64)
    )

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def origin(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as file:
                while head := read_head(file):
                    length = re.search(r"(?im)^content-length: (\d+)", head)
                    file.read(int(length[1]) if length else 0)
                    index = min(len(self.requests), len(self.behaviours) - 1)
                    self.requests.append((time.monotonic(), head))
                    if not self.behaviours[index](Exchange(self, connection, head)):
                        return


@dataclass
class Exchange:
    """A request that waits for its response."""

    server: RawServer
    connection: socket.socket
    #: Request line and headers.
    head: str
    #: Fields of what the request is for, other than the vendor's.
    fields: Mapping[str, Any] = field(default_factory=dict)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)
        self.server.sent_bytes += len(data)


def read_head(file: Any) -> str:
    """Return request line and headers, an empty text if the client disconnects before they are complete."""
    lines = []
    while (line := file.readline()) != b"\r\n":
        if not line:
            return ""
        lines.append(line)
    return b"".join(lines).decode()


@contextmanager
def serve(*behaviours: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    server = RawServer(behaviours, context)
    thread = threading.Thread(target=server.accept)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join()


def answer(
    body: bytes | object = b"", status: int = 200, length: int | None = None, **headers: str
) -> Behaviour:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    fields["Content-Length"] = str(len(content) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    data = f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + content

    def behave(exchange: Exchange) -> bool:
        exchange.send(data)
        return length is None

    return behave


NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def content(head: str, **fields: Any) -> bytes:
    """What a request is for, as JSON: a started backup, the vendor's example, or a list of it."""
    if head.startswith("POST "):
        data = {"backupTaskId": "bak-1", **fields}
    else:
        data = vendors_answer(startTime=NOW, endTime=NOW, **fields)["data"]
        if "/backup/data/sets?" in head:
            data = {"dataList": [data], "total": 1, "hasMore": False}
    return json.dumps({"success": True, "requestId": "theirs", "data": data}).encode()


def found(
    headers: Mapping[str, str] = MappingProxyType({}),
    packed: Callable[[bytes], bytes] = bytes,
    **fields: Any,
) -> Behaviour:
    """Respond with what the request is for, with other fields."""

    def behave(exchange: Exchange) -> bool:
        return answer(packed(content(exchange.head, **{**exchange.fields, **fields})), **headers)(exchange)

    return behave


def framed(form: Callable[[bytes], bytes]) -> Behaviour:
    """Respond with the bytes that a function makes of what the request is for, and close the connection."""

    def behave(exchange: Exchange) -> bool:
        exchange.send(form(content(exchange.head, **exchange.fields)))
        return False

    return behave


def interim(final: Behaviour, count: int = 1) -> Behaviour:
    heads = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"

    def behave(exchange: Exchange) -> bool:
        exchange.send(heads * count)
        return final(exchange)

    return behave


def tunnel(port: int) -> Behaviour:
    """Connect a client to a port of this host, as a proxy does after CONNECT."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            try:
                while data := source.recv(0x10000):
                    sink.sendall(data)
            finally:
                # Even after a reset: the other side has to learn of it.
                sink.shutdown(socket.SHUT_WR)

    def behave(exchange: Exchange) -> bool:
        with socket.create_connection(("127.0.0.1", port)) as target:
            exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(target, exchange.connection), daemon=True)
            back.start()
            pump(exchange.connection, target)
            back.join()
        return False

    return behave


def backup_set(**data: Any) -> Behaviour:
    """The vendor's example, with other data."""
    return answer(vendors_answer(**data))


DOING, DONE = backup_set(status="DOING"), backup_set()


def reset(after: bytes = b"") -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.send(after)
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


def hang(exchange: Exchange) -> bool:
    exchange.server.stopped.wait(30)
    return False


def stall(start: bytes) -> Behaviour:
    """Send the start of a response, and no more."""

    def behave(exchange: Exchange) -> bool:
        exchange.send(start)
        return hang(exchange)

    return behave


def drip(exchange: Exchange) -> bool:
    """Send a body that trickles in."""
    return trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" ")(exchange)


def trickle(start: bytes, again: bytes) -> Behaviour:
    """Send the start of a response, and then a byte now and then."""

    def behave(exchange: Exchange) -> bool:
        exchange.send(start)
        while not exchange.server.stopped.wait(0.1):
            exchange.send(again)
        return False

    return behave


def repeat(again: bytes, start: bytes = b"") -> Behaviour:
    """Send the same without end."""

    def behave(exchange: Exchange) -> bool:
        exchange.send(start)
        while not exchange.server.stopped.is_set():
            exchange.send(again * 100)
        return False

    return behave


def pour(head: bytes) -> Behaviour:
    """Send a body without end."""

    def behave(exchange: Exchange) -> bool:
        exchange.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        while not exchange.server.stopped.is_set():
            exchange.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        return False

    return behave


endless = pour(b"HTTP/1.1 200 OK\r\n")


def bomb(size: int, status: int = 200, **headers: str) -> Behaviour:
    # Packed when it is first sent, so that the collection of tests stays fast.
    return lambda exchange: answer(_packed(size), status, Content_Encoding="gzip", **headers)(exchange)


@functools.cache
def _packed(size: int) -> bytes:
    """Pack that many spaces with gzip: compress one block, then repeat it."""
    block = b" " * min(size, 2**20)
    assert size % len(block) == 0
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(size // len(block)):
        checksum = zlib.crc32(block, checksum)
    head, end = gzip.compress(b"")[:10], zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    return head + packed * (size // len(block)) + end + struct.pack("<II", checksum, size)
