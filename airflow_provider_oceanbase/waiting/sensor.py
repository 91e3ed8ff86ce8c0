"""The waiting rule in a sensor: poke, reschedule and deferrable mode, whatever the condition."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_oceanbase.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    first_reschedule_date,
)
from airflow_provider_oceanbase.links import OceanBaseCloudLink
from airflow_provider_oceanbase.waiting.advice import advised
from airflow_provider_oceanbase.waiting.arguments import (
    POKE_INTERVAL,
    check_templates,
    seconds,
    sensor_timeout,
)
from airflow_provider_oceanbase.waiting.metrics import record_wait
from airflow_provider_oceanbase.waiting.start_option import StartsInTriggerer
from airflow_provider_oceanbase.waiting.tasks import (
    defer_wait,
    poll,
    raise_timeout,
    resumption,
    summary_in,
    take_waited_for,
    time_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.verdict import Condition
    from airflow_provider_oceanbase.waiting.wait import Wait

#: How the message of the base class for its timeout begins.
_TIMED_OUT = "Sensor has timed out"


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class WaitSensor(StartsInTriggerer, BaseSensorOperator):
    """Waits until a condition holds; subclasses say which.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param deferrable: wait in the triggerer, without a worker slot
    :param start_from_trigger: with ``deferrable``, also begin the wait there; default False
    :param poke_interval: seconds between two polls
    :param timeout: seconds until the last poll
    :param max_wait: longest pause in seconds with ``exponential_backoff``; None and 0 for no limit
    """

    operator_extra_links = (OceanBaseCloudLink(),)
    _wait: Wait[Any] | None = None
    #: When the wait began, in seconds since the epoch, and by the clock that is never set.
    _began = 0.0
    _began_monotonic = 0.0
    #: Whether an earlier run of the task has polled.
    _continues = False
    #: The trigger's event, until a poke has taken it.
    _event: dict[str, Any] | None = None
    _summary: Any = None

    def __init__(
        self,
        *,
        instance_id: str,
        oceanbase_conn_id: str,
        deferrable: bool,
        start_from_trigger: bool | None = False,
        poke_interval: float | timedelta = POKE_INTERVAL,
        timeout: float | timedelta | None = None,
        max_wait: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=seconds("poke_interval", poke_interval),
            timeout=sensor_timeout(timeout),
            max_wait=None if max_wait is None else seconds("max_wait", max_wait),
            **kwargs,
        )
        self.instance_id = instance_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.deferrable = deferrable
        self.start_from_trigger = start_from_trigger

    @property
    def _condition(self) -> Condition[Any]:
        """What is waited for."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait, and return the summary of what was waited for."""
        return advised(self.log, lambda: self._begin_to_wait(context))

    def _begin_to_wait(self, context: Context) -> Any:
        self._log_hindrance()
        check_templates(self, self._given)
        first_date = first_reschedule_date(context) if self.reschedule else None
        self._begin(time.time() if first_date is None else first_date.timestamp())
        self._continues = first_date is not None
        try:
            summary = self._poke_until_done(context)
        finally:
            self._hook.close()
            self._wait = None
        record_wait(self._began)
        return summary

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; after Airflow's own timeout of the trigger, as after the timeout of the wait."""
        resume = super().resume_execution
        self._forget_former_result(next_method, context)
        next_method, next_kwargs = resumption(next_method, next_kwargs, self.instance_id)
        # Around it: Airflow makes a skip of some errors here.
        return advised(self.log, lambda: resume(next_method, next_kwargs, context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the trigger's event, and return the summary of what was waited for."""
        taken = take_waited_for(self, event)
        raise_timeout(event, self.timeout, self.execution_timeout)
        if "summary" not in event:
            # It may be deferred again. The DAG may have got an argument meanwhile.
            check_templates(self, {*self._given} - taken)
        self._begin(event["began"])
        self._continues = True
        self._event = event
        try:
            # The base class handles the error in the event.
            summary = self._poke_until_done(context)
        finally:
            if "_hook" in vars(self):
                self._hook.close()
        record_wait(self._began)
        return summary

    def _poke_until_done(self, context: Context) -> Any:
        # Not execute() itself, nor by super(): Airflow 2 takes it for a task that another task calls.
        execute = BaseSensorOperator.execute.__wrapped__  # type: ignore[attr-defined]
        try:
            return execute(self, context)
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            if self._wait is None or not str(error).startswith(_TIMED_OUT):
                raise
            # The base class does not know which backup it was, and how it stands.
            text = self._wait.timed_out(self._schedule, self._began)
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(text)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once; and once more if the wait times out meanwhile, which for the base class is the end."""
        from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

        is_last = self._event is None and self._is_over
        try:
            summary = self._look()
        except OceanBaseCloudError as error:
            if is_last or not (self.silent_fail and self._is_over):
                raise
            self.log.error("Sensor poke failed: %s", error)
            summary = None
        if summary is None and not is_last and self._is_over:
            summary = self._look()
        return False if summary is None else self._complete(summary)

    def _look(self) -> Any:
        """Take what the trigger has found, or poll; None to keep waiting."""
        if self._event is not None:
            event, self._event = self._event, None
            return summary_in(event)
        from airflow_provider_oceanbase.waiting.wait import Wait

        if self._wait is None:
            self._wait = Wait(self._condition, self.log, first=not self._continues)
            rescheduled = self.reschedule and self._continues
            self._wait.lasts(self._schedule, self._began, rescheduled=rescheduled)
        found = poll(self._hook, self._wait)
        return None if found is None else self._wait.condition.summary(found)

    def _begin(self, began: float) -> None:
        from airflow_provider_oceanbase.waiting.wait import passed

        self._began = began
        self._began_monotonic = time.monotonic() - passed(began)

    @property
    def _limit(self) -> float:
        return time_limit(self.timeout, self.execution_timeout)[0] if self.deferrable else self.timeout

    @property
    def _is_over(self) -> bool:
        return time.monotonic() - self._began_monotonic >= self._limit

    def _complete(self, summary: Any) -> PokeReturnValue:
        self._summary = summary
        return PokeReturnValue(is_done=True, xcom_value=dict(summary))

    @property
    def _schedule(self) -> PollSchedule:
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule

        return PollSchedule(
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            # For Airflow, too, 0 is no limit.
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            timeout=self._limit,
        )

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        # The base class has applied its other rules, and is about to wait.
        if self.deferrable:
            self._defer()
        retry_after = self._wait.retry_after if self._wait else None
        return self._schedule.pause(run_duration(), retry_after=retry_after, seed=started_at)

    def _defer(self) -> NoReturn:
        if self._continues and self._is_over and self._wait:
            # With silent_fail: the last poll has failed, and for the base class the time begins anew.
            timeout = {"timeout": self._wait.timed_out(self._schedule, self._began)}
            raise_timeout(timeout, self.timeout, self.execution_timeout)
        defer_wait(
            self,
            self._trigger_class,
            self._condition,
            self._schedule,
            hook=self._hook,
            began=self._began,
            status=self._wait.status if self._wait else None,
        )
