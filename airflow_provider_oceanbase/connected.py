"""The connection of a trigger: read where the trigger runs, and afresh where its AccessKey is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from airflow_provider_oceanbase._compat import read_connection
from airflow_provider_oceanbase.client import CloudClient, Poll, shared_client
from airflow_provider_oceanbase.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

if TYPE_CHECKING:
    from airflow_provider_oceanbase.api import Answer, T
    from airflow_provider_oceanbase.conversation import Question


class Connected:
    """Asks a question again and again by the shared client of a connection, as the connection is now.

    Use it by ``async with``.

    :param conn_id: ID of a connection of type ``oceanbase``
    """

    # A wait keeps one for hours.
    __slots__ = ("_client", "_conn_id", "_poll", "_question")

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: CloudClient | None = None
        self._question: Question[Any] | None = None
        self._poll: Poll[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._poll is not None:
            self._poll.leave()
        if self._client is not None:
            await self._client.release()

    @property
    def age(self) -> float:
        """Seconds since the last answer came to whoever asked for it."""
        return 0.0 if self._poll is None else self._poll.age

    async def ask(self, question: Question[T], *, max_age: float = 0.0) -> Answer[T]:
        """Ask once and return the answer; once more where the AccessKey may have been rotated.

        :param max_age: how old an answer to another may be to serve for this one too, in seconds
        :raises OceanBaseCloudError: what failed
        """
        poll: Poll[T] | None = self._poll
        if poll is None or self._question is not question:
            # Not before the first check, so that many waits do not all read their connections at once.
            poll = self._join(self._client or await self._connect(), question)
        try:
            return await poll.ask(max_age=max_age)
        except OceanBaseCloudError as error:
            if not error.outdated:
                raise
        poll = self._join(await self._connect(), question)
        return await poll.ask()

    async def _connect(self) -> CloudClient:
        endpoint = Endpoint.from_connection(*await read_connection(self._conn_id))
        former, self._client = self._client, shared_client(endpoint).acquire()
        if former is not None:
            # Only now: where nothing has changed, it is the same, and stays open.
            await former.release()
        return self._client

    def _join(self, client: CloudClient, question: Question[T]) -> Poll[T]:
        former, self._poll, self._question = self._poll, client.join(question), question
        if former is not None:
            # Only now, likewise.
            former.leave()
        return self._poll
