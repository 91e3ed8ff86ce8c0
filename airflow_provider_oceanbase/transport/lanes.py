"""Digest authentication for aiohttp, in lanes of one request at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from yarl import URL

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.digest import digest_challenge

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.endpoint import Endpoint


class Lane:
    """Authenticates one request at a time.

    Servers count the uses of a nonce: requests with the same nonce that overtake each other are answered by
    401, whatever the key. So each lane has nonces of its own.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._digest = _Digest(endpoint.access_key_id, endpoint.access_key_secret)
        #: The body of the last 401, read to free the connection for the answer to the challenge.
        self.refusal = b""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and answer the challenge to it: a middleware of aiohttp."""
        responses: list[aiohttp.ClientResponse] = []

        async def send(request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
            response = await handler(request)
            responses.append(response)
            if response.status != 401:
                return response
            complete = await read_body(response, protocol.MAX_CHALLENGE_BODY_BYTES)
            self.refusal = complete or b""
            challenge = digest_challenge(joined_header(response, "WWW-Authenticate")) or ""
            # All that the middleware uses; of several challenges it would read only the first.
            view = SimpleNamespace(status=401, url=response.url, headers={"www-authenticate": challenge})
            return cast("aiohttp.ClientResponse", view)

        await self._digest(request, send)
        return responses[-1]


class _Digest(aiohttp.DigestAuthMiddleware):
    """aiohttp's digest authentication, for the path as it is sent: before 3.14 it signs the decoded one."""

    async def _encode(self, method: str, url: URL, body: Any) -> str:
        header = await super()._encode(method, url, body)
        if f'uri="{url.raw_path_qs}"' in header:
            return header
        escaped = URL(str(url).replace("%", "%25"), encoded=True)
        return await super()._encode(method, escaped, body)


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return a whole body; None, and the connection closed, if it is longer than the limit."""
    body = Body(response.headers.get("Content-Encoding"), limit)
    async for chunk in response.content.iter_any():
        if not body.fits(chunk):
            response.close()
            return None
    return body.complete()


def joined_header(response: aiohttp.ClientResponse, name: str) -> str:
    """Return a header, repeated ones joined by commas, an empty text if there is none."""
    return ", ".join(response.headers.getall(name, ()))
