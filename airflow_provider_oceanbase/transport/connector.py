"""Connections of aiohttp: nothing is taken for a response that is none, or that nobody asked for."""

from __future__ import annotations

import functools
import select
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.transport.framing import BadResponseError, Framing

if TYPE_CHECKING:
    import asyncio

#: Seconds; zero would be no timeout.
_AT_ONCE = 1e-6


class CheckedProtocol(ResponseHandler):
    """Passes on what belongs to the response that is awaited, and waits for it no longer than a time.

    What comes at any other time closes the connection: aiohttp would take it for the response to the next
    request.

    aiohttp has a timeout for reads, too. But it makes and cancels a timer for each request and each read. The
    event loop keeps thousands of these for a while, and the garbage collector takes them for old. Here a
    connection has one timer, which looks when it fires whether the server has been silent since.

    :param timeout: seconds that the server, or a proxy that opens a tunnel, may be silent
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout: float) -> None:
        super().__init__(loop)
        self._timeout = timeout
        self._framing: Framing | None = None
        self._opens_tunnel = False
        #: Looks at the socket.
        self._input: select.poll | None = None
        #: When the silence of the server has lasted too long, None while nothing is awaited.
        self._silent_at: float | None = None
        self._silence_timer: asyncio.TimerHandle | None = None

    def has_input(self) -> bool:
        """Return whether there is input since the last response that the event loop has not read yet."""
        if self._framing is None or self.transport is None:
            return False
        if self._input is None:
            sock = self.transport.get_extra_info("socket")
            if sock is None:
                return False
            self._input = select.poll()
            self._input.register(sock, select.POLLIN)
        return bool(self._input.poll(0))

    def set_response_params(self, **params: Any) -> None:
        """Await a response: it is about to be requested."""
        # aiohttp hands no limits on for that of a proxy to CONNECT. What applies to the others does to it.
        self._opens_tunnel = "max_line_size" not in params
        for limit in ("max_line_size", "max_field_size"):
            params.setdefault(limit, protocol.MAX_HEADER_BYTES)
        self._framing = Framing(has_body=not (self._opens_tunnel or params.get("skip_payload")))
        self._heard()
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what was received. No data: aiohttp goes on with what it has."""
        framing = self._framing
        if not data:
            super().data_received(data)
        elif framing is None or framing.complete:
            self.close()
        else:
            self._take(framing, data)

    def pause_reading(self) -> None:
        """Do not blame the server for what is not read."""
        self._silent_at = None
        super().pause_reading()

    def resume_reading(self, *args: Any, **options: Any) -> None:
        """Read again: the server has its full time."""
        super().resume_reading(*args, **options)
        if self._framing is not None and not self._framing.complete:
            self._heard()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave no timer behind."""
        super().connection_lost(exc)
        self._end_timer()

    def _end_timer(self) -> None:
        self._silent_at = None
        if self._silence_timer is not None:
            self._silence_timer.cancel()

    def _heard(self) -> None:
        if self.transport is None:
            return
        self._silent_at = self._loop.time() + self._timeout
        if self._silence_timer is None:
            self._silence_timer = self._loop.call_at(self._silent_at, self._look_for_silence)

    def _look_for_silence(self) -> None:
        self._silence_timer = None
        if self._silent_at is None:
            return
        if self._loop.time() < self._silent_at:
            self._silence_timer = self._loop.call_at(self._silent_at, self._look_for_silence)
        else:
            # aiohttp's own timer raises the error in whatever reads, at once.
            self.read_timeout = _AT_ONCE
            self.start_timeout()

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
        # First, too: aiohttp may pause.
        if not framing.complete:
            self._heard()
        elif self._opens_tunnel:
            # For the connection through it, there is another protocol.
            self._end_timer()
        else:
            self._silent_at = None
        if passed:
            super().data_received(passed)


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
            if not (isinstance(connection.protocol, CheckedProtocol) and connection.protocol.has_input()):
                return connection
            connection.close()
