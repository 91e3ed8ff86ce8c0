"""Requests to the API, and queries that may take several: alike with and without an event loop."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import quote

from airflow_provider_oceanbase.cloud.arguments import checked_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

#: The end of every ID that :func:`new_request_id` returns.
_MARK = "-6f62737570c1"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Yields the requests to send, receives the answer to each, and returns the answer to the query.
Exchange: TypeAlias = Generator["Request[Any]", "Answer[Any]", "Answer[T_co]"]


class Answer(NamedTuple, Generic[T_co]):
    """The answer to a query: the data of successful responses, checked, and the ID that names the request."""

    data: T_co
    request_id: str


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """A request to the API, how its response is read, and how errors name what is requested.

    :param path: path of the URL, percent-encoded
    :param query: query of the URL without ``requestId``, percent-encoded
    :param subject: what is requested, in words
    :param read: makes the result of the response's ``data``; a ``ValueError`` says what is wrong with them
    :param shortfall: says what ``data`` lack, by what the whole response says; None if nothing
    :param method: HTTP method
    :param body: what to send as JSON, None for nothing
    """

    path: str
    query: str
    subject: str
    read: Callable[[object], T_co]
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    shortfall: Callable[[Mapping[str, Any]], str | None] = lambda _: None

    @property
    def key(self) -> Hashable:
        """Tells queries apart."""
        return self.path, self.query

    def exchange(self) -> Exchange[T_co]:
        """Return the requests to send: this one."""
        return (yield self)

    def url(self, endpoint: Endpoint, request_id: str) -> str:
        """Return the URL to send; ``requestId`` is required by the API."""
        query = f"requestId={request_id}&{self.query}" if self.query else f"requestId={request_id}"
        return f"{endpoint.origin}{self.path}?{query}"

    def error(
        self,
        error_class: type[OceanBaseCloudError],
        what: str,
        *,
        may_have_acted: bool = False,
        **details: Any,
    ) -> OceanBaseCloudError:
        """Return an error that names what was requested.

        :param may_have_acted: whether the server may have received and served the request; reading is no act
        """
        acted = may_have_acted and self.method != "GET"
        return error_class(what, subject=self.subject, may_have_acted=acted, **details)


class Query(Protocol[T_co]):
    """What can be requested of the API, in one request or more."""

    @property
    def key(self) -> Hashable:
        """Tells queries apart: equal ones have equal answers."""

    def exchange(self) -> Exchange[T_co]:
        """Return the requests to send, each after the answer to the one before."""


def run_exchange(query: Query[T], send: Callable[[Request[Any]], Answer[Any]]) -> Answer[T]:
    """Send the requests of a query; return the answer to it."""
    exchange = query.exchange()
    try:
        request = next(exchange)
        while True:
            request = exchange.send(send(request))
    except StopIteration as end:
        return cast("Answer[T]", end.value)


async def run_exchange_async(
    query: Query[T], send: Callable[[Request[Any]], Awaitable[Answer[Any]]]
) -> Answer[T]:
    """Do as :func:`run_exchange` does, in an event loop."""
    exchange = query.exchange()
    try:
        request = next(exchange)
        while True:
            request = exchange.send(await send(request))
    except StopIteration as end:
        return cast("Answer[T]", end.value)


def new_request_id() -> str:
    """Return the ID of one attempt: a UUID, as in the vendor's examples."""
    return str(uuid.uuid4())[: -len(_MARK)] + _MARK


def is_of_another_request(received: str, request_id: str) -> bool:
    """Return whether the ID in a response names another request than the one that was sent.

    A server may return IDs of its own. But one that this package has made, for another request, shows that
    something on the way has mixed up the responses.
    """
    return received != request_id and received.endswith(_MARK)


def path_segment(name: str, value: str) -> str:
    """Return an ID as one percent-encoded segment of a path.

    :raises OceanBaseInputError: the ID is blank, or cannot be a path segment
    """
    return quote(checked_text(name, value), safe="")
