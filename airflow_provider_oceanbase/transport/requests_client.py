"""Requests from a task: a session of the requests library with digest authentication, and retries."""

from __future__ import annotations

import io
import json
import sys
import threading
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.auth import AuthBase
from requests.sessions import SessionRedirectMixin
from requests.utils import rewind_body

from airflow_provider_oceanbase.cloud import failures, protocol
from airflow_provider_oceanbase.cloud.acting import wants_body
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.cloud.query import new_request_id, run_exchange
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.cookies import cookie_header
from airflow_provider_oceanbase.transport.repeating import is_repeatable, retrying
from airflow_provider_oceanbase.transport.requests_adapter import Adapter, deadline

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, Request, T
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

R = TypeVar("R")

_CHUNK_BYTES = 64 * 1024


class RequestsClient:
    """Sends queries, one request at a time, and keeps the digest state: one round trip each after the first.

    :param session: made by :func:`new_session`
    :param endpoint: where, and with which AccessKey
    :param log: where retries are logged
    """

    def __init__(
        self, session: requests.Session, endpoint: Endpoint, log: logging.Logger | AirflowLogger
    ) -> None:
        self.session = session
        self.endpoint = endpoint
        self._log = log

    def fetch(self, query: Query[T], *, retry: bool) -> Answer[T]:
        """Send a query; return the answer.

        :param retry: whether to send a request again after a transient failure
        :raises OceanBaseCloudError: the last failure
        """
        send = self._send_with_retries if retry else self._send
        return without_frames(lambda: run_exchange(query, send))

    def _send_with_retries(self, request: Request[T]) -> Answer[T]:
        return retrying(is_repeatable, self._log)(self._send, request)

    def _send(self, request: Request[T]) -> Answer[T]:
        with failures.naming(self.endpoint):
            return self._send_once(request)

    def _send_once(self, request: Request[T]) -> Answer[T]:
        request_id = new_request_id()
        asked = None if request.body is None else _Body(json.dumps(request.body).encode())
        status: int | None = None
        handled = sys.exception()
        try:
            with (
                deadline(protocol.BODY_TIMEOUTS * self.endpoint.timeout),
                self.session.request(
                    request.method,
                    request.url(self.endpoint, request_id),
                    data=asked,
                    headers=None if asked is None else {"Content-Type": "application/json"},
                    allow_redirects=False,
                    stream=True,
                    timeout=self.endpoint.timeout,
                ) as response,
            ):
                status = response.status_code
                body = Body(response.headers.get("Content-Encoding"), protocol.MAX_BODY_BYTES)
                if not _fill(body, response):
                    limit, sent = protocol.MAX_BODY_BYTES, _is_sent(asked)
                    raise failures.too_large(request, request_id, limit, status=status, sent=sent)
                content = body.complete()
        except OceanBaseCloudError:
            raise
        except Exception as error:
            raise failures.unreachable(
                request,
                request_id,
                self.endpoint,
                error,
                handled=handled,
                status=status,
                sent=_is_sent(asked),
            ) from None
        return self._read(request, request_id, response, content, sent=_is_sent(asked))

    def _read(
        self,
        request: Request[T],
        request_id: str,
        response: requests.Response,
        content: bytes,
        *,
        sent: bool,
    ) -> Answer[T]:
        headers = {
            name: _received(value) for name in protocol.HEADERS_READ if (value := response.headers.get(name))
        }
        status = response.status_code
        return protocol.read_response(request, request_id, status, headers, content, sent=sent)


def without_frames(work: Callable[[], R]) -> R:
    """Do something; raise its error as if it began here, without the thirty lines of the libraries."""
    try:
        return work()
    except OceanBaseCloudError as error:
        failure = error
    # Outside of the handler, else it would be shown as the context.
    raise failure.with_traceback(None) from None


class _Session(requests.Session):
    """Leaves the body of a redirect that is not followed to the caller, who asked for it as a stream."""

    def resolve_redirects(
        self, resp: requests.Response, req: Any, stream: bool = False, *args: Any, **options: Any
    ) -> Iterator[Any]:
        """Return the responses to the requests that follow."""
        if stream and options.get("yield_requests"):
            # The base class would read it whole, unpacked, for the sake of Response.next.
            return iter(())
        return super().resolve_redirects(resp, req, stream, *args, **options)  # type: ignore[no-any-return]


def new_session(endpoint: Endpoint) -> requests.Session:
    """Return a session with digest authentication, and the headers, proxy and TLS settings of an endpoint."""
    session = _Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())
    # netrc, proxy and CA bundle of the environment: Endpoint has decided what counts.
    session.trust_env = False
    session.auth = _Digest(endpoint)
    # Nothing is kept: the cookies of a challenge go out with the answer to it.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.headers.update(protocol.request_headers(endpoint, f"requests/{requests.__version__}"))
    if endpoint.proxy:
        session.proxies = {"http": endpoint.proxy, "https": endpoint.proxy}
    session.verify = endpoint.verify
    return session


class _Body(io.BytesIO):
    """What a request asks for: it shows whether any of it was read to be sent.

    A body goes out last, and is rewound once the request was refused by a challenge.
    """


def _is_sent(asked: _Body | None) -> bool:
    return asked is None or asked.tell() > 0


def _fill(body: Body, response: requests.Response) -> bool:
    """Read a body; return whether it is within its limit."""
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        if not body.fits(chunk):
            return False
    return True


class _Digest(AuthBase):
    """Authenticates the requests of a session to an endpoint, and to no other host.

    :meth:`OceanBaseHook.get_conn` hands out the session: it may be used from threads, and follow a redirect.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._of_thread = _DigestOfThread(endpoint)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        self._sign(r)
        held: Any = None
        if isinstance(r.body, _Body) and "Authorization" not in r.headers:
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

    def _answer(self, held: _Body | None, response: requests.Response, **options: Any) -> requests.Response:
        """Repeat a request that is challenged, once."""
        digest = self._of_thread.digest
        try:
            if not self._is_for_endpoint(response.request):
                return response
            if held is not None and wants_body(response.status_code):
                response = self._repeated(response, held, options)
            if response.status_code == 401 and digest.challenged(
                _received(response.headers.get("WWW-Authenticate") or "")
            ):
                response = self._repeated(response, held, options)
            digest.answered(
                response.status_code, _received(response.headers.get("Authentication-Info") or "")
            )
        except BaseException:
            # requests closes only what a hook returns.
            response.close()
            raise
        return response

    def _repeated(
        self, response: requests.Response, held: _Body | None, options: dict[str, Any]
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
                _fill(Body(None, protocol.MAX_CHALLENGE_BODY_BYTES), response)
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


def _received(header: str) -> str:
    """Return a header as UTF-8, as aiohttp does; requests reads bytes as Latin-1."""
    return header.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _as_sent(header: str) -> str:
    """Return a header for requests, which sends Latin-1, so that UTF-8 goes out."""
    return header.encode().decode("latin-1")
