"""Connections of requests that read the head of a response as those of aiohttp do."""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_oceanbase.cloud import protocol

if TYPE_CHECKING:
    import socket

#: A server that sends more of them has nothing else to say.
_MAX_INTERIM_RESPONSES = 20


class _Response(http.client.HTTPResponse):
    """Skips every interim response (1xx), where the standard library skips 100 alone, without end.

    It limits the time that the whole head takes.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._of_head: _LimitedReader | None = None
        if (timeout := sock.gettimeout()) is not None:
            self.fp.close()
            self._of_head = _LimitedReader(sock, timeout)
            self.fp = io.BufferedReader(self._of_head)

    def begin(self) -> None:
        """Read status and headers; who reads the body limits that."""
        super().begin()
        if self._of_head is not None:
            self._of_head.deadline = None

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM_RESPONSES):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            # 101 ends HTTP on the connection, and is never asked for: nothing can follow it.
            if status == http.client.SWITCHING_PROTOCOLS or not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many interim responses")


class _LimitedReader(io.RawIOBase):
    """Reads from a socket until a deadline. The socket's own timeout limits each read alone.

    :param sock: a socket with a timeout
    """

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._timeout = timeout
        #: By time.monotonic(); None for no limit.
        self.deadline: float | None = time.monotonic() + protocol.BODY_TIMEOUTS * timeout

    def readable(self) -> bool:
        """Return True: it is for reading."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read some bytes.

        :raises TimeoutError: none by the deadline
        """
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(min(left, self._timeout))
        return self._raw.readinto(buffer)

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
    """Connects by classes that skip interim responses, with a proxy and without."""

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
