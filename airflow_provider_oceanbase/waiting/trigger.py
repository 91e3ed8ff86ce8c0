"""The waiting rule in a trigger, whatever the condition."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_oceanbase.cloud.query import Query, T
    from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
    from airflow_provider_oceanbase.waiting.verdict import Condition
    from airflow_provider_oceanbase.waiting.wait import Wait


# Imports inside functions: DAG files with assets import this module when parsed.
class WaitTrigger(BaseTrigger):
    """Waits until a condition holds, cannot hold any more, or the wait times out.

    It yields one event, a dict with ``began`` and ``condition`` as they were given, and one of

    - ``summary``: the summary of what was waited for, such as a backup set
    - ``failed``: a :class:`~airflow_provider_oceanbase.exceptions.WaitFailedError` as a dict
    - ``error``: an :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` as a dict
    - ``timeout``: a message

    Airflow stores the arguments as plain text: IDs, statuses and numbers, never a secret. The connection is
    read where the trigger runs, and again when a poll fails.

    :param condition: the fields of the condition
    :param schedule: the fields of a :class:`~airflow_provider_oceanbase.waiting.schedule.PollSchedule`
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param began: when the wait began, in seconds since the epoch
    :param status: the last known status, so that only a change of it is logged
    """

    def __init__(
        self,
        *,
        condition: dict[str, Any],
        schedule: dict[str, Any],
        oceanbase_conn_id: str,
        began: float,
        status: str | None,
    ) -> None:
        # An exception here would stop the whole triggerer: run() checks the arguments.
        super().__init__()  # type: ignore[no-untyped-call]
        self.condition = condition
        self.schedule = schedule
        self.oceanbase_conn_id = oceanbase_conn_id
        self.began = began
        self.status = status

    @property
    def condition_class(self) -> Callable[..., Condition[Any]]:
        """The class of the condition."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class, and the arguments to make the trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "condition": self.condition,
            "schedule": self.schedule,
            "oceanbase_conn_id": self.oceanbase_conn_id,
            "began": self.began,
            "status": self.status,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        from airflow_provider_oceanbase.exceptions import (
            OceanBaseCloudError,
            WaitFailedError,
            frames,
            unexpected,
        )

        try:
            outcome = await self._wait()
        except WaitFailedError as error:
            outcome = {"failed": error.to_dict()}
        except OceanBaseCloudError as error:
            outcome = {"error": error.to_dict()}
        except Exception as error:
            # The task has to receive any error: a trigger that dies leaves no reason behind.
            self.log.error("The wait stopped unexpectedly (%s):\n%s", type(error).__name__, frames(error))
            hint = "See the triggerer's log. A retry of the task begins the wait again."
            known = {"hint": hint, "conn_id": self.oceanbase_conn_id}
            outcome = {"error": unexpected("Wait", error, **known).to_dict()}
        event = {"began": self.began, "condition": self.condition, **outcome}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule
        from airflow_provider_oceanbase.waiting.wait import Wait

        schedule = PollSchedule(**self.schedule)
        # The class's logger: one of its own takes a kilobyte for as long as the wait lasts.
        wait = Wait(self.condition_class(**self.condition), self.logger(), first=False, status=self.status)
        query = wait.condition.query
        async with TriggerConnection(self.oceanbase_conn_id, is_final=wait.is_final) as connection:
            wait.resumed(schedule, self.began)
            # Waits that begin together, or in a triggerer that has just started, must not poll together.
            first_share = random.random()  # noqa: S311 - no secret
            for pause, max_age, limit in wait.polls(schedule, self.began, first_share=first_share):
                await asyncio.sleep(pause)
                if found := await _poll(connection, query, wait, max_age, limit):
                    return {"summary": wait.condition.summary(found)}
                # So that waits with equal queries come to poll together, by one request.
                wait.age = connection.age
        return {"timeout": wait.timed_out(schedule, self.began)}


async def _poll(
    connection: TriggerConnection, query: Query[T], wait: Wait[T], max_age: float | None, limit: float
) -> Any:
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

    try:
        async with asyncio.timeout(limit) as timer:
            answer = await connection.fetch(query, max_age=max_age, read_age=max_age or 0.0)
    except TimeoutError:
        if not timer.expired():
            raise
        wait.cut_off(limit)
        return None
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    return wait.answered(*answer)
