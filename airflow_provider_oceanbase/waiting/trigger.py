"""The waiting rule in a trigger, whatever the condition."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import BaseTrigger, TriggerEvent
from airflow_provider_oceanbase.compat.triggerer import forget_dag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from jinja2 import Environment

    from airflow_provider_oceanbase.cloud.query import Answer, Query, T
    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
    from airflow_provider_oceanbase.waiting.beginning import Start
    from airflow_provider_oceanbase.waiting.verdict import Condition
    from airflow_provider_oceanbase.waiting.wait import Wait


# Imports inside functions: DAG files with assets import this module when parsed.
class WaitTrigger(BaseTrigger):
    """Waits until a condition holds, cannot hold any more, or the wait times out.

    It yields one event, a dict with ``began``, ``condition`` and ``oceanbase_conn_id`` as they were given,
    and one of

    - ``summary``: the summary of what was waited for, such as a backup set
    - ``failed``: a :class:`~airflow_provider_oceanbase.exceptions.WaitFailedError` as a dict
    - ``error``: an :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` as a dict
    - ``timeout``: a message

    Airflow stores the arguments as plain text: IDs, statuses and numbers, never a secret. The connection is
    read where the trigger runs, and again when a poll fails.

    :param schedule: the fields of a :class:`~airflow_provider_oceanbase.waiting.schedule.PollSchedule`
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param began: when the wait began, in seconds since the epoch
    :param status: the last known status, so that only a change of it is logged
    :param start: the fields of a :class:`~airflow_provider_oceanbase.waiting.beginning.Start`, if no worker
        has begun the wait: the triggerer then renders templates, and the first poll is the first of the task
    :param condition: the fields of the condition
    """

    #: What Airflow renders templates with, until they are rendered.
    _rendering: tuple[Context, Environment | None] | None = None

    def __init__(
        self,
        *,
        schedule: dict[str, Any],
        oceanbase_conn_id: str,
        began: float = 0.0,
        status: str | None = None,
        start: dict[str, Any] | None = None,
        **condition: Any,
    ) -> None:
        # An exception here would stop the whole triggerer: run() checks the arguments.
        super().__init__()  # type: ignore[no-untyped-call]
        self.schedule = schedule
        self.oceanbase_conn_id = oceanbase_conn_id
        self.began = began
        self.status = status
        self.start = start
        # One attribute each: Airflow renders no templates in a dict.
        self._names = tuple(condition)
        vars(self).update(condition)

    @property
    def condition_class(self) -> Callable[..., Condition[Any]]:
        """The class of the condition."""
        raise NotImplementedError

    @property
    def condition_fields(self) -> dict[str, Any]:
        """The fields of the condition."""
        return {name: getattr(self, name) for name in self._names}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class, and the arguments to make the trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "schedule": self.schedule,
            "oceanbase_conn_id": self.oceanbase_conn_id,
            "began": self.began,
            "status": self.status,
            **({"start": self.start} if self.start else {}),
            **self.condition_fields,
        }

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Take what Airflow renders templates with, for :meth:`run`.

        Airflow calls it for any wait of a task with ``start_from_trigger``. What a worker has rendered stays
        as it is: a value may look like a template.
        """
        if self.start:
            self._rendering = context, jinja_env
        else:
            forget_dag(self.task_instance, context)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        from airflow_provider_oceanbase._texts import frames
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, WaitFailedError, unexpected

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
        # What could not be rendered has no names.
        named = {"oceanbase_conn_id": self.oceanbase_conn_id} if self._names else {}
        event = {"began": self.began, "condition": self.condition_fields, **named, **outcome}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule
        from airflow_provider_oceanbase.waiting.wait import Wait

        # The class's logger: one of its own takes a kilobyte for as long as the wait lasts.
        log = self.logger()
        first = await self._begin()
        schedule = PollSchedule(**self.schedule)
        wait = Wait(self.condition_class(**self.condition_fields), log, first=first, status=self.status)
        query = wait.condition.query
        # If a worker has begun the wait, it has warned of an unencrypted connection.
        warns = log if self.start else None
        async with TriggerConnection(self.oceanbase_conn_id, warns, is_final=wait.is_final) as connection:
            wait.resumed(schedule, self.began)
            # Waits that begin together, or in a triggerer that has just started, must not poll together.
            first_share = random.random()  # noqa: S311 - no secret
            polls = wait.polls(schedule, self.began, first_share=first_share, at_once=first)
            for pause, max_age, limit in polls:
                await asyncio.sleep(pause)
                if found := await _poll(connection, query, wait, max_age, limit):
                    return {"summary": wait.condition.summary(found)}
                # So that waits with equal queries come to poll together, by one request.
                wait.age = connection.age
        return {"timeout": wait.timed_out(schedule, self.began)}

    async def _begin(self) -> bool:
        """Begin the wait, unless a worker has; return whether its next poll is its first.

        :raises OceanBaseInputError: an argument is unusable
        """
        if not self.start:
            return False
        from airflow_provider_oceanbase.waiting.beginning import Start, is_first

        start = Start(**self.start)
        # Airflow sets it; the other one is for whoever runs the trigger otherwise.
        self.began = start.began(getattr(self, "timeout_after", None))
        # What is unusable stays out of the event, too.
        names, self._names = self._names, ()
        try:
            await self._make_arguments(start)
        finally:
            self._forget_dag()
        for name, seconds in start.since_began.items():
            setattr(self, name, self.began + seconds)
        self._names = names + tuple(start.since_began)
        return is_first(self.began)

    async def _make_arguments(self, start: Start) -> None:
        """Take what the templates made when the wait began; if it begins now, render, check and keep it."""
        from airflow_provider_oceanbase.exceptions import OceanBaseUnavailableError
        from airflow_provider_oceanbase.waiting.arguments import check_templates
        from airflow_provider_oceanbase.waiting.beginning import may_have_begun
        from airflow_provider_oceanbase.waiting.kept import Kept

        kept = Kept(self.task_instance, self.began, self.logger())
        # Of a task's first try without templates, nothing could be lost by beginning again.
        keeps = bool(start.templated) or kept.follows_a_try
        earlier = await kept.earlier() if keeps and may_have_begun(self.began) else None
        if earlier is not None:
            vars(self).update(earlier)
            return
        try:
            if start.templated:
                self._render_arguments()
            check_templates(self, start.given)
        except Exception:
            # Not when it is cancelled: Airflow may not answer any more. The try ends without a result, and
            # why it ends counts more than that a former one may stay.
            with suppress(OceanBaseUnavailableError):
                await kept.forget_result()
            raise
        # Not only after the answers of Airflow, which many waits may await at once.
        self._forget_dag()
        await kept.forget_result()
        if keeps:
            await kept.keep({name: getattr(self, name) for name in start.templated})

    def _forget_dag(self) -> None:
        if self._rendering:
            forget_dag(self.task_instance, self._rendering[0])
            self._rendering = None

    def _render_arguments(self) -> None:
        """Render the templates as a worker does: what is not defined is an error.

        :raises OceanBaseUnavailableError: that is not possible, now
        """
        from jinja2 import StrictUndefined

        from airflow_provider_oceanbase.waiting.kept import not_rendered

        if self._rendering is None:
            raise not_rendered("")
        context, jinja_env = self._rendering
        strict = (jinja_env or self.get_template_env()).overlay(undefined=StrictUndefined)
        names = self.template_fields
        for name in names:
            # Airflow's log says why it fails, but the error not what.
            self.template_fields = (name,)
            try:
                super().render_template_fields(context, strict)
            except Exception as error:
                raise not_rendered(f"{name}: {type(error).__name__}") from None
            finally:
                self.template_fields = names


async def _poll(
    connection: TriggerConnection, query: Query[T], wait: Wait[T], max_age: float | None, limit: float
) -> Any:
    from airflow_provider_oceanbase.cloud.query import Request

    retries = wait.log if wait.first else None
    # Most polls need no timer: the wait has hours left, and a request that is not repeated ends by itself.
    ends_by_itself = not retries and isinstance(query, Request) and limit > connection.longest
    timer = None if ends_by_itself else asyncio.timeout(limit)
    fetching = connection.fetch(query, max_age=max_age, read_age=max_age or 0.0, retries=retries)
    try:
        answer = await fetching if timer is None else await _timed(timer, fetching)
    except Exception as error:
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

        if isinstance(error, TimeoutError) and timer is not None and timer.expired():
            wait.cut_off(limit)
            return None
        if not isinstance(error, OceanBaseCloudError):
            raise
        wait.failed(error)
        return None
    try:
        return wait.answered(*answer)
    except Exception as error:
        from airflow_provider_oceanbase.cloud.failures import name
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

        if isinstance(error, OceanBaseCloudError):
            name(error, connection.endpoint)
        raise


async def _timed(timer: asyncio.Timeout, fetching: Awaitable[Answer[T]]) -> Answer[T]:
    async with timer:
        return await fetching
