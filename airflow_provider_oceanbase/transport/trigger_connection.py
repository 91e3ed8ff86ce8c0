"""Airflow connections in the triggerer: read once for all waits, and again when polls fail."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Self, cast

from airflow_provider_oceanbase.compat.sdk import read_connection
from airflow_provider_oceanbase.transport.known_connection import KnownConnection, run_steps_async
from airflow_provider_oceanbase.transport.repeating import is_repeatable, retrying_async
from airflow_provider_oceanbase.transport.shared_poll import SharedPoll, join

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

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
    __slots__ = ("_conn_id", "_is_final", "_log", "_poll", "_query", "_shared")

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
        self._query: Query[Any] | None = None

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

    async def fetch(
        self,
        query: Query[T],
        *,
        max_age: float | None = 0.0,
        read_age: float = 0.0,
        retries: logging.Logger | AirflowLogger | None = None,
    ) -> Answer[T]:
        """Send a query and return the answer; if that fails, look whether the connection was changed.

        :param max_age: see :meth:`SharedPoll.fetch`
        :param read_age: age in seconds up to which another wait's reading of the connection will do
        :param retries: where to log retries of transient failures, for the first poll of a task; None: no
            failure is retried
        :raises OceanBaseCloudError: the failure, by its subclass
        """
        # Not before the first poll, so that many waits do not all read their connections at once.
        shared = self._shared = self._shared or self._joined()
        if retries:
            await _find(shared, retries)

        # After a failure, the answer to another wait says nothing new.
        ages = chain((max_age,), repeat(None if max_age is None else 0.0))

        async def send(endpoint: Endpoint) -> Answer[T]:
            poll: SharedPoll[T] | None = self._poll
            if poll is None or self._query is not query or poll.client.endpoint != endpoint:
                poll = await self._join(endpoint, query)
            return await poll.fetch(max_age=next(ages))

        send_once_or_more = retrying_async(is_repeatable, retries).wraps(send) if retries else send
        recent = time.monotonic() - read_age
        steps: Steps[T] = shared.known.polling(recent=recent, is_final=self._is_final, confirm=not retries)
        return await run_steps_async(steps, send_once_or_more, shared.read)

    def _joined(self) -> SharedConnection:
        key = asyncio.get_running_loop(), self._conn_id
        shared = _connections.setdefault(key, SharedConnection(self._conn_id))
        shared.users += 1
        return shared

    async def _join(self, endpoint: Endpoint, query: Query[T]) -> SharedPoll[T]:
        poll = join(endpoint, query)
        former, self._poll, self._query = self._poll, poll, query
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
