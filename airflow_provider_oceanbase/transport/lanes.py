"""Digest authentication for aiohttp, in lanes of one request at a time."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.transport.cookies import cookie_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint

#: Who waits for a lane, and since when: the first come comes first.
_Line: TypeAlias = "OrderedDict[asyncio.Future[Lane], float]"


class Lane:
    """Authenticates one request at a time.

    Servers count the uses of a nonce: requests with the same nonce that overtake each other are answered by
    401, whatever the key. So each lane has nonces of its own.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._digest = DigestAuth(endpoint.access_key_id, endpoint.access_key_secret)

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
            self._digest.answered(response.status, response.headers.get("Authentication-Info", ""))
        except BaseException:
            # aiohttp closes only what a middleware returns.
            if response is not None:
                response.close()
            raise
        return response

    def _sign(self, request: aiohttp.ClientRequest) -> None:
        header = self._digest.authorization(request.method, request.url.raw_path_qs)
        if header is not None:
            request.headers["Authorization"] = header


class NoFreeLaneError(Exception):
    """A request has waited in line for the whole timeout; nothing was sent."""


class Lanes:
    """All lanes of a client, and the lines of requests that wait for one.

    Free lanes are used last in, first out: a few waits use a few lanes, and need as few challenges. In line,
    the first come is the first served, after those who go first. Doubtful requests have a line of their own
    and a quarter of the lanes: however many of them hang, there are lanes for the others.

    :param endpoint: whom the lanes authenticate to; its timeout limits the time in line, except for those who
        go first
    :param count: how many there are
    """

    def __init__(self, endpoint: Endpoint, count: int) -> None:
        self._timeout = endpoint.timeout
        self._free = [Lane(endpoint) for _ in range(count)]
        self._front: _Line = OrderedDict()
        self._line: _Line = OrderedDict()
        self._doubtful_line: _Line = OrderedDict()
        #: How many more doubtful requests may have a lane.
        self._for_doubtful = max(1, count // 4)
        #: The limits of the requests in flight, and when each began: the oldest comes first.
        self._in_flight: dict[asyncio.Timeout, float] = {}
        #: One for all, and only while requests wait.
        self._timer: asyncio.TimerHandle | None = None

    @property
    def free(self) -> int:
        """How many lanes are free."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """How many requests wait in line."""
        return len(self._front) + len(self._line) + len(self._doubtful_line)

    @asynccontextmanager
    async def use(self, *, doubtful: bool = False, goes_first: bool = False) -> AsyncIterator[Lane]:
        """Lend a lane for one request. While others wait in line, it has the timeout to complete.

        :param doubtful: the last request of this kind was not answered in time
        :param goes_first: whether to go to the front of the line, doubtful or not, and to stay there for as
            long as it takes
        :raises NoFreeLaneError: none was free in time
        :raises TimeoutError: the request was given up for another
        """
        doubtful = doubtful and not goes_first
        lane = await self._take(doubtful, goes_first)
        # It has a timer only once it is given up.
        limit = asyncio.timeout(None)
        self._in_flight[limit] = asyncio.get_running_loop().time()
        self._watch()
        try:
            async with limit:
                yield lane
        finally:
            del self._in_flight[limit]
            self._give_back(lane, doubtful)

    async def _take(self, doubtful: bool, goes_first: bool) -> Lane:
        # Whoever gives a lane back hands it to a line: there is a free one only for whom nobody waits.
        if self._free and not doubtful:
            return self._free.pop()
        if self._free and self._for_doubtful:
            self._for_doubtful -= 1
            return self._free.pop()
        line = self._doubtful_line if doubtful else self._front if goes_first else self._line
        return await self._wait(line)

    def _give_back(self, lane: Lane, doubtful: bool) -> None:
        self._free.append(lane)
        self._for_doubtful += doubtful
        while self._free and (line := self._next_line()) is not None:
            waiter, _ = line.popitem(last=False)
            if not waiter.done():
                self._for_doubtful -= line is self._doubtful_line
                waiter.set_result(self._free.pop())

    def _next_line(self) -> _Line | None:
        """Return the line whose first request is next, None if there is nobody to serve."""
        if self._front:
            return self._front
        lines = [self._line, self._doubtful_line] if self._for_doubtful else [self._line]
        return min(filter(None, lines), key=_waits_since, default=None)

    async def _wait(self, line: _Line) -> Lane:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Lane] = loop.create_future()
        line[waiter] = loop.time()
        self._watch()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                # It was handed over in the same moment.
                self._give_back(waiter.result(), line is self._doubtful_line)
            raise
        finally:
            line.pop(waiter, None)

    def _watch(self) -> None:
        """Set the timer to when the next request has had its time, in flight or in line."""
        if not self.waiting:
            return
        since = min(map(_waits_since, filter(None, (self._line, self._doubtful_line))), default=math.inf)
        for given_up, (limit, began) in enumerate(self._in_flight.items()):
            if limit.when() is None:
                if given_up < self.waiting:
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
        waiting = self.waiting
        for limit, began in self._in_flight.items():
            if not waiting or began > overdue:
                break
            if limit.when() is None:
                limit.reschedule(overdue)
            waiting -= 1
        for line in (self._line, self._doubtful_line):
            while line and _waits_since(line) <= overdue:
                waiter, _ = line.popitem(last=False)
                if not waiter.done():
                    waiter.set_exception(NoFreeLaneError)
        self._watch()


def _waits_since(line: _Line) -> float:
    return next(iter(line.values()))


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
