"""Requests from a task: a session of the requests library with digest authentication, and retries."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import requests
import tenacity
import urllib3
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.body import Body
from airflow_provider_oceanbase.cloud.digest import digest_challenge
from airflow_provider_oceanbase.cloud.query import new_request_id, run_exchange
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

if TYPE_CHECKING:
    import logging

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
        deadline = time.monotonic() + protocol.BODY_TIMEOUTS * self.endpoint.timeout
        try:
            with self.session.request(
                request.method,
                request.url(self.endpoint, request_id),
                data=body_sent,
                headers=None if body_sent is None else {"Content-Type": "application/json"},
                allow_redirects=False,
                stream=True,
                timeout=self.endpoint.timeout,
            ) as response:
                body = _read(response, request, request_id, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # A file shows whether any of it was read to be sent. A body goes out last, is rewound for the
            # answer to a challenge, and a request without it is none.
            sent = body_sent is None or body_sent.tell() > 0
            raise protocol.unreachable(request, request_id, self.endpoint, error, sent=sent) from None
        return protocol.read_response(request, request_id, response.status_code, response.headers, body)

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


def new_session(endpoint: Endpoint) -> requests.Session:
    """Return a session with digest authentication, and the headers, proxy and TLS settings of an endpoint."""
    session = requests.Session()
    # netrc, proxy and CA bundle of the environment: Endpoint has decided what counts.
    session.trust_env = False
    session.auth = _Digest(endpoint.access_key_id, endpoint.access_key_secret)
    session.headers.update(protocol.request_headers(endpoint, f"requests/{requests.__version__}"))
    if endpoint.proxy:
        session.proxies = {"http": endpoint.proxy, "https": endpoint.proxy}
    session.verify = endpoint.verify
    return session


def _read(response: requests.Response, request: Request[Any], request_id: str, deadline: float) -> bytes:
    body = Body(response.headers.get("Content-Encoding"), protocol.MAX_BODY_BYTES)
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        if not body.fits(chunk):
            raise protocol.too_large(request, request_id)
        if time.monotonic() > deadline:
            raise TimeoutError
    return body.complete()


class _Digest(HTTPDigestAuth):
    """requests' digest authentication, for every challenge that HTTP allows and this client can answer."""

    def handle_401(self, r: requests.Response, **kwargs: Any) -> requests.Response:
        challenge = digest_challenge(r.headers.get("WWW-Authenticate") or "")
        if r.status_code != 401 or challenge is None:
            return r
        offered = r.headers["WWW-Authenticate"]
        r.headers["WWW-Authenticate"] = challenge
        # The base class reads a body of any size; what remains of it now decides.
        if len(r.raw.read(protocol.MAX_CHALLENGE_BODY_BYTES)) == protocol.MAX_CHALLENGE_BODY_BYTES:
            r.close()
        answered: requests.Response = super().handle_401(r, **kwargs)  # type: ignore[no-untyped-call]
        r.headers["WWW-Authenticate"] = offered
        return answered
