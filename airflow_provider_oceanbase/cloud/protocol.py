"""The protocol of the API: headers to send, responses to read, limits that protect the client.

Tasks and triggers share every rule here; a transport adds only how bytes travel.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase import __version__
from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.acting import may_have_acted
from airflow_provider_oceanbase.cloud.body import ACCEPTED_ENCODING
from airflow_provider_oceanbase.cloud.digest import answerable_challenge, read_challenges
from airflow_provider_oceanbase.cloud.failures import refused_by_proxy
from airflow_provider_oceanbase.cloud.query import Answer, Request, T, is_of_another_request
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_oceanbase.cloud.digest import Challenge
    from airflow_provider_oceanbase.cloud.endpoint import Endpoint

#: A response is read up to this many bytes, unpacked; 5,000 tenants take about 3 MiB.
MAX_BODY_BYTES = 16 * 1024 * 1024
#: A response may have this many commas, and so values: reading it must not hold up the event loop. 5,000
#: tenants have about 75,000.
MAX_COMMAS = 200_000
#: A line of a response's head, status line or header, may have this many bytes.
MAX_HEADER_BYTES = 64 * 1024
#: A response may have this many headers: what the standard library reads.
MAX_HEADERS = 99
#: A response may take this many timeouts, from the request to its last byte.
BODY_TIMEOUTS = 10
#: The longest body of a 401 that is read to keep its connection; with a longer one the connection is closed.
MAX_CHALLENGE_BODY_BYTES = 64 * 1024
#: A longer Retry-After is cut: a server's mistake must not cost a night.
MAX_RETRY_AFTER_SECONDS = 3600.0
#: What to do about a refusal without an errorCode, which every documented one of the API has.
_NOT_THE_API = "Without an errorCode, a proxy or another server may have answered."
_NOT_WHOLE = "Report it: the provider knows no further pages of this list."
_TOO_MANY = "Ask for less, if that is possible: for one tenant, or for a shorter time."
#: Headers that :func:`read_response` uses.
HEADERS_READ = ("Content-Type", "Retry-After", "WWW-Authenticate")
_MAX_INT_CHARACTERS = 18
#: XCom takes fields that begin with it for its own, and refuses or misreads them.
_RESERVED = "__"
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def list_instances_request(*, page_size: int) -> Request[object]:
    """Return the request for the first page of the account's instances: cheap and read-only."""
    return Request(
        path="/api/v2/instances",
        query=f"pageNumber=1&pageSize={page_size}",
        subject="the list of instances",
        read=lambda data: data,
    )


