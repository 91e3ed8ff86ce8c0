"""A received request, a failure, and the envelope of every answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing._server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SeenRequest:
    """A request that the emulator answered, without its ``Authorization`` header."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    #: HTTP status of the answer, 0 if the connection was dropped.
    status: int
    authorized: bool
    #: ``status`` of the backup set in the answer.
    backup_status: str | None = None
    #: Parsed JSON of the request's body, None if it is not JSON.
    body: Any = None
    at: float = field(default_factory=time.monotonic)


@dataclass
class Failure:
    """An answer that replaces the correct one.

    :param status: HTTP status
    :param error_code: ``errorCode`` of the envelope
    :param error_message: ``errorMessage`` of the envelope
    :param headers: additional headers
    :param body: raw body, replaces the envelope
    :param drop: close the connection without an answer
    :param after_acting: process the request, then fail
    """

    status: int
    error_code: str = "E001R000"
    error_message: str = "Unknown Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop: bool = False
    after_acting: bool = False


def reply_of(answer: Any, request_id: str) -> Reply:
    """Return the HTTP answer.

    :param answer: the ``data`` of a success, or a :class:`Failure`
    :param request_id: ``requestId`` of the envelope
    """
    if not isinstance(answer, Failure):
        envelope = {"success": True, "data": answer, "requestId": request_id}
        return Reply(HTTPStatus.OK, [("Content-Type", "application/json")], json.dumps(envelope).encode())
    if answer.body is not None:
        headers = {"Content-Type": "text/html", **answer.headers}
        return Reply(answer.status, list(headers.items()), answer.body)
    envelope = {
        "success": False,
        "errorCode": answer.error_code,
        "errorMessage": answer.error_message,
        "requestId": request_id,
    }
    headers = {"Content-Type": "application/json", **answer.headers}
    return Reply(answer.status, list(headers.items()), json.dumps(envelope).encode())
