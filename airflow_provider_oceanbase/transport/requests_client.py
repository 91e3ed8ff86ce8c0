"""Requests from a task: a session of the requests library, and retries."""

from __future__ import annotations

import json
import sys
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests

from airflow_provider_oceanbase.cloud import failures, protocol
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.query import new_request_id, run_exchange
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.repeating import is_repeatable, retrying
from airflow_provider_oceanbase.transport.requests_adapter import Adapter, deadline
from airflow_provider_oceanbase.transport.requests_digest import AskedBody, Digest, fill, is_sent, received

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, Request, T
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger


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
        return failures.without_frames(lambda: run_exchange(query, send))

    def _send_with_retries(self, request: Request[T]) -> Answer[T]:
        return retrying(is_repeatable, self._log)(self._send, request)

    def _send(self, request: Request[T]) -> Answer[T]:
        with failures.naming(self.endpoint):
            return self._send_once(request)

    def _send_once(self, request: Request[T]) -> Answer[T]:
        request_id = new_request_id()
        asked = None if request.body is None else AskedBody(json.dumps(request.body).encode())
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
                if not fill(body, response):
                    limit, sent = protocol.MAX_BODY_BYTES, is_sent(asked)
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
                sent=is_sent(asked),
            ) from None
        return self._read(request, request_id, response, content, sent=is_sent(asked))

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
            name: received(value) for name in protocol.HEADERS_READ if (value := response.headers.get(name))
        }
        status = response.status_code
        return protocol.read_response(request, request_id, status, headers, content, sent=sent)


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
    session.auth = Digest(endpoint)
    # Nothing is kept: the cookies of a challenge go out with the answer to it.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.headers.update(protocol.request_headers(endpoint, f"requests/{requests.__version__}"))
    if endpoint.proxy:
        session.proxies = {"http": endpoint.proxy, "https": endpoint.proxy}
    session.verify = endpoint.verify
    return session