def request_headers(endpoint: Endpoint, client: str) -> dict[str, str]:
    """Return the headers of every request.

    :param client: name and version of the HTTP library, for ``User-Agent``
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": ACCEPTED_ENCODING,
        "User-Agent": f"airflow-provider-oceanbase/{__version__} {client}",
    }
    if endpoint.project_id is not None:
        headers["X-Ob-Project-Id"] = endpoint.project_id
    return headers


def read_response(
    request: Request[T],
    request_id: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    sent: bool = True,
) -> Answer[T]:
    """Read any response of the server.

    :param request_id: ID that was sent
    :param headers: headers of the response, looked up without regard to case; repeated ones joined by commas
    :param sent: whether what the request asks for was sent, which ``acting`` explains
    :raises OceanBaseCloudError: any response but HTTP 200 with ``success: true``
    """
    is_long = body.count(b",") > MAX_COMMAS
    envelope = None if is_long else _envelope(body)
    fields = envelope or {}
    received_id = _text(fields, "requestId")
    known: dict[str, Any] = {
        "status_code": status,
        "request_id": received_id or request_id,
        "may_have_acted": may_have_acted(status, sent=sent),
    }
    if received_id is not None and is_of_another_request(received_id, request_id):
        what = "Response to another request"
        hint = "Check Proxy URL of the connection. Check what else is on the way to the API host."
        known |= {"request_id": request_id, "may_have_acted": sent}
        raise request.error(OceanBaseMalformedResponseError, what, hint=hint, **known)
    if status == 200 and is_long:
        what = f"Response has more than {MAX_COMMAS:,} values"
        raise request.error(OceanBaseMalformedResponseError, what, hint=_TOO_MANY, **known)
    if status == 200 and envelope is None:
        kind = shown(headers.get("Content-Type") or "no content type")
        what = f"Response is not the documented JSON ({len(body)} bytes of {kind})"
        raise request.error(OceanBaseMalformedResponseError, what, **known)
    if status == 200 and fields.get("success") is True:
        if not sent:
            what = "Served without credentials, and without what was asked for"
            raise request.error(OceanBaseMalformedResponseError, what, **known)
        try:
            data = request.read(fields.get("data"))
        except ValueError as problem:
            what = f"Response is not as documented ({problem})"
            raise request.error(OceanBaseMalformedResponseError, what, **known) from None
        if lacks := request.shortfall(fields):
            raise request.error(OceanBaseMalformedResponseError, lacks, hint=_NOT_WHOLE, **known)
        return Answer(data, known["request_id"])
    known |= {"error_code": _text(fields, "errorCode"), "error_message": _text(fields, "errorMessage")}
    if status == 200:
        if fields.get("success") is not False:
            has = "whose success is no boolean" if "success" in fields else "without the field success"
            what = f"Response {has}"
            raise request.error(OceanBaseMalformedResponseError, what, **known)
        known["may_have_acted"] = False
    raise _refusal(request, status, headers, known)


def _refusal(
    request: Request[Any], status: int, headers: Mapping[str, str], known: dict[str, Any]
) -> OceanBaseCloudError:
    if status < 200:
        return request.error(OceanBaseMalformedResponseError, "No response after an interim one", **known)
    if status == 401:
        return _unauthorized(request, headers.get("WWW-Authenticate") or "", known)
    if status == 403:
        hint = f"Check Proxy URL and Host of the connection, and what the AccessKey may do. {_NOT_THE_API}"
        known["hint"] = None if known["error_code"] else hint
        return request.error(OceanBaseAuthenticationError, "AccessKey may not do this", **known)
    if status == 404:
        return request.error(OceanBaseNotFoundError, "Not found", **known)
    if status == 407:
        return refused_by_proxy(request, status, **known)
    known["retry_after"] = retry_after(headers.get("Retry-After"))
    if status == 429:
        return request.error(OceanBaseThrottledError, "Too many requests", **known)
    if status == 408 or status >= 500:
        return request.error(OceanBaseUnavailableError, "Service failed", **known)
    if 300 <= status < 400:
        hint = "Set Host of the connection to the API host itself. Redirects are not followed."
        return request.error(OceanBaseRefusedError, "Response is a redirect", hint=hint, **known)
    if not known["error_code"] and not known["error_message"]:
        known["hint"] = f"Check Host and Proxy URL of the connection. {_NOT_THE_API}"
    return request.error(OceanBaseRefusedError, "Request refused", **known)


def _unauthorized(request: Request[Any], challenges: str, known: dict[str, Any]) -> OceanBaseCloudError:
    challenge = answerable_challenge(challenges)
    if challenge is None:
        offered = ", ".join(map(_offer, read_challenges(challenges))) or "nothing"
        what = f"No digest authentication that is known (offered: {shown(offered)})"
        hint = "Check Host and Proxy URL of the connection. Another server may answer there."
        return request.error(OceanBaseAuthenticationError, what, hint=hint, **known)
    # The nonce was fresh, so this says nothing about the key.
    if challenge.parameters.get("stale", "").lower() == "true":
        return request.error(OceanBaseUnavailableError, "Fresh nonce called stale", **known)
    return request.error(OceanBaseAuthenticationError, "AccessKey refused", **known)


def _offer(challenge: Challenge) -> str:
    algorithm = challenge.parameters.get("algorithm")
    return f"{challenge.scheme} {algorithm}" if algorithm else challenge.scheme


def retry_after(header: str | None) -> float | None:
    """Return the seconds in a ``Retry-After`` header, None if it holds nothing usable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
            seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    if not seconds > 0 or math.isinf(seconds):
        return None
    return min(seconds, MAX_RETRY_AFTER_SECONDS)


def _text(envelope: dict[str, Any] | None, key: str) -> str | None:
    value = (envelope or {}).get(key)
    return shown(value) if isinstance(value, str) and value else None


def _envelope(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a body, with only what databases and msgpack can carry; None if it is none.

    What leaves a trigger is encoded by msgpack, outside any handler: a value that it refuses would end the
    triggerer. XCom and asset state have the same limits.
    """
    try:
        text = body.removeprefix(BOM_UTF8).decode()
        value = _JSON.decode(text)
        # NUL and half a surrogate pair can only come as escapes.
        if "\\u" in text or _RESERVED in text:
            value = _well_formed(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _well_formed(value: Any) -> Any:
    match value:
        case str():
            return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", value)
        case dict():
            fields = {_well_formed(name): _well_formed(item) for name, item in value.items()}
            return {name: item for name, item in fields.items() if not name.startswith(_RESERVED)}
        case list():
            return [_well_formed(item) for item in value]
    return value


def _small_int(literal: str) -> int | str:
    # msgpack has 64 bits: a longer number stays text.
    return int(literal) if len(literal) <= _MAX_INT_CHARACTERS else literal


def _finite(literal: str) -> float:
    number = float(literal)
    return number if math.isfinite(number) else _not_json(literal)


def _not_json(literal: str) -> float:
    raise ValueError(f"{literal} is not a number of JSON")


_JSON = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite, parse_int=_small_int)
