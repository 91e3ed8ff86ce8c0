"""The OceanBase Cloud API for triggers, on aiohttp: an event loop's waits on one endpoint share a client."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, Self, cast

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from yarl import URL

from airflow_provider_oceanbase import api
from airflow_provider_oceanbase.api import Request, T
from airflow_provider_oceanbase.body import Body
from airflow_provider_oceanbase.conversation import Question, converse_async
from airflow_provider_oceanbase.digest import digest_challenge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Hashable

    from airflow_provider_oceanbase.api import Answer
    from airflow_provider_oceanbase.endpoint import Endpoint

#: Requests under way at once: enough while polls per second times seconds per answer stay below it.
LANES = 32


def shared_client(endpoint: Endpoint) -> CloudClient:
    """Return this event loop's client for an endpoint; it opens with its first user, closes with its last.

    Use it by ``async with``, or by ``acquire()`` at once and ``release()`` later.
    """
    key = (asyncio.get_running_loop(), endpoint)
    if key not in _clients:
        _clients[key] = CloudClient(endpoint)
    return _clients[key]


class CloudClient:
    """Asks OceanBase Cloud; share it by :func:`shared_client`.

    :param endpoint: where, and with which AccessKey
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._users = 0
        self._opening: asyncio.Task[aiohttp.ClientSession] | None = None
        self._polls: dict[Hashable, Poll[Any]] = {}
        # Last in, first out: a few waits need a few lanes, and as few challenges.
        self._lanes: asyncio.LifoQueue[_Lane] = asyncio.LifoQueue()
        for _ in range(LANES):
            self._lanes.put_nowait(_Lane(endpoint))

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

    def join(self, question: Question[T]) -> Poll[T]:
        """Return the poll of a wait that asks a question again and again; leave it by ``leave()``."""
        poll = self._polls.setdefault(question.key, Poll(self, question))
        poll.users += 1
        return poll

    def drop(self, poll: Poll[Any]) -> None:
        """Forget a poll that nobody uses any more."""
        del self._polls[poll.question.key]

    def ask(self, question: Question[T]) -> Coroutine[Any, Any, Answer[T]]:
        """Ask once; what is returned gives the answer. A wait is its own retry.

        :raises OceanBaseCloudError: what failed
        """
        # One request is most of what is asked, and needs no conversation.
        return self._send(question) if isinstance(question, Request) else converse_async(question, self._send)

    async def _send(self, request: Request[T]) -> Answer[T]:
        request_id = api.new_request_id()
        try:
            session = await self._session()
            lane = await self._free_lane()
            try:
                status, headers, body = await self._exchange(session, lane, request, request_id)
            finally:
                self._lanes.put_nowait(lane)
        except (aiohttp.ClientError, OSError) as error:
            raise api.unreachable(request, request_id, self.endpoint, error) from None
        return api.read_answer(request, request_id, status, headers, body)

    async def _exchange(
        self, session: aiohttp.ClientSession, lane: _Lane, request: Request[Any], request_id: str
    ) -> tuple[int, dict[str, str], bytes]:
        async with session.get(
            # As it is: another encoding would be another path to the digest.
            URL(request.url(self.endpoint, request_id), encoded=True),
            middlewares=(lane,),
            allow_redirects=False,
            proxy=self.endpoint.proxy,
        ) as response:
            if response.status == 401:
                body = lane.refusal
            elif (complete := await _read(response, api.MAX_BODY_BYTES)) is not None:
                body = complete
            else:
                raise api.too_large(request, request_id)
            headers = {name: value for name in api.HEADERS_READ if (value := _header(response, name))}
            return response.status, headers, body

    async def _free_lane(self) -> _Lane:
        if not self._lanes.empty():
            return self._lanes.get_nowait()
        # So that nobody queues for long behind a host that does not answer.
        async with asyncio.timeout(self.endpoint.timeout):
            return await self._lanes.get()

    async def _session(self) -> aiohttp.ClientSession:
        opening = self._opening
        if opening is None or (opening.done() and opening.exception()):
            opening = self._opening = asyncio.create_task(self._open())
        # Whoever is cancelled here must not take the session from the others.
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> aiohttp.ClientSession:
        # Reading a CA bundle takes milliseconds, in which no other trigger could run.
        context = await asyncio.to_thread(_ssl_context, self.endpoint.verify)
        timeout = self.endpoint.timeout
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=LANES, ssl=context),
            timeout=aiohttp.ClientTimeout(
                total=api.BODY_TIMEOUTS * timeout, sock_connect=timeout, sock_read=timeout
            ),
            headers=api.request_headers(self.endpoint, f"aiohttp/{aiohttp.__version__}"),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Body does it, within bounds.
            auto_decompress=False,
            # netrc and proxy of the environment: Endpoint has settled what counts.
            trust_env=False,
        )


