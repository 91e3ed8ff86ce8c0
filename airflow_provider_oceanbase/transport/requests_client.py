"""Requests from a task: a session of the requests library with digest authentication, and retries."""

from __future__ import annotations

import io
import json
import sys
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import tenacity
from requests.auth import AuthBase
from requests.sessions import SessionRedirectMixin
from requests.utils import rewind_body

from airflow_provider_oceanbase.cloud import failures, protocol
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.digest import DigestAuth
from airflow_provider_oceanbase.cloud.query import new_request_id, run_exchange
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.cookies import cookie_header
from airflow_provider_oceanbase.transport.requests_adapter import Adapter, deadline

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, Request, T
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

RETRY_ATTEMPTS = 5
RETRY_SECONDS = 30.0
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
        return run_exchange(query, self._send_with_retries if retry else self._send)

    def _send_with_retries(self, request: Request[T]) -> Answer[T]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_repeatable),
            stop=tenacity.stop_after_attempt(RETRY_ATTEMPTS) | tenacity.stop_before_delay(RETRY_SECONDS),
            wait=_retry_pause,
            before_sleep=self._log_retry,
            reraise=True,
        )
        return retrying(self._send, request)

    def _send(self, request: Request[T]) -> Answer[T]:
        request_id = new_request_id()
        body_sent = None if request.body is None else io.BytesIO(json.dumps(request.body).encode())
        handled = sys.exception()
        try:
            with (
                deadline(protocol.BODY_TIMEOUTS * self.endpoint.timeout),
                self.session.request(
                    request.method,
                    request.url(self.endpoint, request_id),
                    data=body_sent,
                    headers=None if body_sent is None else {"Content-Type": "application/json"},
                    allow_redirects=False,
                    stream=True,
                    timeout=self.endpoint.timeout,
                ) as response,
            ):
                body = _read(response, request, request_id)
        except OceanBaseCloudError:
            raise
        except Exception as error:
            # A file shows whether any of it was read to be sent. A body goes out last, is rewound for the
            # answer to a challenge, and a request without it is none.
            sent = body_sent is None or body_sent.tell() > 0
            raise failures.unreachable(
                request, request_id, self.endpoint, error, handled=handled, sent=sent
            ) from None
        headers = {
            name: _received(value) for name in protocol.HEADERS_READ if (value := response.headers.get(name))
        }
        return protocol.read_response(request, request_id, response.status_code, headers, body)

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        self._log.warning(
            "Attempt %d of %d failed, the next follows in %.1f s. %s",
            state.attempt_number,
            RETRY_ATTEMPTS,
            state.upcoming_sleep,
            error,
        )


def _is_repeatable(error: BaseException) -> bool:
    return isinstance(error, OceanBaseCloudError) and error.repeatable


def _retry_pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    retry_after = getattr(error, "retry_after", None) or 0.0
    return max(tenacity.wait_exponential_jitter(initial=1, max=10, jitter=1)(state), retry_after)


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


def _read(response: requests.Response, request: Request[Any], request_id: str) -> bytes:
    body = Body(response.headers.get("Content-Encoding"), protocol.MAX_BODY_BYTES)
    if not _fill(body, response):
        raise failures.too_large(request, request_id, protocol.MAX_BODY_BYTES)
    return body.complete()


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
        r.register_hook("response", self._answer)  # type: ignore[no-untyped-call]
        return r

    def _sign(self, request: requests.PreparedRequest) -> None:
        """Add credentials, as far as there is a challenge for them."""
        if self._is_for_endpoint(request):
            header = self._of_thread.digest.authorization(str(request.method), request.path_url)
            if header is not None:
                request.headers["Authorization"] = _as_sent(header)

    def _answer(self, response: requests.Response, **options: Any) -> requests.Response:
        """Repeat a request that is challenged, once."""
        digest = self._of_thread.digest
        try:
            if not self._is_for_endpoint(response.request):
                return response
            if response.status_code == 401 and digest.challenged(
                _received(response.headers.get("WWW-Authenticate") or "")
            ):
                response = self._repeated(response, options)
            digest.answered(
                response.status_code, _received(response.headers.get("Authentication-Info") or "")
            )
        except BaseException:
            # requests closes only what a hook returns.
            response.close()
            raise
        return response

    def _repeated(self, response: requests.Response, options: dict[str, Any]) -> requests.Response:
        try:
            with deadline(protocol.BODY_TIMEOUTS * self._endpoint.timeout):
                _fill(Body(None, protocol.MAX_CHALLENGE_BODY_BYTES), response)
        finally:
            # A complete body has given its connection back already; any other closes it.
            response.close()
        request = response.request.copy()
        if hasattr(request.body, "seek"):
            rewind_body(request)
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
