"""Waits that hold no worker slot."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from airflow_provider_oceanbase._compat import BaseTrigger, TriggerEvent
from airflow_provider_oceanbase.api import T
from airflow_provider_oceanbase.backup_set import BackupSet, summary
from airflow_provider_oceanbase.connected import Connected
from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError, shown
from airflow_provider_oceanbase.goals import BackupSetGoal, CheckpointGoal, Goal
from airflow_provider_oceanbase.waiting import Pace, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_oceanbase.conversation import Question


class WaitTrigger(BaseTrigger, Generic[T]):
    """Waits until a goal is reached, cannot be reached, or the time is over.

    It yields one event, a dict with ``began`` and ``goal`` as they were given, and one of

    - ``summary``: the summary of the backup set that was waited for
    - ``failed``: a :class:`~airflow_provider_oceanbase.exceptions.BackupSetFailedError` as a dict
    - ``error``: an :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` as a dict
    - ``timeout``: a message

    Airflow stores the arguments as plain text: IDs, statuses and numbers, never a secret. The connection is
    read where the trigger runs, and afresh after HTTP 401 or 403.

    :param goal: the fields of ``goal_class``
    :param pace: the fields of a :class:`~airflow_provider_oceanbase.waiting.Pace`
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param began: when the wait began, in seconds since the epoch
    :param status: the last status that is known, so that only a change of it is logged
    """

    goal_class: ClassVar[Callable[..., Goal[Any]]]

    def __init__(
        self,
        *,
        goal: dict[str, Any],
        pace: dict[str, Any],
        oceanbase_conn_id: str,
        began: float,
        status: str | None,
    ) -> None:
        # An exception here would stop the whole triggerer: whatever came is looked at in run().
        super().__init__()  # type: ignore[no-untyped-call]
        self.goal = goal
        self.pace = pace
        self.oceanbase_conn_id = oceanbase_conn_id
        self.began = began
        self.status = status

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path, and the arguments to make the trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "goal": self.goal,
            "pace": self.pace,
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
        yield TriggerEvent({"began": self.began, "goal": self.goal, **outcome})  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        pace = Pace(**self.pace)
        # The class's logger: one of its own takes a kilobyte for as long as the wait lasts.
        wait: Wait[T] = Wait(self.goal_class(**self.goal), self.logger(), first=False, status=self.status)
        question = wait.goal.question
        async with Connected(self.oceanbase_conn_id) as connected:
            wait.resumed(pace, self.began)
            # Waits that begin together, or in a triggerer that has just started, must not check together.
            first_share = random.random()  # noqa: S311 - no secret
            for pause, max_age in wait.pauses(pace, self.began, first_share=first_share):
                await asyncio.sleep(pause)
                if backup_set := await _check(connected, question, wait, max_age):
                    return {"summary": dict(summary(backup_set))}
                # So that waits for the same come to check together, by one request.
                wait.age = connected.age
        return {"timeout": wait.timed_out(pace, self.began)}


class BackupSetTrigger(WaitTrigger["BackupSet | None"]):
    """Waits until a backup set is done, has failed, or the time is over.

    :class:`~airflow_provider_oceanbase.sensors.BackupSetSensor` defers to it.

    Its goal is a :class:`~airflow_provider_oceanbase.goals.BackupSetGoal`; all else is that of
    :class:`WaitTrigger`.
    """

    goal_class = BackupSetGoal


class BackupCheckpointTrigger(WaitTrigger["list[BackupSet]"]):
    """Waits until an instance has a backup that is late enough, or the time is over.

    :class:`~airflow_provider_oceanbase.sensors.BackupCheckpointSensor` defers to it.

    Its goal is a :class:`~airflow_provider_oceanbase.goals.CheckpointGoal`; all else is that of
    :class:`WaitTrigger`.
    """

    goal_class = CheckpointGoal


async def _check(
    connected: Connected, question: Question[T], wait: Wait[T], max_age: float
) -> BackupSet | None:
    try:
        answer = await connected.ask(question, max_age=max_age)
    except OceanBaseCloudError as error:
        wait.failed(error)
        return None
    return wait.answered(*answer)
