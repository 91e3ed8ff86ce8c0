"""Digest authentication of a session of the requests library."""

from __future__ import annotations

import io
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from requests.auth import AuthBase
from requests.sessions import SessionRedirectMixin
from requests.utils import rewind_body

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.acting import wants_body
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.transport.cookies import cookie_header
from airflow_provider_oceanbase.transport.requests_adapter import deadline

if TYPE_CHECKING:
    import requests

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint

_CHUNK_BYTES = 64 * 1024


class AskedBody(io.BytesIO):
    """What a request asks for: it shows whether any of it was read to be sent.

    A body goes out last, and is rewound once the request was refused by a challenge.
    """


def is_sent(asked: AskedBody | None) -> bool:
    """Return whether any of what a request asks for was read to be sent; True if it has no body."""
    return asked is None or asked.tell() > 0


def fill(body: Body, response: requests.Response) -> bool:
    """Read a body; return whether it is within its limit."""
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        if not body.fits(chunk):
            return False
    return True


class Digest(AuthBase):
    """Authenticates the requests of a session to an endpoint, and to no other host.

    :meth:`OceanBaseHook.get_conn` hands out the session: it may be used from threads, and follow a redirect.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._of_thread = _DigestOfThread(endpoint)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request; keep its body back as long as there are no credentials."""
        self._sign(r)
        held: Any = None
        if isinstance(r.body, AskedBody) and "Authorization" not in r.headers:
            # Without credentials, nothing that acts is sent: see cloud.acting.
            held, r.body = r.body, None
            r.headers["Content-Length"] = "0"
        r.register_hook("response", partial(self._answer, held))  # type: ignore[no-untyped-call]
        return r

    def _sign(self, request: requests.PreparedRequest) -> None:
        """Add credentials, as far as there is a challenge for them."""
        if self._is_for_endpoint(request):
            header = self._of_thread.digest.authorization(str(request.method), request.path_url)
            if header is not None:
                request.headers["Authorization"] = _as_sent(header)

    def _answer(
        self, held: AskedBody | None, response: requests.Response, **options: Any
    ) -> requests.Response:
        """Repeat a request that is challenged, once."""
        digest = self._of_thread.digest
        try:
            if not self._is_for_endpoint(response.request):
                return response
            if held is not None and wants_body(response.status_code):
                response = self._repeated(response, held, options)
            if response.status_code == 401 and digest.challenged(
                received(response.headers.get("WWW-Authenticate") or "")
            ):
                response = self._repeated(response, held, options)
            digest.answered(response.status_code, received(response.headers.get("Authentication-Info") or ""))
        except BaseException:
            # Airflow's timeout of a task, too, is no Exception: requests closes only what a hook returns.
            response.close()
            raise
        return response

    def _repeated(
        self, response: requests.Response, held: AskedBody | None, options: dict[str, Any]
    ) -> requests.Response:
        request = response.request.copy()
        if held is not None:
            vars(request)["body"] = held
            request.headers["Content-Length"] = str(len(held.getbuffer()))
        if hasattr(request.body, "seek"):
            # First: what was refused counts as not sent, even if the rest of the refusal does not arrive.
            rewind_body(request)
        try:
            with deadline(protocol.BODY_TIMEOUTS * self._endpoint.timeout):
                fill(Body(None, protocol.MAX_CHALLENGE_BODY_BYTES), response)
        finally:
            # A complete body has given its connection back already; any other closes it.
            response.close()
        self._sign(request)
        cookies = cookie_header(str(request.url), response.raw.headers.getlist("Set-Cookie"))
        if cookies is not None:
            own = request.headers.get("Cookie")
            request.headers["Cookie"] = f"{own}; {cookies}" if own else cookies
        repeated: requests.Response = response.connection.send(request, **options)
        repeated.history.append(response)
        return repeated

    def _is_for_endpoint(self, request: requests.PreparedRequest) -> bool:
        is_elsewhere = SessionRedirectMixin().should_strip_auth(  # type: ignore[no-untyped-call]
            self._endpoint.origin, str(request.url)
        )
        return not is_elsewhere


class _DigestOfThread(threading.local):
    def __init__(self, endpoint: Endpoint) -> None:
        self.digest = DigestAuth(endpoint.access_key_id, endpoint.access_key_secret)


def received(header: str) -> str:
    """Return a header as UTF-8, as aiohttp does; requests reads bytes as Latin-1."""
    return header.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _as_sent(header: str) -> str:
    """Return a header for requests, which sends Latin-1, so that UTF-8 goes out."""
    return header.encode().decode("latin-1")
