"""Connections of aiohttp: nothing is taken for a response that is none, or that nobody asked for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from urllib3.util import wait_for_read

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.transport.framing import BadResponseError, Framing

if TYPE_CHECKING:
    import asyncio


class CheckedProtocol(ResponseHandler):
    """Passes on what belongs to the response that is awaited.

    What comes at any other time closes the connection: aiohttp would take it for the response to the next
    request.

    :param timeout: seconds between two reads from a proxy that opens a tunnel
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout: float) -> None:
        super().__init__(loop)
        self._timeout_of_tunnel = timeout
        self._framing: Framing | None = None

    @property
    def was_used(self) -> bool:
        """Whether there was a response before."""
        return self._framing is not None

    def set_response_params(self, **params: Any) -> None:
        """Await a response."""
        self._framing = Framing(has_body=not params.get("skip_payload"))
        is_tunnel = params.get("read_timeout") is None
        if is_tunnel:
            # What applies to all other responses; aiohttp hands nothing on for that of a proxy to CONNECT.
            params |= {
                "read_timeout": self._timeout_of_tunnel,
                "max_line_size": protocol.MAX_HEADER_BYTES,
                "max_field_size": protocol.MAX_HEADER_BYTES,
            }
        super().set_response_params(**params)
        if is_tunnel:
            self.start_timeout()

    def data_received(self, data: bytes) -> None:
        """Take what was received. No data: aiohttp goes on with what it has."""
        framing = self._framing
        if not data:
            super().data_received(data)
        elif framing is None or framing.complete:
            self.close()
        else:
            self._take(framing, data)

    def _take(self, framing: Framing, data: bytes) -> None:
        try:
            passed, has_more = framing.feed(data)
        except BadResponseError as error:
            if self.transport is not None:
                self.transport.close()
            self.set_exception(error)
            return
        if has_more:
            # First: a complete response gives its connection back at once.
            self.force_close()
        if passed:
            super().data_received(passed)
        else:
            self.start_timeout()


class Connector(aiohttp.TCPConnector):
    """Uses no connection again on which anything has arrived since the last response.

    :param timeout: as for :class:`CheckedProtocol`
    """

    def __init__(self, *, timeout: float, **options: Any) -> None:
        super().__init__(**options)
        # Private, and tested with each supported aiohttp: there is no other way to a protocol of one's own.
        self._factory = functools.partial(  # type: ignore[assignment]
            CheckedProtocol, loop=self._loop, timeout=timeout
        )

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        """Return a new connection, or one that is as good as new."""
        while True:
            connection = await super().connect(*args, **options)
            if not _has_input(connection):
                return connection
            connection.close()


def _has_input(connection: aiohttp.connector.Connection) -> bool:
    """Return whether a connection that was used has input that the event loop has not read yet."""
    response, transport = connection.protocol, connection.transport
    if transport is None or not isinstance(response, CheckedProtocol) or not response.was_used:
        return False
    sock = transport.get_extra_info("socket")
    return sock is not None and wait_for_read(sock, timeout=0)