_clients: dict[tuple[asyncio.AbstractEventLoop, Endpoint], CloudClient] = {}


class Poll(Generic[T]):
    """A question that waits ask again and again. While there are several, they share its answers.

    :meth:`CloudClient.join` makes it.
    """

    # A wait keeps one for hours.
    __slots__ = ("_answered_at", "_client", "_task", "question", "users")

    def __init__(self, client: CloudClient, question: Question[T]) -> None:
        self._client = client
        self.question = question
        self.users = 0
        self._task: asyncio.Task[Answer[T]] | None = None
        self._answered_at = 0.0

    @property
    def age(self) -> float:
        """Seconds since the last shared answer came, 0 where none is shared."""
        return 0.0 if self._task is None else time.monotonic() - self._answered_at

    def ask(self, *, max_age: float = 0.0) -> Awaitable[Answer[T]]:
        """Ask once; what is returned gives the answer.

        :param max_age: how old an answer to another wait may be to serve for this one too, in seconds; one
            that is under way serves in any case
        :raises OceanBaseCloudError: what failed
        """
        if self.users == 1:
            return self._client.ask(self.question)
        if self._task is None or (self._task.done() and self.age >= max_age):
            self._task = asyncio.create_task(self._answer())
            self._task.add_done_callback(_heard)
        # Whoever is cancelled here must not take the answer from the others.
        return asyncio.shield(self._task)

    def leave(self) -> None:
        """Count one wait less."""
        self.users -= 1
        if self.users > 1:
            return
        # Nobody is left to share with, and with thousands of tenants an answer takes megabytes.
        task, self._task = self._task, None
        if not self.users:
            self._client.drop(self)
            if task is not None:
                task.cancel()

    async def _answer(self) -> Answer[T]:
        try:
            return await self._client.ask(self.question)
        finally:
            self._answered_at = time.monotonic()


def _heard(task: asyncio.Task[Any]) -> None:
    # Or asyncio complains of an error that nobody was left to hear.
    if not task.cancelled():
        task.exception()


class _Digest(aiohttp.DigestAuthMiddleware):
    """aiohttp's digest authentication, for the path as it is sent: before 3.14 it signs the decoded one."""

    async def _encode(self, method: str, url: URL, body: Any) -> str:
        header = await super()._encode(method, url, body)
        if f'uri="{url.raw_path_qs}"' in header:
            return header
        escaped = URL(str(url).replace("%", "%25"), encoded=True)
        return await super()._encode(method, escaped, body)


class _Lane:
    """Digest authentication for one request at a time.

    Servers count a nonce's uses: requests that overtake each other with the same nonce are answered by 401,
    right key or not. So a nonce stays in its lane.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._digest = _Digest(endpoint.access_key_id, endpoint.access_key_secret)
        #: The body of the last 401, which was read to free the connection for the answer to the challenge.
        self.refusal = b""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        responses: list[aiohttp.ClientResponse] = []

        async def send(request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
            response = await handler(request)
            responses.append(response)
            if response.status != 401:
                return response
            complete = await _read(response, api.MAX_CHALLENGE_BODY_BYTES)
            self.refusal = complete or b""
            challenge = digest_challenge(_header(response, "WWW-Authenticate")) or ""
            # All that the middleware looks at; it would read only the first of several challenges.
            view = SimpleNamespace(status=401, url=response.url, headers={"www-authenticate": challenge})
            return cast("aiohttp.ClientResponse", view)

        await self._digest(request, send)
        return responses[-1]


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return a whole body, None where it is longer than the limit: then the connection is closed."""
    body = Body(response.headers.get("Content-Encoding"), limit)
    async for chunk in response.content.iter_any():
        if not body.fits(chunk):
            response.close()
            return None
    return body.complete()


def _header(response: aiohttp.ClientResponse, name: str) -> str:
    return ", ".join(response.headers.getall(name, ()))


def _ssl_context(verify: bool | str) -> ssl.SSLContext | bool:
    if verify is False:
        return False
    # The bundle that requests takes, so that poke mode and deferrable mode trust the same.
    path = Path(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
    if path.is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
