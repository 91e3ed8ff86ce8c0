"""Requests whose responses are kept as they came: with the hook's session, digest and retries."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.transport.requests_client import RequestsClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from airflow_provider_oceanbase.cloud.query import Answer, Request, T


@dataclass(frozen=True)
class Seen:
    """What came back of a request.

    :param status: HTTP status of the last response, None without a response
    :param headers: its headers, looked up without regard to case
    :param envelope: its JSON, None if it is none
    :param request_id: the ID that was sent
    :param challenges: the ``WWW-Authenticate`` of each HTTP 401 on the way
    :param round_trips: how many responses there were
    :param seconds: how long all of it took
    :param at: in its middle, in seconds since the epoch
    :param error: what the provider makes of it, None if it is an answer
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    envelope: Any = None
    request_id: str = ""
    challenges: tuple[str, ...] = ()
    round_trips: int = 0
    seconds: float = 0.0
    at: float = 0.0
    error: OceanBaseCloudError | None = None

    @property
    def data(self) -> Any:
        """``data`` of an answer, whatever their shape; None without one."""
        return self.envelope.get("data") if self.error is None and isinstance(self.envelope, dict) else None

    @property
    def date(self) -> float | None:
        """The service's time, in seconds since the epoch; None if it does not say."""
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None


class Observer(RequestsClient):
    """A client that keeps what came back of each request."""

    _last: dict[str, Any]

    def observe(self, request: Request[Any], *, retry: bool = True) -> Seen:
        """Send a request; return what came back, even if it is no answer.

        :param retry: whether to send it again after a transient failure; the last response counts
        """
        self._last = {}
        began = time.monotonic()
        error = None
        try:
            self.fetch(request, retry=retry)
        except OceanBaseCloudError as caught:
            error = caught
        seconds = time.monotonic() - began
        return Seen(**self._last, seconds=seconds, at=time.time() - seconds / 2, error=error)

    def _read(
        self,
        request: Request[T],
        request_id: str,
        response: requests.Response,
        content: bytes,
        *,
        sent: bool,
    ) -> Answer[T]:
        responses = [*response.history, response]
        challenges = (one.headers.get("WWW-Authenticate", "") for one in responses if one.status_code == 401)
        self._last = {
            "status": response.status_code,
            "headers": response.headers,
            "envelope": _json(content),
            "request_id": request_id,
            "challenges": tuple(challenges),
            "round_trips": len(responses),
        }
        return super()._read(request, request_id, response, content, sent=sent)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
