"""An Airflow connection as it was last read, and when a poll reads it again: plain code without I/O.

Poke, reschedule and deferrable mode and watches all decide here, so they cannot disagree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.cloud.failures import name
from airflow_provider_oceanbase.cloud.query import Answer, T
from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from airflow_provider_oceanbase.cloud.endpoint import ConnectionLike

#: How long a connection must be missing or unusable before that ends a wait. Airflow has one answer for a
#: connection that was deleted and for a secrets backend that is down: only time tells them apart.
GONE_SECONDS = 600.0
_HALF_A_DAY = timedelta(hours=12)
_MISSING_HINT = (
    "Create the connection under Admin > Connections, or in its store. If it is there, check that the store, "
    "such as a secrets backend, responds. Nothing was sent."
)
_UNREADABLE_HINT = "Check what stores the connection, such as a secrets backend. Nothing was sent."


class Read(NamedTuple):
    """A step of a poll: read the connection.

    :param since: a reading that began earlier does not count; by ``time.monotonic()``
    """

    since: float


#: Yields what to do next: read the connection, or send the query to an endpoint. Returns the answer.
Steps: TypeAlias = Generator[Read | Endpoint, Answer[T] | None, Answer[T]]


class KnownConnection:
    """A connection as it was last read.

    :param conn_id: ID of a connection of type ``oceanbase``
    """

    __slots__ = ("_accepted", "_bad_since", "_problem", "conn_id", "endpoint", "may_be_away", "read_at")

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        #: The last usable reading, None if there was none yet.
        self.endpoint: Endpoint | None = None
        #: When the last reading began, usable or not.
        self.read_at = -math.inf
        #: Whether the last reading failed in a way that another may not.
        self.may_be_away = False
        self._problem: tuple[str, str | None] | None = None
        self._bad_since: float | None = None
        #: The last endpoint that has answered, and when, in seconds since the epoch.
        self._accepted: tuple[Endpoint, float] | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Record what comes of reading the connection: around that, and :meth:`take`. Raise nothing."""
        began = time.monotonic()
        problem: tuple[str, str | None] | None = None
        is_bad = may_be_away = False
        try:
            yield
        except AirflowNotFoundException:
            problem = "Connection missing, or not readable now", _MISSING_HINT
            is_bad = may_be_away = True
        except OceanBaseInputError as error:
            problem, is_bad = (error.what, error.hint), True
        except Exception as error:
            # Not its text, which may hold a secret.
            problem = f"Connection not readable ({type(error).__name__})", _UNREADABLE_HINT
            may_be_away = True
        self.read_at = max(self.read_at, began)
        self.may_be_away = may_be_away
        self._problem = problem
        self._bad_since = (began if self._bad_since is None else self._bad_since) if is_bad else None

    def take(self, connection: ConnectionLike, extra: Mapping[str, Any]) -> None:
        """Take what was read.

        :raises OceanBaseInputError: a field is missing or unusable
        """
        self.endpoint = Endpoint.from_connection(connection, extra)

    def failure(self) -> OceanBaseCloudError | None:
        """Return what was wrong with the last reading, None if nothing was."""
        if self._problem is None:
            return None
        what, hint = self._problem
        is_bad = self._bad_since is not None
        error_class = OceanBaseInputError if is_bad else OceanBaseUnavailableError
        return error_class(what, conn_id=self.conn_id, hint=hint)

    def polling(
        self, *, recent: float, is_final: Callable[[OceanBaseCloudError], bool], confirm: bool = True
    ) -> Steps[T]:
        """Return the steps of a poll: if it fails, the connection is read again, and a changed one is used.

        :param recent: readings since then will do, unless the failure is final
        :param is_final: whether an error would end the wait: not before the connection was read after it
        :param confirm: whether an error that may be outdated is final only the second time
        :raises OceanBaseCloudError: why there is no answer
        """
        if self.endpoint is None:
            yield from self._read_since(recent)
        used = self.endpoint
        if used is None:
            raise self._unread(is_final)
        try:
            answer = yield used
        except OceanBaseCloudError as error:
            self._describe(error, used)
            final = is_final(error)
            if self.endpoint == used:
                # Else another wait has read it meanwhile.
                yield from self._read_since(time.monotonic() if final else recent)
            if self.endpoint == used:
                if final and self._problem:
                    # Perhaps the key is refused because there is a new one: not final before it can be read.
                    raise self._unread(is_final) from None
                if not (final and confirm and error.outdated):
                    raise
        else:
            self._bad_since = None
            self._accepted = used, time.time()
            return cast("Answer[T]", answer)
        again = self.endpoint or used
        try:
            answer = yield again
        except OceanBaseCloudError as error:
            self._describe(error, again)
            raise
        self._accepted = again, time.time()
        return cast("Answer[T]", answer)

    def _describe(self, error: OceanBaseCloudError, endpoint: Endpoint) -> None:
        """Say with which connection a query failed, and until when a refused key was accepted."""
        name(error, endpoint)
        if isinstance(error, OceanBaseAuthenticationError) and self._accepted:
            accepted, at = self._accepted
            if accepted == endpoint:
                until = datetime.fromtimestamp(at, UTC)
                form = "%H:%M" if datetime.now(UTC) - until < _HALF_A_DAY else "%Y-%m-%d %H:%M"
                error.accepted_until = f"{until.strftime(form)} UTC"

    def _unread(self, is_final: Callable[[OceanBaseCloudError], bool]) -> OceanBaseCloudError:
        """Return why the last reading failed; for as long as that may pass, not as an end of the wait."""
        error = cast("OceanBaseCloudError", self.failure())
        if not is_final(error) or self._bad_since is None:
            return error
        if time.monotonic() - self._bad_since >= GONE_SECONDS:
            return error
        return OceanBaseUnavailableError(error.what, conn_id=self.conn_id, hint=error.hint)

    def _read_since(self, since: float) -> Iterator[Read]:
        if self.read_at < since:
            yield Read(since)


def run_steps(
    steps: Steps[T], send: Callable[[Endpoint], Answer[T]], read: Callable[[float], None]
) -> Answer[T]:
    """Do the steps of a poll; return the answer."""
    step = next(steps)
    try:
        while True:
            answer = None
            try:
                if isinstance(step, Endpoint):
                    answer = send(step)
                else:
                    read(step.since)
            except OceanBaseCloudError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return cast("Answer[T]", end.value)


async def run_steps_async(
    steps: Steps[T],
    send: Callable[[Endpoint], Awaitable[Answer[T]]],
    read: Callable[[float], Awaitable[None]],
) -> Answer[T]:
    """Do as :func:`run_steps` does, in an event loop."""
    step = next(steps)
    try:
        while True:
            answer = None
            try:
                if isinstance(step, Endpoint):
                    answer = await send(step)
                else:
                    await read(step.since)
            except OceanBaseCloudError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return cast("Answer[T]", end.value)
