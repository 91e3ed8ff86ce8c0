"""Requests from triggers: those of one event loop and endpoint share an aiohttp session, and answers."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from yarl import URL

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.query import Query, Request, T, new_request_id, run_exchange_async
from airflow_provider_oceanbase.transport.lanes import Lane, joined_header, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Hashable

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer

#: Requests in flight at once: enough while polls per second times seconds per answer stay below it.
LANES = 32


def shared_client(endpoint: Endpoint) -> AiohttpClient:
    """Return this event loop's client for an endpoint; it opens with its first user and closes with its last.

    Use it with ``async with``, or call ``acquire()`` at once and ``release()`` later.
    """
    key = (asyncio.get_running_loop(), endpoint)
    if key not in _clients:
        _clients[key] = AiohttpClient(endpoint)
    return _clients[key]


class AiohttpClient:
    """Sends queries; share it by :func:`shared_client`.

    :param endpoint: where, and with which AccessKey
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._users = 0
        self._opening: asyncio.Task[aiohttp.ClientSession] | None = None
        self._polls: dict[Hashable, SharedPoll[Any]] = {}
        # Last in, first out: a few waits use a few lanes, and need as few challenges.
        self._lanes: asyncio.LifoQueue[Lane] = asyncio.LifoQueue()
        for _ in range(LANES):
            self._lanes.put_nowait(Lane(endpoint))

    async def __aenter__(self) -> Self:
        return self.acquire()

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    def acquire(self) -> Self:
        """Count one more user."""
        self._users += 1
        return self

    async def release(self) -> None:
        """Count one user less, and close after the last."""
        self._users -= 1
        if self._users:
            return
        _clients.pop((asyncio.get_running_loop(), self.endpoint), None)
        if self._opening is not None:
            (session,) = await asyncio.gather(self._opening, return_exceptions=True)
            if isinstance(session, aiohttp.ClientSession):
                await session.close()

    def join(self, query: Query[T]) -> SharedPoll[T]:
        """Return the poll of all waits with this query; call ``leave()`` at the end."""
        poll = self._polls.setdefault(query.key, SharedPoll(self, query))
        poll.users += 1
        return poll

    def drop(self, poll: SharedPoll[Any]) -> None:
        """Forget a poll without users."""
        del self._polls[poll.query.key]

    def fetch(self, query: Query[T]) -> Coroutine[Any, Any, Answer[T]]:
        """Send a query once; await the answer. A wait is its own retry.

        :raises OceanBaseCloudError: what failed
        """
        # Most queries are one request, which needs no exchange.
        return self._send(query) if isinstance(query, Request) else run_exchange_async(query, self._send)

    async def _send(self, request: Request[T]) -> Answer[T]:
        request_id = new_request_id()
        try:
            session = await self._session()
            lane = await self._free_lane()
            try:
                status, headers, body = await self._send_once(session, lane, request, request_id)
            finally:
                self._lanes.put_nowait(lane)
        except (aiohttp.ClientError, OSError) as error:
            raise protocol.unreachable(request, request_id, self.endpoint, error) from None
        return protocol.read_response(request, request_id, status, headers, body)

    async def _send_once(
        self, session: aiohttp.ClientSession, lane: Lane, request: Request[Any], request_id: str
    ) -> tuple[int, dict[str, str], bytes]:
        async with session.get(
            # Unchanged: digest signs the path as it is encoded.
            URL(request.url(self.endpoint, request_id), encoded=True),
            middlewares=(lane,),
            allow_redirects=False,
            proxy=self.endpoint.proxy,
        ) as response:
            if response.status == 401:
                body = lane.refusal
            elif (complete := await read_body(response, protocol.MAX_BODY_BYTES)) is not None:
                body = complete
            else:
                raise protocol.too_large(request, request_id)
            headers = {
                name: value for name in protocol.HEADERS_READ if (value := joined_header(response, name))
            }
            return response.status, headers, body

    async def _free_lane(self) -> Lane:
        if not self._lanes.empty():
            return self._lanes.get_nowait()
        # No request may queue for long behind a host that does not answer.
        async with asyncio.timeout(self.endpoint.timeout):
            return await self._lanes.get()

    async def _session(self) -> aiohttp.ClientSession:
        opening = self._opening
        if opening is None or (opening.done() and opening.exception()):
            opening = self._opening = asyncio.create_task(self._open())
        # A cancelled user must not take the session from the others.
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> aiohttp.ClientSession:
        # Reading a CA bundle takes milliseconds in which no other trigger could run.
        context = await asyncio.to_thread(_ssl_context, self.endpoint.verify)
        timeout = self.endpoint.timeout
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=LANES, ssl=context),
            timeout=aiohttp.ClientTimeout(
                total=protocol.BODY_TIMEOUTS * timeout, sock_connect=timeout, sock_read=timeout
            ),
            headers=protocol.request_headers(self.endpoint, f"aiohttp/{aiohttp.__version__}"),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Body unpacks, within bounds.
            auto_decompress=False,
            # netrc and proxy of the environment: Endpoint has decided what counts.
            trust_env=False,
        )


_clients: dict[tuple[asyncio.AbstractEventLoop, Endpoint], AiohttpClient] = {}


class SharedPoll(Generic[T]):
    """A query that waits send again and again. While there are several waits, they share its answers.

    :meth:`AiohttpClient.join` makes it.
    """

    # A wait keeps one for hours.
    __slots__ = ("_answered_at", "_client", "_task", "query", "users")

    def __init__(self, client: AiohttpClient, query: Query[T]) -> None:
        self._client = client
        self.query = query
        self.users = 0
        self._task: asyncio.Task[Answer[T]] | None = None
        self._answered_at = 0.0

    @property
    def age(self) -> float:
        """Seconds since the last shared answer, 0 if none is shared."""
        return 0.0 if self._task is None else time.monotonic() - self._answered_at

    def fetch(self, *, max_age: float = 0.0) -> Awaitable[Answer[T]]:
        """Send the query once, or share an answer; await it.

        :param max_age: age in seconds up to which the answer to another wait will do; one that is in flight
            always does
        :raises OceanBaseCloudError: what failed
        """
        if self.users == 1:
            return self._client.fetch(self.query)
        if self._task is None or (self._task.done() and self.age >= max_age):
            self._task = asyncio.create_task(self._answer())
            self._task.add_done_callback(_retrieve_exception)
        # A cancelled wait must not take the answer from the others.
        return asyncio.shield(self._task)

    def leave(self) -> None:
        """Count one wait less."""
        self.users -= 1
        if self.users > 1:
            return
        # No other wait is left to share with, and with thousands of tenants an answer takes megabytes.
        task, self._task = self._task, None
        if not self.users:
            self._client.drop(self)
            if task is not None:
                task.cancel()

    async def _answer(self) -> Answer[T]:
        try:
            return await self._client.fetch(self.query)
        finally:
            self._answered_at = time.monotonic()


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    # asyncio logs an error that no wait was left to receive.
    if not task.cancelled():
        task.exception()


def _ssl_context(verify: bool | str) -> ssl.SSLContext | bool:
    if verify is False:
        return False
    # The bundle that requests uses, so that poke mode and deferrable mode trust the same.
    path = Path(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
    if path.is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
