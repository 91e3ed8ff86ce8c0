"""Digest authentication for aiohttp, in lanes of one request at a time."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.transport.cookies import cookie_header

if TYPE_CHECKING:
    from types import TracebackType

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
            # Cancelled, too: aiohttp closes only what a middleware returns.
            if response is not None:
                response.close()
            raise
        return response

    def _sign(self, request: aiohttp.ClientRequest) -> None:
        header = self._digest.authorization(request.method, request.url.raw_path_qs)
        if header is not None:
            request.headers["Authorization"] = header


class _Use:
    """A request in its lane. (A generator in its place would cost each poll as much as its digest does.)"""

    __slots__ = ("_doubtful", "_goes_first", "_lane", "_lanes", "_limit")

    def __init__(self, lanes: Lanes, doubtful: bool, goes_first: bool) -> None:
        self._lanes = lanes
        self._doubtful = doubtful
        self._goes_first = goes_first

    async def __aenter__(self) -> Lane:
        lane = self._lanes.take_free(self._doubtful)
        if lane is None:
            lane = await self._lanes.wait_in_line(self._doubtful, self._goes_first)
        self._lane, self._limit = lane, self._lanes.begin()
        await self._limit.__aenter__()
        return lane

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, traceback)
        finally:
            self._lanes.end(self._lane, self._limit, self._doubtful)


class NoFreeLaneError(Exception):
    """A request has waited in line for the whole timeout; nothing was sent."""


class Lanes:
    """All lanes of a client, and the lines of requests that wait for one.

    Free lanes are used last in, first out: a few waits use a few lanes, and need as few challenges. In line,
    the first come is the first served, after those who go first. Doubtful requests have a line of their own
    and a quarter of the lanes: however many of them hang, there are lanes for the others.

    :param endpoint: whom the lanes authenticate to; its timeout limits the time in line, except for those who
        go first, and the time of a request
    :param count: how many there are
    """

    def __init__(self, endpoint: Endpoint, count: int) -> None:
        self._timeout = endpoint.timeout
        self._longest = protocol.BODY_TIMEOUTS * endpoint.timeout
        self._free = [Lane(endpoint) for _ in range(count)]
        self._front: _Line = OrderedDict()
        self._line: _Line = OrderedDict()
        self._doubtful_line: _Line = OrderedDict()
        #: How many more doubtful requests may have a lane.
        self._for_doubtful = max(1, count // 4)
        #: The limits of the requests in flight, and when each began: the oldest comes first.
        self._in_flight: dict[asyncio.Timeout, float] = {}
        #: One for all: a timer for each request would hardly ever fire.
        self._timer: asyncio.TimerHandle | None = None

    @property
    def free(self) -> int:
        """How many lanes are free."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """How many requests wait in line."""
        return len(self._front) + len(self._line) + len(self._doubtful_line)

    def use(self, *, doubtful: bool = False, goes_first: bool = False) -> _Use:
        """Lend a lane for one request: ``async with lanes.use() as lane``.

        A request may take ten timeouts, and one while others wait in line.

        :param doubtful: the last request of this kind was not answered in time
        :param goes_first: whether to go to the front of the line, doubtful or not, and to stay there for as
            long as it takes
        :raises NoFreeLaneError: none was free in time
        :raises TimeoutError: the request took too long, or was given up for another
        """
        return _Use(self, doubtful and not goes_first, goes_first)

    def close(self) -> None:
        """Leave no timer behind: nothing is sent any more."""
        if self._timer is not None:
            self._timer.cancel()

    def take_free(self, doubtful: bool) -> Lane | None:
        """Take a lane, None if there is none free."""
        # Whoever gives a lane back hands it to a line: there is a free one only for whom nobody waits.
        if not self._free or (doubtful and not self._for_doubtful):
            return None
        self._for_doubtful -= doubtful
        return self._free.pop()

    async def wait_in_line(self, doubtful: bool, goes_first: bool) -> Lane:
        """Wait for a lane."""
        line = self._doubtful_line if doubtful else self._front if goes_first else self._line
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Lane] = loop.create_future()
        line[waiter] = loop.time()
        self._watch()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                # Cancelled, and it was handed over in the same moment.
                self._give_back(waiter.result(), doubtful)
            raise
        finally:
            line.pop(waiter, None)

    def begin(self) -> asyncio.Timeout:
        """Begin a request; return its limit, which has a timer once it is given up."""
        limit = asyncio.timeout(None)
        self._in_flight[limit] = asyncio.get_running_loop().time()
        self._watch()
        return limit

    def end(self, lane: Lane, limit: asyncio.Timeout, doubtful: bool) -> None:
        """Take a lane back."""
        del self._in_flight[limit]
        self._give_back(lane, doubtful)

    def _give_back(self, lane: Lane, doubtful: bool) -> None:
        self._free.append(lane)
        self._for_doubtful += doubtful
        while self.waiting and self._free and (line := self._next_line()) is not None:
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

    def _watch(self) -> None:
        """Set the timer to when the next request has had its time, in flight or in line."""
        if self._timer is not None and not self.waiting:
            # It comes in time: the oldest request was the first to begin.
            return
        due = self._next_due()
        if due == math.inf:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _next_due(self) -> float:
        lines = filter(None, (self._line, self._doubtful_line))
        due = min(map(_waits_since, lines), default=math.inf) + self._timeout
        for given_up, (limit, began) in enumerate(self._in_flight.items()):
            if limit.when() is None:
                return min(due, began + (self._timeout if given_up < self.waiting else self._longest))
        return due

    def _tick(self) -> None:
        """Give up all that has had its time: in flight, as many requests as others wait."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        overdue, waiting = now - self._timeout, self.waiting
        for limit, began in self._in_flight.items():
            if began > overdue:
                break
            if limit.when() is None and (waiting > 0 or began <= now - self._longest):
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
