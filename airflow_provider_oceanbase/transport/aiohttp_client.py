"""Requests from triggers: one aiohttp session with digest authentication."""

from __future__ import annotations

import asyncio
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from yarl import URL

from airflow_provider_oceanbase.cloud import failures, protocol
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.query import Request, new_request_id, run_exchange_async
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.connector import Connector
from airflow_provider_oceanbase.transport.lanes import Lanes, NoFreeLaneError, joined_header

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, T
    from airflow_provider_oceanbase.transport.lanes import Lane

#: Requests in flight at once: enough while polls per second times seconds per answer stay below it.
LANES = 32

#: Queries known to hang; beyond, they are forgotten: each is found out again by one request.
MAX_HANGING = 10_000


class _Response(aiohttp.ClientResponse):
    def close(self) -> None:
        """Close the connection of an incomplete response at once.

        Over TLS, the event loop would keep it open for 30 s, to receive the end of a host that may be silent:
        more and more connections, though each lane has one.
        """
        connection = self.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        super().close()


class AiohttpClient:
    """Sends queries, many at once; close it with ``aclose()``.

    :param endpoint: where, and with which AccessKey
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._host = URL(endpoint.origin).host_port_subcomponent or ""
        self._opening: asyncio.Task[aiohttp.ClientSession] | None = None
        self._closed = False
        self._lanes = Lanes(endpoint, LANES)
        #: Keys of the queries whose last request was not answered in time.
        self._hanging: set[Hashable] = set()

    async def aclose(self) -> None:
        """Close the session, for good."""
        self._lanes.close()
        # One that is being opened is not opened any more.
        self._closed = True
        opening = self._opening
        if opening is None:
            return
        if not opening.done():
            await asyncio.wait([opening])
        if not opening.cancelled() and not opening.exception():
            await opening.result().close()

    def fetch(self, query: Query[T], *, goes_first: bool = False) -> Coroutine[Any, Any, Answer[T]]:
        """Send a query once; await the answer. A wait is its own retry.

        :param goes_first: whether it is served before others that wait in line, for as long as that takes
        :raises OceanBaseCloudError: what failed
        """
        if isinstance(query, Request):
            # As most queries are: it needs no exchange.
            return self._send(query, goes_first=goes_first)
        return run_exchange_async(query, partial(self._send, goes_first=goes_first))

    async def _send(self, request: Request[T], *, goes_first: bool) -> Answer[T]:
        request_id = new_request_id()
        handled = sys.exception()
        doubtful = request.key in self._hanging
        try:
            async with self._lanes.use(doubtful=doubtful, goes_first=goes_first) as lane:
                # Within the time of the request.
                session = await self._session()
                status, headers, body = await self._send_once(session, lane, request, request_id)
            self._hanging.discard(request.key)
        except OceanBaseCloudError:
            raise
        except NoFreeLaneError:
            raise failures.not_sent(request, self.endpoint, LANES) from None
        except Exception as error:
            if isinstance(error, TimeoutError):
                self._remember_hanging(request)
            # Whatever the library raises on what a server sends: the next poll may meet another server.
            raise failures.unreachable(request, request_id, self.endpoint, error, handled=handled) from None
        return protocol.read_response(request, request_id, status, headers, body)

    def _remember_hanging(self, request: Request[Any]) -> None:
        if len(self._hanging) >= MAX_HANGING:
            self._hanging.clear()
        self._hanging.add(request.key)

    async def _send_once(
        self, session: aiohttp.ClientSession, lane: Lane, request: Request[Any], request_id: str
    ) -> tuple[int, dict[str, str], bytes]:
        response = await session.get(
            # Unchanged: digest signs the path as it is encoded.
            URL(request.url(self.endpoint, request_id), encoded=True),
            middlewares=(lane,),
            allow_redirects=False,
            proxy=self.endpoint.proxy,
            # aiohttp adds it after the first try, and takes a request that is repeated, since it was
            # challenged, for one with another proxy: it would need a tunnel of its own.
            proxy_headers={"Host": self._host} if self.endpoint.proxy else None,
        )
        try:
            status, received, content = response.status, response.headers, response.content
            headers = {}
            for name in protocol.HEADERS_READ:
                if name in received:
                    headers[name] = joined_header(response, name)
            body = Body(received.get("Content-Encoding"), protocol.MAX_BODY_BYTES)
            while chunk := await content.readany():
                if not body.fits(chunk):
                    raise failures.too_large(request, request_id, protocol.MAX_BODY_BYTES, status=status)
            return status, headers, body.complete()
        finally:
            # A complete body has given its connection back already; any other closes it.
            response.close()

    async def _session(self) -> aiohttp.ClientSession:
        opening = self._opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self._opening = asyncio.create_task(self._open())
        # A cancelled user must not take the session from the others.
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> aiohttp.ClientSession:
        # Reading a CA bundle takes milliseconds in which no other trigger could run.
        context = await asyncio.to_thread(_ssl_context, self.endpoint.verify)
        if self._closed:
            raise RuntimeError("the client is closed")
        timeout = self.endpoint.timeout
        return aiohttp.ClientSession(
            connector=Connector(timeout=timeout, limit=LANES, ssl=context),
            response_class=_Response,
            # A connection limits silences itself. In all, a request has the time of its lane.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=None),
            headers=protocol.request_headers(self.endpoint, f"aiohttp/{aiohttp.__version__}"),
            cookie_jar=_NoCookies(),
            # As long as the standard library reads them in a task.
            max_line_size=protocol.MAX_HEADER_BYTES,
            max_field_size=protocol.MAX_HEADER_BYTES,
            # Body unpacks, within bounds.
            auto_decompress=False,
            # netrc and proxy of the environment: Endpoint has decided what counts.
            trust_env=False,
        )


class _NoCookies(aiohttp.DummyCookieJar):
    def update_cookies_from_headers(self, headers: Any, response_url: URL) -> None:
        """Do not even read them: the base class logs each one that it cannot read, as long as it is."""


def _ssl_context(verify: bool | str) -> ssl.SSLContext | bool:
    if verify is False:
        return False
    # The bundle that requests uses, so that poke mode and deferrable mode trust the same.
    path = Path(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
    is_folder = path.is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )
    # As urllib3 does: what names its host in the subject alone is not trusted.
    context.hostname_checks_common_name = False
    return context
