"""Digest authentication for aiohttp, in lanes of one request at a time."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.transport.cookies import cookie_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint


class Lane:
    """Authenticates one request at a time.

    Servers count the uses of a nonce: requests with the same nonce that overtake each other are answered by
    401, whatever the key. So each lane has nonces of its own.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._start_over()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and repeat it once if it is challenged: a middleware of aiohttp."""
        response: aiohttp.ClientResponse | None = None
        try:
            # Not around aiohttp: it repeats a request whose connection breaks: another use of the nonce.
            self._sign(request)
            response = await handler(request)
            if response.status == 401 and self._digest.challenged(
                joined_header(response, "WWW-Authenticate")
            ):
                await _discard_body(response)
                # A complete body has given its connection back already; any other closes it.
                response.close()
                self._sign(request)
                cookies = cookie_header(str(request.url), response.headers.getall("Set-Cookie", ()))
                if cookies is not None:
                    request.headers["Cookie"] = cookies
                response = await handler(request)
            if response.status != 401 and (info := response.headers.get("Authentication-Info")):
                self._digest.next_nonce(info)
        except BaseException as error:
            # aiohttp closes only what a middleware returns.
            if response is not None:
                response.close()
            if isinstance(error, Exception) and not isinstance(error, aiohttp.ClientError | OSError):
                # Neither network nor server: what cannot be sent may be the answer to the last challenge.
                self._start_over()
            raise
        return response

    def _start_over(self) -> None:
        self._digest = DigestAuth(self._endpoint.access_key_id, self._endpoint.access_key_secret)

    def _sign(self, request: aiohttp.ClientRequest) -> None:
        header = self._digest.authorization(request.method, request.url.raw_path_qs)
        if header is not None:
            request.headers["Authorization"] = header


class NoFreeLaneError(Exception):
    """A request has waited in line for the whole timeout; nothing was sent."""


class Lanes:
    """All lanes of a client, and the line of requests that wait for one.

    Free lanes are used last in, first out: a few waits use a few lanes, and need as few challenges. In line,
    the first come is the first served, after those who go first.

    :param endpoint: whom the lanes authenticate to; its timeout limits the time in line, except for those who
        go first
    :param count: how many there are
    """

    def __init__(self, endpoint: Endpoint, count: int) -> None:
        self._timeout = endpoint.timeout
        self._free = [Lane(endpoint) for _ in range(count)]
        #: Who waits, and since when: the first come comes first.
        self._line: OrderedDict[asyncio.Future[Lane], float] = OrderedDict()
        #: Who goes first, likewise.
        self._front: OrderedDict[asyncio.Future[Lane], float] = OrderedDict()
        #: The limits of the requests in flight, and when each began: the oldest comes first.
        self._in_flight: dict[asyncio.Timeout, float] = {}
        #: One for all, and only while requests wait.
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _waiting(self) -> int:
        return len(self._front) + len(self._line)

    @property
    def free(self) -> int:
        """How many lanes are free."""
        return len(self._free)

    @asynccontextmanager
    async def use(self, *, goes_first: bool = False) -> AsyncIterator[Lane]:
        """Lend a lane for one request. While others wait in line, it has the timeout to complete.

        :param goes_first: whether to go to the front of the line, and to stay there for as long as it takes
        :raises NoFreeLaneError: none was free in time
        :raises TimeoutError: the request was given up for another
        """
        # Whoever gives a lane back hands it to the line: there is a free one only if nobody waits.
        lane = self._free.pop() if self._free else await self._wait(self._front if goes_first else self._line)
        # It has a timer only once it is given up.
        limit = asyncio.timeout(None)
        self._in_flight[limit] = asyncio.get_running_loop().time()
        self._watch()
        try:
            async with limit:
                yield lane
        finally:
            del self._in_flight[limit]
            self._give_back(lane)

    def _give_back(self, lane: Lane) -> None:
        while line := self._front or self._line:
            waiter, _ = line.popitem(last=False)
            if not waiter.done():
                waiter.set_result(lane)
                return
        self._free.append(lane)

    async def _wait(self, line: OrderedDict[asyncio.Future[Lane], float]) -> Lane:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Lane] = loop.create_future()
        line[waiter] = loop.time()
        self._watch()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                # It was handed over in the same moment.
                self._give_back(waiter.result())
            raise
        finally:
            line.pop(waiter, None)

    def _watch(self) -> None:
        """Set the timer to when the next request has had its time, in flight or in line."""
        since = next(iter(self._line.values()), math.inf)
        for given_up, (limit, began) in enumerate(self._in_flight.items()):
            if limit.when() is None:
                if given_up < self._waiting:
                    since = min(since, began)
                break
        if since == math.inf:
            return
        due = since + self._timeout
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        """Give up all that has had its time: in flight, as many requests as others wait."""
        self._timer = None
        overdue = asyncio.get_running_loop().time() - self._timeout
        waiting = self._waiting
        for limit, began in self._in_flight.items():
            if not waiting or began > overdue:
                break
            if limit.when() is None:
                limit.reschedule(overdue)
            waiting -= 1
        while self._line:
            waiter, since = next(iter(self._line.items()))
            if since > overdue:
                break
            del self._line[waiter]
            if not waiter.done():
                waiter.set_exception(NoFreeLaneError)
        self._watch()


async def _discard_body(response: aiohttp.ClientResponse) -> None:
    """Read a body, so that its connection can be used again; a long one is not worth it."""
    received = 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        if received > protocol.MAX_CHALLENGE_BODY_BYTES:
            return


def joined_header(response: aiohttp.ClientResponse, name: str) -> str:
    """Return a header, repeated ones joined by commas, an empty text if there is none."""
    return ", ".join(response.headers.getall(name, ()))
