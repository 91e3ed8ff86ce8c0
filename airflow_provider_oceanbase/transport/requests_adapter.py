"""Connections of requests that take the same for a response as those of aiohttp do."""

from __future__ import annotations

import http.client
import io
import socket
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.transport.framing import Framing

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_BYTES = 64 * 1024
#: By time.monotonic(): a context variable, since no argument of requests reaches what reads.
_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the time that responses may take which are read here. A timeout limits each read alone."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


class _Response(http.client.HTTPResponse):
    """Reads a response from what :class:`Framing` passes."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, Framing(has_body=method != "HEAD")))


class _Reader(io.RawIOBase):
    """Reads one response from a socket.

    It limits the time that the head takes, whoever reads; :func:`deadline` limits more.
    """

    def __init__(self, sock: socket.socket, framing: Framing) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._framing = framing
        self._timeout = sock.gettimeout()
        self._head_deadline = (
            float("inf")
            if self._timeout is None
            else time.monotonic() + protocol.BODY_TIMEOUTS * self._timeout
        )
        self._passed = memoryview(b"")

    def readable(self) -> bool:
        """Return True: it is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes of the response, none after its end.

        :raises TimeoutError: none by the deadline
        :raises HTTPException: it is no valid response, or its end is missing
        """
        while not self._passed and not self._framing.complete:
            data = self._receive()
            if not data:
                if self._framing.has_head and not self._framing.may_end:
                    raise http.client.IncompleteRead(b"")
                return 0
            passed, has_more = self._framing.feed(data)
            self._passed = memoryview(passed)
            if has_more:
                # What comes after it is not for the next request: to urllib3, the connection is closed.
                with suppress(OSError, AttributeError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        count = min(len(buffer), len(self._passed))
        buffer[:count] = self._passed[:count]
        self._passed = self._passed[count:]
        return count

    def _receive(self) -> bytes:
        limit = _deadline.get()
        if not self._framing.has_head:
            limit = min(limit, self._head_deadline)
        if limit != float("inf"):
            left = limit - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left if self._timeout is None else min(left, self._timeout))
        return self._raw.read(_READ_BYTES) or b""

    def close(self) -> None:
        """Close it; the socket stays open."""
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """Connects by classes that read as above, with a proxy and without."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections to hosts."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the connections to a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _TlsPool}
