"""Airflow connections in the triggerer: read once for all waits, and again when polls fail."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Self, cast

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.compat.sdk import read_connection
from airflow_provider_oceanbase.transport.known_connection import KnownConnection, run_steps_async
from airflow_provider_oceanbase.transport.repeating import is_repeatable, retrying_async
from airflow_provider_oceanbase.transport.shared_poll import SharedPoll, join

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Coroutine

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, T
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.transport.known_connection import Steps

#: A secrets backend that takes longer counts as one that does not answer.
READ_SECONDS = 30.0

#: By event loop and connection ID: what the waits of the loop know of the connection.
_connections: dict[tuple[asyncio.AbstractEventLoop, str], SharedConnection] = {}
#: Readings in progress: the event loop itself keeps no reference to a task.
_readings: set[asyncio.Task[None]] = set()


class SharedConnection:
    """A connection as all waits of an event loop know it.

    :param conn_id: ID of a connection of type ``oceanbase``
    """

    __slots__ = ("_reading", "known", "users")

    def __init__(self, conn_id: str) -> None:
        self.known = KnownConnection(conn_id)
        self.users = 0
        self._reading: asyncio.Task[None] | None = None

    async def read(self, since: float) -> None:
        """Read the connection, unless another wait has done so since then, or does so now."""
        known = self.known
        while known.read_at < since:
            if self._reading is None:
                # A task of its own: before Airflow 3.2 the triggerer cannot bear that a reading is cancelled.
                self._reading = asyncio.create_task(self._read())
                _readings.add(self._reading)
                self._reading.add_done_callback(_readings.discard)
            done, _ = await asyncio.wait([self._reading], timeout=READ_SECONDS)
            if not done:
                with known.reading():
                    raise TimeoutError

    async def _read(self) -> None:
        try:
            with self.known.reading():
                self.known.take(*await read_connection(self.known.conn_id))
        finally:
            self._reading = None


class TriggerConnection:
    """The connection as it is now, with its shared client, for a trigger that sends a query again and again.

    Use it with ``async with``.

    :param conn_id: ID of a connection of type ``oceanbase``
    :param log: where to warn of an unencrypted connection; None: a task has warned already
    :param is_final: whether an error would end the wait; default: none does, as in a watch
    """

    # A wait keeps one for hours.
    __slots__ = (
        "_conn_id",
        "_is_final",
        "_joined_with",
        "_log",
        "_max_age",
        "_poll",
        "_query",
        "_shared",
    )

    def __init__(
        self,
        conn_id: str,
        log: logging.Logger | AirflowLogger | None = None,
        *,
        is_final: Callable[[OceanBaseCloudError], bool] = lambda _: False,
    ) -> None:
        self._conn_id = conn_id
        self._log = log
        self._is_final = is_final
        self._shared: SharedConnection | None = None
        self._poll: SharedPoll[Any] | None = None
        #: The query that the poll was joined with.
        self._joined_with: Query[Any] | None = None
        #: What is fetched now.
        self._query: Query[Any]
        self._max_age: float | None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.users -= 1
            if shared.users == 0:
                del _connections[asyncio.get_running_loop(), self._conn_id]
        poll, self._poll = self._poll, None
        if poll is not None:
            await poll.leave()

    @property
    def age(self) -> float:
        """Seconds since the last answer that several waits share, 0 if none is shared."""
        return 0.0 if self._poll is None else self._poll.age

    @property
    def endpoint(self) -> Endpoint:
        """Where the last answer came from; there must be one."""
        if self._poll is None:
            raise RuntimeError("nothing was fetched yet")
        return self._poll.client.endpoint

    @property
    def longest(self) -> float:
        """Seconds after which :meth:`fetch` ends by itself: it may read and send twice."""
        endpoint = self._connection().known.endpoint
        if endpoint is None:
            # Its timeout is not known yet.
            return math.inf
        return 2 * (2 * READ_SECONDS + (1 + protocol.BODY_TIMEOUTS) * endpoint.timeout)

    def fetch(
        self,
        query: Query[T],
        *,
        max_age: float | None = 0.0,
        read_age: float = 0.0,
        retries: logging.Logger | AirflowLogger | None = None,
    ) -> Coroutine[Any, Any, Answer[T]]:
        """Send a query, one at a time, and await the answer; if that fails, look for a changed connection.

        :param max_age: see :meth:`SharedPoll.fetch`
        :param read_age: age in seconds up to which another wait's reading of the connection will do
        :param retries: where to log retries of transient failures, for the first poll of a task; None: no
            failure is retried
        :raises OceanBaseCloudError: the failure, by its subclass
        """
        shared = self._connection()
        self._query, self._max_age = query, max_age
        # Few objects for each poll: in flight, they are what the garbage collector finds to do.
        steps: Steps[T] = shared.known.polling(
            recent=time.monotonic() - read_age, is_final=self._is_final, confirm=not retries
        )
        if retries:
            return self._fetch_first(shared, steps, retries)
        return run_steps_async(steps, self._send, shared.read)

    async def _fetch_first(
        self, shared: SharedConnection, steps: Steps[T], retries: logging.Logger | AirflowLogger
    ) -> Answer[T]:
        await _find(shared, retries)

        # Its library awaits nothing else than what such a function returns.
        @retrying_async(is_repeatable, retries).wraps
        async def send(endpoint: Endpoint) -> Answer[Any]:
            return await self._send(endpoint)

        return await run_steps_async(steps, send, shared.read)

    def _send(self, endpoint: Endpoint) -> Awaitable[Answer[Any]]:
        max_age, poll, query = self._max_age, self._poll, self._query
        if max_age is not None:
            # After a failure, the answer to another wait says nothing new.
            self._max_age = 0.0
        if poll is None or self._joined_with is not query or poll.client.endpoint != endpoint:
            return self._join_and_send(endpoint, query, max_age)
        return poll.fetch(max_age=max_age)

    async def _join_and_send(
        self, endpoint: Endpoint, query: Query[Any], max_age: float | None
    ) -> Answer[Any]:
        poll = await self._join(endpoint, query)
        return await poll.fetch(max_age=max_age)

    def _connection(self) -> SharedConnection:
        shared = self._shared
        if shared is None:
            # Not before the first poll, so that many waits do not all read their connections at once.
            key = asyncio.get_running_loop(), self._conn_id
            shared = self._shared = _connections.setdefault(key, SharedConnection(self._conn_id))
            shared.users += 1
        return shared

    async def _join(self, endpoint: Endpoint, query: Query[Any]) -> SharedPoll[Any]:
        poll = join(endpoint, query)
        former, self._poll, self._joined_with = self._poll, poll, query
        if self._log and endpoint.warning and (former is None or former.client.endpoint != endpoint):
            self._log.warning("%s", endpoint.warning)
        if former is not None:
            # Only now: if nothing has changed, it is the same poll, and its client stays open.
            await former.leave()
        return poll


async def _find(shared: SharedConnection, log: logging.Logger | AirflowLogger) -> None:
    """Read a connection if no wait has; look for it for a while, if what stores it may be down."""
    known = shared.known

    async def find() -> None:
        if known.endpoint is None:
            await shared.read(time.monotonic())
        if known.endpoint is None:
            raise cast("OceanBaseCloudError", known.failure())

    await retrying_async(lambda _: known.may_be_away, log)(find)
