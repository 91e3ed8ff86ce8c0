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

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave no timer behind."""
        super().connection_lost(exc)
        if self._silence_timer is not None:
            self._silence_timer.cancel()

    # The two of aiohttp that start and end its timer of reading, private and tested with each supported
    # version. Theirs make a timer for each request and each read, and cancel it: thousands of dead timers in
    # the event loop, which the garbage collector keeps for old. Here the one that runs looks again.
    def _reschedule_timeout(self) -> None:
        timeout = self.read_timeout
        if not timeout:
            self._silent_at = None
            return
        self._silent_at = self._loop.time() + timeout
        if self._silence_timer is None:
            self._silence_timer = self._loop.call_at(self._silent_at, self._look_for_silence)

    def _drop_timeout(self) -> None:
        self._silent_at = None

    def _look_for_silence(self) -> None:
        self._silence_timer = None
        if self._silent_at is None:
            return
        if self._loop.time() < self._silent_at:
            self._silence_timer = self._loop.call_at(self._silent_at, self._look_for_silence)
        else:
            self._on_read_timeout()

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
            if not (isinstance(connection.protocol, CheckedProtocol) and connection.protocol.has_input()):
                return connection
            connection.close()
