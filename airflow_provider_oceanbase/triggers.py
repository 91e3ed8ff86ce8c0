"""BackupSetTrigger: a wait for a backup set that holds no worker slot."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oceanbase.backup_set import BackupSet, backup_set_request, summary
from airflow_provider_oceanbase.client import CloudClient, shared_client
from airflow_provider_oceanbase.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError, shown
from airflow_provider_oceanbase.waiting import BackupSetWait, WaitPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_oceanbase.api import Answer, Request, T


class BackupSetTrigger(BaseTrigger):
    """Waits until a backup set is done, has failed, or the time is over.

    :class:`~airflow_provider_oceanbase.sensors.BackupSetSensor` defers to it.

    It yields one event, a dict with ``began`` as it was given, and one of

    - ``summary``: done; the summary of the set
    - ``failed``: a :class:`~airflow_provider_oceanbase.exceptions.BackupSetFailedError` as a dict
    - ``error``: an :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` as a dict
    - ``timeout``: a message

    Airflow stores the arguments as plain text: IDs, statuses and numbers, never a secret. The connection is
    read where the trigger runs, and afresh after HTTP 401 or 403.

    :param plan: the fields of a :class:`~airflow_provider_oceanbase.waiting.WaitPlan`
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param began: when the wait began, in seconds since the epoch
    :param status: the last status that is known, so that only a change of it is logged
    """

    def __init__(
        self, *, plan: dict[str, Any], oceanbase_conn_id: str, began: float, status: str | None
    ) -> None:
        # An exception here would stop the whole triggerer: whatever came is looked at in run().
        super().__init__()  # type: ignore[no-untyped-call]
        self.plan = plan
        self.oceanbase_conn_id = oceanbase_conn_id
        self.began = began
        self.status = status

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path, and the arguments to make the trigger again."""
        return "airflow_provider_oceanbase.triggers.BackupSetTrigger", {
            "plan": self.plan,
            "oceanbase_conn_id": self.oceanbase_conn_id,
            "began": self.began,
            "status": self.status,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        try:
            outcome = await self._wait()
        except BackupSetFailedError as error:
            outcome = {"failed": error.to_dict()}
        except OceanBaseCloudError as error:
            outcome = {"error": error.to_dict()}
        except Exception as error:
            # The task has to learn of it, whatever it is: a trigger that dies leaves no reason behind.
            self.log.exception("The wait broke off.")
            broken = OceanBaseCloudError(
                f"the wait broke off in the triggerer ({type(error).__name__}: {shown(str(error))})",
                hint="The triggerer's log has the details. A retry of the task begins the wait again.",
            )
            outcome = {"error": broken.to_dict()}
        yield TriggerEvent({"began": self.began, **outcome})  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        plan = WaitPlan(**self.plan)
        wait = BackupSetWait(plan, self.log, first=False, status=self.status)
        request = backup_set_request(plan.instance_id, plan.backup_task_id)
        # Where the clock has been set back, the wait begins now.
        passed = max(time.time() - self.began, 0.0)
        since = time.monotonic() - passed
        async with _Connected(self.oceanbase_conn_id) as connected:
            self.log.info(
                "%s was last seen with status %s. Waiting: a check every %g s%s, for %.0f s more at most.",
                plan.subject,
                wait.status,
                plan.poke_interval,
                " at first" if plan.exponential_backoff else "",
                max(plan.timeout - passed, 0.0),
            )
            # Waits that begin together, or in a triggerer that has just started, must not check together.
            pause = plan.pause(passed, seed=self.began) * random.random()  # noqa: S311 - no secret
            while True:
                is_last = time.monotonic() - since + pause >= plan.timeout
                await asyncio.sleep(pause)
                if backup_set := await _check(connected, request, wait):
                    return {"summary": dict(summary(backup_set))}
                elapsed = time.monotonic() - since
                if is_last or elapsed > plan.timeout:
                    return {"timeout": wait.timed_out(elapsed)}
                pause = plan.pause(elapsed, retry_after=wait.retry_after, seed=self.began)


async def _check(
    connected: _Connected, request: Request[BackupSet | None], wait: BackupSetWait
) -> BackupSet | None:
    try:
        answer = await connected.ask(request, wait)
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    return wait.answered(*answer)


class _Connected:
    """The shared client of a connection, as the connection is now."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: CloudClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.release()

    async def ask(self, request: Request[T], wait: BackupSetWait) -> Answer[T]:
        # Not before the first check, so that many waits do not all read their connections at once.
        client = self._client or await self._connect()
        try:
            return await client.ask(request)
        except OceanBaseCloudError as error:
            if not wait.wants_fresh_connection(error):
                raise
        client = await self._connect()
        return await client.ask(request)

    async def _connect(self) -> CloudClient:
        connection = await get_async_connection(self._conn_id)
        endpoint = Endpoint.from_connection(connection, await get_async_extra_dejson(connection))
        former, self._client = self._client, shared_client(endpoint).acquire()
        # Only now: where nothing has changed, it is the same, and stays open.
        if former is not None:
            await former.release()
        return self._client
