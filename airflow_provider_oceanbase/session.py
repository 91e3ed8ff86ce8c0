"""How requests travel from a task: a session of the requests library, with digest authentication."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase import api
from airflow_provider_oceanbase.body import Body
from airflow_provider_oceanbase.digest import digest_challenge

if TYPE_CHECKING:
    from airflow_provider_oceanbase.api import Answer, Request, T
    from airflow_provider_oceanbase.endpoint import Endpoint

_CHUNK_BYTES = 64 * 1024


def new_session(endpoint: Endpoint) -> requests.Session:
    """Return a session for an endpoint; it keeps its digest state, so that later requests take one trip."""
    session = requests.Session()
    # netrc, proxy and CA bundle of the environment: Endpoint has settled what counts.
    session.trust_env = False
    session.auth = _Digest(endpoint.access_key_id, endpoint.access_key_secret)
    session.headers.update(api.request_headers(endpoint, f"requests/{requests.__version__}"))
    if endpoint.proxy:
        session.proxies = {"http": endpoint.proxy, "https": endpoint.proxy}
    session.verify = endpoint.verify
    return session


def send(session: requests.Session, endpoint: Endpoint, request: Request[T]) -> Answer[T]:
    """Send a request once, and read the answer.

    :raises OceanBaseCloudError: what failed
    """
    request_id = api.new_request_id()
    body_sent = None if request.body is None else io.BytesIO(json.dumps(request.body).encode())
    deadline = time.monotonic() + api.BODY_TIMEOUTS * endpoint.timeout
    try:
        with session.request(
            request.method,
            request.url(endpoint, request_id),
            data=body_sent,
            headers=None if body_sent is None else {"Content-Type": "application/json"},
            allow_redirects=False,
            stream=True,
            timeout=endpoint.timeout,
        ) as response:
            body = _read(response, request, request_id, deadline)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        # A file shows whether any of it was read to be sent. A body goes out last, is rewound for the answer
        # to a challenge, and a request without it is none.
        sent = body_sent is None or body_sent.tell() > 0
        raise api.unreachable(request, request_id, endpoint, error, sent=sent) from None
    return api.read_answer(request, request_id, response.status_code, response.headers, body)


def _read(response: requests.Response, request: Request[Any], request_id: str, deadline: float) -> bytes:
    body = Body(response.headers.get("Content-Encoding"), api.MAX_BODY_BYTES)
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        if not body.fits(chunk):
            raise api.too_large(request, request_id)
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
        # The base class reads the body whatever its size; what is left of it now decides.
        if len(r.raw.read(api.MAX_CHALLENGE_BODY_BYTES)) == api.MAX_CHALLENGE_BODY_BYTES:
            r.close()
        answered: requests.Response = super().handle_401(r, **kwargs)  # type: ignore[no-untyped-call]
        r.headers["WWW-Authenticate"] = offered
        return answered
