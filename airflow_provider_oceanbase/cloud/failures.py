"""Requests without a complete response of the API: their errors.

The messages are made of what is known to hold no secret. The texts of HTTP libraries quote URLs, and with
them the password of a proxy.
"""

from __future__ import annotations

import gzip
import os
import re
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.acting import may_have_acted
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Request

R = TypeVar("R")

_SLOW_HINT = (
    "Check Host, Port and Proxy URL of the connection. A firewall may drop what is sent. Check the state of "
    "OceanBase Cloud, too."
)
#: What a request without a response comes to, by words in the description of its cause, and what to do.
_CAUSES = (
    (
        ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"),
        "No TLS at this port",
        "Check Port and Schema of the connection, or the proxy. Plain HTTP may answer there.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "CertificateError"),
        "Certificate not trusted",
        "Check TLS verification (verify) of the connection. Give a private CA's bundle.",
    ),
    (
        ("gaierror",),
        "{} name not found",
        "Check Host and Proxy URL of the connection. Check the DNS of this machine, too.",
    ),
    (
        ("ConnectionRefusedError",),
        "{} refuses connections",
        "Check Host, Port and Proxy URL of the connection. Check the state of OceanBase Cloud, too.",
    ),
)
_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")


def without_frames(work: Callable[[], R]) -> R:
    """Do something; raise its error as if it began here, without the thirty lines of the libraries."""
    try:
        return work()
    except OceanBaseCloudError as error:
        failure = error
    # Outside of the handler, else it would be shown as the context.
    raise failure.with_traceback(None) from None


@contextmanager
def naming(endpoint: Endpoint) -> Iterator[None]:
    """Name connection and host in an error of a request that is raised within."""
    try:
        yield
    except OceanBaseCloudError as error:
        name(error, endpoint)
        raise


def name(error: OceanBaseCloudError, endpoint: Endpoint) -> None:
    """Name connection and host in an error of a request."""
    if not isinstance(error, OceanBaseInputError):
        # The other is one of an argument: nothing was sent.
        error.conn_id, error.host = endpoint.conn_id, endpoint.origin


def unreachable(
    request: Request[Any],
    request_id: str,
    endpoint: Endpoint,
    error: Exception,
    *,
    handled: BaseException | None,
    status: int | None = None,
    sent: bool = True,
) -> OceanBaseCloudError:
    """Return the error for a request without a complete response.

    :param handled: what the caller was handling when it sent the request: it is no cause of the error
    :param status: HTTP status of a response whose body could not be read
    :param sent: whether the server may have received what the request asks for
    """
    root: BaseException = error
    while (deeper := root.__cause__ or (None if root.__suppress_context__ else root.__context__)) is not None:
        if deeper is handled:
            break
        root = deeper
    if refused := _status_of_tunnel(root):
        return refused_by_proxy(request, refused, status_code=refused, request_id=request_id)
    if isinstance(root, TimeoutError) or "timeout" in type(error).__name__.lower():
        what = f"No complete response in time (timeout {endpoint.timeout:g} s)"
        hint: str | None = _SLOW_HINT
    else:
        described = _described(root)
        verdict, hint = _known_cause(described)
        what = verdict.format("Proxy" if endpoint.proxy else "Host")
        if not isinstance(root, ConnectionRefusedError):
            what = f"{what} ({described})"
    known: dict[str, Any] = {"hint": hint, "request_id": request_id}
    acted = may_have_acted(status, sent=sent)
    return request.error(OceanBaseUnavailableError, what, may_have_acted=acted, **known)


def not_sent(request: Request[Any], endpoint: Endpoint, limit: int) -> OceanBaseCloudError:
    """Return the error for a request that waited in line behind others until its timeout."""
    what = f"Nothing sent: waited {endpoint.timeout:g} s for one of {limit} requests in flight to end"
    hint = "Check the state of OceanBase Cloud. If it is well, poll less often: raise poke_interval."
    return request.error(OceanBaseUnavailableError, what, hint=hint, unsent=True)


def refused_by_proxy(request: Request[Any], status: int, **known: Any) -> OceanBaseCloudError:
    """Return the error for a proxy that serves no request itself, or opens no tunnel to the API host."""
    if status == 407:
        hint = "Put the proxy's user and password into Proxy URL of the connection."
        return request.error(OceanBaseRefusedError, "Proxy wants a password", hint=hint, **known)
    hint = "Check Proxy URL and Host of the connection, and the proxy's rules."
    if status >= 500:
        what = "Proxy cannot reach the API host"
        return request.error(OceanBaseUnavailableError, what, hint=hint, **known)
    what = "Proxy refuses to connect to the API host"
    return request.error(OceanBaseRefusedError, what, hint=hint, **known)


def too_large(
    request: Request[Any], request_id: str, limit: int, *, status: int, sent: bool = True
) -> OceanBaseCloudError:
    """Return the error for a response of over ``limit`` bytes."""
    what = f"Response larger than {limit // 2**20} MiB"
    acted = may_have_acted(status, sent=sent)
    return request.error(OceanBaseMalformedResponseError, what, may_have_acted=acted, request_id=request_id)


def _status_of_tunnel(error: BaseException) -> int | None:
    """Return the HTTP status of a proxy's answer to CONNECT, None for any other error."""
    # aiohttp has it as an attribute, the standard library in its text.
    if type(error).__name__ == "ClientHttpProxyError":
        return int(getattr(error, "status", 0)) or None
    match = _REFUSED_TUNNEL.match(str(error)) if isinstance(error, OSError) else None
    return int(match[1]) if match else None


def _known_cause(described: str) -> tuple[str, str | None]:
    """Return what a request without a response comes to, and the hint; None for that of the error's class."""
    for words, verdict, hint in _CAUSES:
        if any(word in described for word in words):
            return verdict, hint
    return "No complete response", None


def _described(error: BaseException) -> str:
    """Return the class of an error, and what the operating system or OpenSSL says of it."""
    name = type(error).__name__
    if isinstance(error, ssl.SSLError):
        details = (getattr(error, "reason", None), getattr(error, "verify_message", None))
        return ": ".join((name, *(shown(detail) for detail in details if detail)))
    if isinstance(error, gzip.BadGzipFile):
        # The text is Body's own.
        return f"{name}: {error}"
    if not isinstance(error, OSError) or not error.errno or not isinstance(error.errno, int):
        return name
    # The numbers of a name's resolution are its own.
    says = error.strerror if name == "gaierror" else os.strerror(error.errno)
    return f"{name}: [Errno {error.errno}] {says}"
