"""Polls that the waits of an event loop share: one client for each endpoint, one poll for each query."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic

from airflow_provider_oceanbase.cloud.query import T
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Hashable

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query

#: By event loop and endpoint: a client, which is closed with its last poll, and its polls by the query's key.
_clients: dict[
    tuple[asyncio.AbstractEventLoop, Endpoint], tuple[AiohttpClient, dict[Hashable, SharedPoll[Any]]]
] = {}
#: Clients that are being closed: the event loop itself keeps no reference to a task.
_closing: set[asyncio.Task[None]] = set()


def join(endpoint: Endpoint, query: Query[T]) -> SharedPoll[T]:
    """Return the poll of all waits with this endpoint and query; call ``leave()`` at the end."""
    key = (asyncio.get_running_loop(), endpoint)
    client, polls = _clients.get(key) or (AiohttpClient(endpoint), {})
    poll = polls.setdefault(query.key, SharedPoll(client, query))
    # Not before: a client without polls would never be closed.
    _clients[key] = client, polls
    poll.users += 1
    return poll


class SharedPoll(Generic[T]):
    """A query that waits send again and again. While there are several waits, they share its answers.

    :func:`join` makes it.
    """

    # A wait keeps one for hours.
    __slots__ = ("_answered_at", "_task", "client", "query", "users")

    def __init__(self, client: AiohttpClient, query: Query[T]) -> None:
        self.client = client
        self.query = query
        self.users = 0
        self._task: asyncio.Task[Answer[T]] | None = None
        self._answered_at = 0.0

    @property
    def age(self) -> float:
        """Seconds since the last shared answer, 0 if none is shared."""
        return 0.0 if self._task is None else time.monotonic() - self._answered_at

    def fetch(self, *, max_age: float | None = 0.0) -> Awaitable[Answer[T]]:
        """Send the query once, or share an answer; await it.

        :param max_age: age in seconds up to which the answer to another wait will do; one that is in flight
            always does. None for the last poll of a wait: it shares nothing, and goes first in line
        :raises OceanBaseCloudError: what failed
        """
        if max_age is None:
            # What is in flight was sent too early, and may hang.
            return self.client.fetch(self.query, goes_first=True)
        if self.users == 1:
            return self.client.fetch(self.query)
        if self._task is None or (self._task.done() and self.age >= max_age):
            self._task = asyncio.create_task(self._answer())
            self._task.add_done_callback(_retrieve_exception)
        # A cancelled wait must not take the answer from the others.
        return asyncio.shield(self._task)

    async def leave(self) -> None:
        """Count one wait less; the last one closes what is open.

        If it is cancelled, it has counted, and closing goes on.
        """
        self.users -= 1
        task = self._task
        if self.users == 0:
            self._task = None
            if task is not None:
                task.cancel()
            key = (asyncio.get_running_loop(), self.client.endpoint)
            _, polls = _clients[key]
            del polls[self.query.key]
            if not polls:
                del _clients[key]
                closing = asyncio.create_task(_close(self.client, task))
                _closing.add(closing)
                closing.add_done_callback(_closing.discard)
                closing.add_done_callback(_retrieve_exception)
                await asyncio.wait([closing])
        elif task is not None and task.done():
            self._drop_unshared()

    async def _answer(self) -> Answer[T]:
        try:
            return await self.client.fetch(self.query)
        finally:
            self._answered_at = time.monotonic()
            self._drop_unshared()

    def _drop_unshared(self) -> None:
        # No other wait is left to share with, and with thousands of tenants an answer takes megabytes.
        if self.users == 1:
            self._task = None


async def _close(client: AiohttpClient, task: asyncio.Task[Any] | None) -> None:
    """Close a client after its last request, which has been cancelled."""
    try:
        if task is not None and not task.done():
            await asyncio.wait([task])
    finally:
        # Even at the end of the event loop, which cancels all tasks.
        await client.aclose()


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    # asyncio logs an error that no wait was left to receive.
    if not task.cancelled():
        task.exception()
