"""A network in memory, below both HTTP libraries: what a client sends is bytes, and so is the answer."""

from __future__ import annotations

import asyncio
import errno
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol
from unittest.mock import patch

from histories.clock import Loop


class Reply(NamedTuple):
    """What a client receives.

    :param data: bytes, none if the connection breaks
    :param delay: seconds before that
    :param hangs: whether nothing comes, not even the end
    """

    data: bytes = b""
    delay: float = 0.05
    hangs: bool = False


class Server(Protocol):
    """What is at the other end."""

    def connect(self, address: tuple[str, int]) -> None:
        """Accept a connection, or raise an OSError."""

    def receive(self, data: bytes) -> None:
        """Accept the first bytes of a request, or raise an OSError."""

    def answer(self, request: bytes) -> Reply:
        """Answer a complete request."""


def is_complete(request: bytes) -> bool:
    """Return whether the bytes are a whole request."""
    head, end, body = request.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return True


class Socket:
    """A socket of a worker, as ``http.client`` uses it."""

    def __init__(self, server: Server, sleep: Callable[[float], None], timeout: float) -> None:
        self.server = server
        self.sleep = sleep
        self.timeout = timeout
        self.sent = b""

    def sendall(self, data: Any) -> None:
        if not self.sent:
            self.server.receive(bytes(data))
        self.sent += bytes(data)

    def makefile(self, mode: str, buffering: int = -1) -> io.RawIOBase | io.BufferedReader:
        answer = _Answer(self)
        return answer if buffering == 0 else io.BufferedReader(answer)

    def gettimeout(self) -> float:
        return self.timeout

    def settimeout(self, timeout: float) -> None:
        self.timeout = timeout

    def close(self) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass


class _Answer(io.RawIOBase):
    def __init__(self, sock: Socket) -> None:
        self._socket = sock
        self._data: io.BytesIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._data is None:
            request, self._socket.sent = self._socket.sent, b""
            reply = self._socket.server.answer(request)
            if reply.hangs or reply.delay > self._socket.timeout:
                self._socket.sleep(self._socket.timeout)
                raise TimeoutError("timed out")
            self._socket.sleep(reply.delay)
            if not reply.data:
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._data = io.BytesIO(reply.data)
        return self._data.readinto(buffer)


class _Transport(asyncio.Transport):
    """A connection of the triggerer."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__()
        self._server, self._loop, self._protocol = server, loop, protocol
        self._sent = b""
        self._closing = False

    def write(self, data: Any) -> None:
        if self._closing:
            return
        try:
            if not self._sent:
                self._server.receive(bytes(data))
        except OSError as error:
            self._lose(error)
            return
        self._sent += bytes(data)
        if is_complete(self._sent):
            request, self._sent = self._sent, b""
            reply = self._server.answer(request)
            if not reply.hangs:
                self._loop.call_later(reply.delay, self._deliver, reply.data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _deliver(self, data: bytes) -> None:
        if self._closing:
            return
        if data:
            self._protocol.data_received(data)
        self._lose(None if data else ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _lose(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, error)

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


@contextmanager
def connected(server: Server, sleep: Callable[[float], None]) -> Iterator[None]:
    """Connect both HTTP libraries to a server: workers by sockets, event loops by transports."""

    def create_connection(address: tuple[str, int], timeout: Any = 30.0, *_: Any, **__: Any) -> Socket:
        server.connect(address)
        return Socket(server, sleep, timeout)

    async def sock_connect(_: Loop, __: socket.socket, address: tuple[str, int]) -> None:
        server.connect(address)

    async def connect(loop: Loop, factory: Any, *_: Any, sock: socket.socket, **__: Any) -> Any:
        sock.close()
        protocol = factory()
        transport = _Transport(server, loop, protocol)
        protocol.connection_made(transport)
        return transport, protocol

    with (
        patch("urllib3.util.connection.create_connection", create_connection),
        patch.object(Loop, "sock_connect", sock_connect),
        patch.object(Loop, "create_connection", connect),
    ):
        yield
