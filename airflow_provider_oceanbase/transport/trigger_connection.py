"""An Airflow connection in the triggerer: read there, and again when its AccessKey is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException, read_connection
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseInputError
from airflow_provider_oceanbase.transport.shared_poll import SharedPoll, join

if TYPE_CHECKING:
    import logging

    from airflow_provider_oceanbase.cloud.query import Answer, Query, T


class TriggerConnection:
    """The connection as it is now, with its shared client, for a trigger that sends a query again and again.

    Use it with ``async with``.

    :param conn_id: ID of a connection of type ``oceanbase``
    :param log: where to warn of an unencrypted connection; None: a task has warned already
    """

    # A wait keeps one for hours.
    __slots__ = ("_conn_id", "_log", "_poll", "_query")

    def __init__(self, conn_id: str, log: logging.Logger | None = None) -> None:
        self._conn_id = conn_id
        self._log = log
        self._poll: SharedPoll[Any] | None = None
        self._query: Query[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        poll, self._poll = self._poll, None
        if poll is not None:
            await poll.leave()

    @property
    def age(self) -> float:
        """Seconds since the last answer that several waits share, 0 if none is shared."""
        return 0.0 if self._poll is None else self._poll.age

    async def fetch(self, query: Query[T], *, max_age: float | None = 0.0) -> Answer[T]:
        """Send a query and return the answer; send it once more if the AccessKey may have been rotated.

        :param max_age: see :meth:`SharedPoll.fetch`
        :raises OceanBaseInputError: the connection is missing, or a field of it is unusable
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        poll: SharedPoll[T] | None = self._poll
        if poll is None:
            # Not before the first poll, so that many waits do not all read their connections at once.
            poll = await self._join(await self._endpoint(), query)
        elif self._query is not query:
            poll = await self._join(poll.client.endpoint, query)
        try:
            return await poll.fetch(max_age=max_age)
        except OceanBaseCloudError as error:
            if not error.outdated:
                raise
        poll = await self._join(await self._endpoint(), query)
        return await poll.fetch(max_age=None if max_age is None else 0.0)

    async def _endpoint(self) -> Endpoint:
        try:
            endpoint = Endpoint.from_connection(*await read_connection(self._conn_id))
        except AirflowNotFoundException:
            what = f"Connection {self._conn_id!r} does not exist"
            hint = "Nothing was sent. Create it under Admin > Connections, or where connections are defined."
            raise OceanBaseInputError(what, hint=hint) from None
        if self._log and self._poll is None and endpoint.warning:
            self._log.warning("%s", endpoint.warning)
        return endpoint

    async def _join(self, endpoint: Endpoint, query: Query[T]) -> SharedPoll[T]:
        poll = join(endpoint, query)
        former, self._poll, self._query = self._poll, poll, query
        if former is not None:
            # Only now: if nothing has changed, it is the same poll, and its client stays open.
            await former.leave()
        return poll
