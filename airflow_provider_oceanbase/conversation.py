"""Questions that may take several requests, asked alike with and without an event loop; no I/O of its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from airflow_provider_oceanbase.api import Answer, Request, T, T_co

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

#: Yields the requests to send, takes the answer to each, and returns the answer to the question.
Conversation: TypeAlias = Generator[Request[Any], Answer[Any], Answer[T_co]]


class Question(Protocol[T_co]):
    """What can be asked of the API, in one request or more."""

    @property
    def key(self) -> Hashable:
        """Tells questions apart: equal ones have equal answers."""

    def conversation(self) -> Conversation[T_co]:
        """Return the requests to send, each after the answer to the one before."""


def converse(question: Question[T], ask: Callable[[Request[Any]], Answer[Any]]) -> Answer[T]:
    """Ask a question to its end; return the answer to it all."""
    conversation = question.conversation()
    try:
        request = next(conversation)
        while True:
            request = conversation.send(ask(request))
    except StopIteration as end:
        return cast("Answer[T]", end.value)


async def converse_async(
    question: Question[T], ask: Callable[[Request[Any]], Awaitable[Answer[Any]]]
) -> Answer[T]:
    """Do as :func:`converse` does, in an event loop."""
    conversation = question.conversation()
    try:
        request = next(conversation)
        while True:
            request = conversation.send(await ask(request))
    except StopIteration as end:
        return cast("Answer[T]", end.value)
