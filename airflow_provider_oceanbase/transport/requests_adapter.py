"""Connections of requests that skip interim responses, as those of aiohttp do."""

from __future__ import annotations

import http.client
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: A server that sends more of them has nothing else to say.
_MAX_INTERIM_RESPONSES = 20


class _Response(http.client.HTTPResponse):
    """Skips every interim response (1xx), where the standard library skips 100 alone, without end."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM_RESPONSES):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            # 101 ends HTTP on the connection, and is never asked for: nothing can follow it.
            if status == http.client.SWITCHING_PROTOCOLS or not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many interim responses")


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
