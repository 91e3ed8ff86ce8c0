"""A received request, a failure, and the envelope of every response."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing._server import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SeenRequest:
    """A request that the emulator answered, without its ``Authorization`` header."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    #: HTTP status of the response, 0 if the connection was dropped.
    status: int
    authorized: bool
    #: What came of its credentials: ``accepted``; ``missing``, as in the first request of a client, which is
    #: challenged; ``refused``; ``stale``: right, for a nonce that has expired.
    credentials: str
    #: ``status`` of the backup set in the response.
    backup_status: str | None = None
    #: Parsed JSON of the request's body, None if it is not JSON.
    body: Any = None
    at: float = field(default_factory=time.monotonic)


@dataclass
class Failure:
    """A response that replaces the correct one.

    :param status: HTTP status
    :param error_code: ``errorCode`` of the envelope
    :param error_message: ``errorMessage`` of the envelope
    :param headers: additional headers
    :param body: raw body, replaces the envelope
    :param drop: close the connection without a response
    :param after_acting: process the request, then fail
    """

    status: int
    error_code: str = "E001R000"
    error_message: str = "Unknown Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop: bool = False
    after_acting: bool = False


def response_of(result: Any, request_id: str) -> Response:
    """Return the HTTP response.

    :param result: the ``data`` of a success, or a :class:`Failure`
    :param request_id: ``requestId`` of the envelope
    """
    if not isinstance(result, Failure):
        envelope = {"success": True, "data": result, "requestId": request_id}
        return Response(HTTPStatus.OK, [("Content-Type", "application/json")], json.dumps(envelope).encode())
    if result.body is not None:
        headers = {"Content-Type": "text/html", **result.headers}
        return Response(result.status, list(headers.items()), result.body)
    envelope = {
        "success": False,
        "errorCode": result.error_code,
        "errorMessage": result.error_message,
        "requestId": request_id,
    }
    headers = {"Content-Type": "application/json", **result.headers}
    return Response(result.status, list(headers.items()), json.dumps(envelope).encode())


def json_of(content: bytes) -> Any:
    """Return the parsed JSON of a body, None if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
