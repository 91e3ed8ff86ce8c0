"""The connection of a trigger: read where the trigger runs, and afresh where its AccessKey is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

from airflow_provider_oceanbase.client import CloudClient, shared_client
from airflow_provider_oceanbase.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

if TYPE_CHECKING:
    from airflow_provider_oceanbase.api import Answer, T
    from airflow_provider_oceanbase.conversation import Question


class Connected:
    """The shared client of a connection, as the connection is now; use it by ``async with``.

    :param conn_id: ID of a connection of type ``oceanbase``
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: CloudClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.release()

    async def ask(self, question: Question[T]) -> Answer[T]:
        """Ask once and return the answer; once more where the AccessKey may have been rotated.

        :raises OceanBaseCloudError: what failed
        """
        # Not before the first check, so that many waits do not all read their connections at once.
        client = self._client or await self._connect()
        try:
            return await client.ask(question)
        except OceanBaseCloudError as error:
            if not error.outdated:
                raise
        client = await self._connect()
        return await client.ask(question)

    async def _connect(self) -> CloudClient:
        connection = await get_async_connection(self._conn_id)
        endpoint = Endpoint.from_connection(connection, await get_async_extra_dejson(connection))
        former, self._client = self._client, shared_client(endpoint).acquire()
        # Only now: where nothing has changed, it is the same, and stays open.
        if former is not None:
            await former.release()
        return self._client
