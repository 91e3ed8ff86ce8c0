"""The Airflow connection of a task: read when it is needed, and again when polls fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from airflow_provider_oceanbase.cloud.failures import without_frames
from airflow_provider_oceanbase.transport.known_connection import KnownConnection, run_steps
from airflow_provider_oceanbase.transport.repeating import retrying

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    import requests

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, T
    from airflow_provider_oceanbase.compat.sdk import Connection
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
    from airflow_provider_oceanbase.transport.known_connection import Steps


class TaskConnection:
    """The connection as it is now, with its session.

    :param conn_id: ID of a connection of type ``oceanbase``
    :param stored: returns what Airflow has stored by that ID
    :param log: where to warn of an unencrypted connection, and of retries
    """

    def __init__(
        self, conn_id: str, stored: Callable[[str], Connection], log: logging.Logger | AirflowLogger
    ) -> None:
        self.known = KnownConnection(conn_id)
        self._stored = stored
        self._log = log
        self._session: requests.Session | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go.

        :raises OceanBaseInputError: there is no connection, or a field is missing or unusable
        :raises OceanBaseUnavailableError: the connection cannot be read now
        """
        if self.known.endpoint is None:
            self._read()
        if self.known.endpoint is None:
            raise cast("OceanBaseCloudError", self.known.failure())
        return self.known.endpoint

    def find(self) -> Endpoint:
        """Return the endpoint; look for its connection for a while, if what stores it may be down."""
        attempts = retrying(lambda _: self.known.may_be_away, self._log)
        return without_frames(lambda: attempts(lambda: self.endpoint))

    @property
    def session(self) -> requests.Session:
        """The session; the same until the connection is changed, or :meth:`close`."""
        if self._session is None:
            # Not with the module: many that load the hook, a DAG file among them, send nothing.
            from airflow_provider_oceanbase.transport.requests_client import new_session

            self._session = new_session(self.find())
        return self._session

    def poll(
        self,
        send: Callable[[Endpoint], Answer[T]],
        *,
        first: bool,
        is_final: Callable[[OceanBaseCloudError], bool],
    ) -> Answer[T]:
        """Send a query for a wait, and return the answer; if that fails, look at the connection again.

        :param first: whether it is the first poll of its task, and its connection is looked for
        :param is_final: whether an error would end the wait
        :raises OceanBaseCloudError: the failure
        """
        if first:
            self.find()
        steps: Steps[T] = self.known.polling(recent=time.monotonic(), is_final=is_final, confirm=not first)
        return run_steps(steps, send, lambda _: self._read())

    def close(self) -> None:
        """Close the session; the next use opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _read(self) -> None:
        """Read the connection; if it was changed, close the session to the former."""
        known = self.known
        former = known.endpoint
        with known.reading():
            connection = self._stored(known.conn_id)
            known.take(connection, connection.extra_dejson)
        if known.endpoint is None or known.endpoint == former:
            return
        self.close()
        if known.endpoint.warning:
            self._log.warning("%s", known.endpoint.warning)
