"""Digest authentication for aiohttp, in lanes of one request at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.transport.cookies import cookie_header

if TYPE_CHECKING:
    import aiohttp

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint


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
        # Not around aiohttp: it repeats a request whose connection breaks, which is another use of the nonce.
        self._sign(request)
        response = await handler(request)
        if response.status == 401 and self._digest.challenged(joined_header(response, "WWW-Authenticate")):
            try:
                await _discard_body(response)
            finally:
                # A complete body has given its connection back already; any other closes it.
                response.close()
            self._sign(request)
            cookies = cookie_header(str(request.url), response.headers.getall("Set-Cookie", ()))
            if cookies is not None:
                request.headers["Cookie"] = cookies
            response = await handler(request)
        if response.status != 401 and (info := response.headers.get("Authentication-Info")):
            self._digest.next_nonce(info)
        return response

    def _sign(self, request: aiohttp.ClientRequest) -> None:
        header = self._digest.authorization(request.method, request.url.raw_path_qs)
        if header is not None:
            request.headers["Authorization"] = header


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
