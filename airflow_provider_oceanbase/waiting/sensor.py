"""The waiting rule in a sensor: poke, reschedule and deferrable mode, whatever the condition."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_oceanbase.compat.sdk import BaseSensorOperator, PokeReturnValue, first_reschedule_date
from airflow_provider_oceanbase.waiting.arguments import check_templates, final_statuses
from airflow_provider_oceanbase.waiting.metrics import record_wait
from airflow_provider_oceanbase.waiting.tasks import defer_wait, poll, raise_timeout, summary_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_oceanbase.cloud.backup_set import BackupSetSummary
    from airflow_provider_oceanbase.compat.sdk import Context
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.waiting.conditions import Condition
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.trigger import WaitTrigger
    from airflow_provider_oceanbase.waiting.wait import Wait


# Imports inside functions: a DAG file is parsed far more often than its tasks run.
class WaitSensor(BaseSensorOperator):
    """Waits for a backup set; subclasses say for which.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param success_statuses: statuses of a complete backup set
    :param failure_statuses: statuses of a failed backup set
    :param deferrable: wait in the triggerer, without a worker slot
    """

    #: Optional arguments that the DAG gives.
    _given: Collection[str] = ()
    _wait: Wait[Any] | None = None
    #: When the wait began that this run continues, in seconds since the epoch; None if it begins now.
    _began: float | None = None
    #: The trigger's event, until a poke has taken it.
    _event: dict[str, Any] | None = None
    _summary: BackupSetSummary | None = None

    def __init__(
        self,
        *,
        instance_id: str,
        oceanbase_conn_id: str,
        success_statuses: Collection[str],
        failure_statuses: Collection[str],
        deferrable: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.success_statuses, self.failure_statuses = final_statuses(success_statuses, failure_statuses)
        self.deferrable = deferrable

    @property
    def _condition(self) -> Condition[Any]:
        """What is waited for."""
        raise NotImplementedError

    @property
    def _backup_task(self) -> str | None:
        """ID of the backup task that was waited for, None if it is not known."""
        raise NotImplementedError

    @property
    def _trigger_class(self) -> type[WaitTrigger]:
        """The trigger that waits for it."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait for the backup set, and return its summary."""
        check_templates(self, self._given)
        began = time.time()
        try:
            summary = self._poke_until_done(context)
        finally:
            self._hook.close()
            self._wait = None
        record_wait(began if self._began is None else self._began)
        return summary

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the trigger's event, and return the summary of the set."""
        began = self._began = event["began"]
        raise_timeout(event, self.timeout, self.execution_timeout)
        if "summary" not in event:
            # It may be deferred again. What was found stays found, whatever templates render to by now.
            check_templates(self, self._given)
        self._event = event
        # The base class handles the error in the event.
        summary = self._poke_until_done(context)
        record_wait(began)
        return summary

    def _poke_until_done(self, context: Context) -> Any:
        # Not execute() itself, nor by super(): Airflow 2 takes it for a task that another task calls.
        return BaseSensorOperator.execute.__wrapped__(self, context)  # type: ignore[attr-defined]

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        if self._event is not None:
            event, self._event = self._event, None
            return self._complete(summary_in(event))
        from airflow_provider_oceanbase.cloud.backup_set import summary

        wait = self._wait = self._wait or self._new_wait(context)
        backup_set = poll(self._hook, wait)
        return False if backup_set is None else self._complete(summary(backup_set))

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any] | None:
        """Return the backup set as an input dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.compat.openlineage import backup_set_lineage

        if (name := self._backup_task) is None:
            return None
        return backup_set_lineage(self._hook.endpoint.origin, self.instance_id, name, self._summary)

    def _complete(self, summary: BackupSetSummary) -> PokeReturnValue:
        self._summary = summary
        return PokeReturnValue(is_done=True, xcom_value=dict(summary))

    @property
    def _schedule(self) -> PollSchedule:
        from airflow_provider_oceanbase.waiting.schedule import PollSchedule

        return PollSchedule(
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=None if self.max_wait is None else self.max_wait.total_seconds(),
            timeout=self.timeout,
        )

    def _new_wait(self, context: Context) -> Wait[Any]:
        from airflow_provider_oceanbase.waiting.wait import Wait

        if self.reschedule and (first_date := first_reschedule_date(context)):
            self._began = first_date.timestamp()
        return Wait(self._condition, self.log, first=self._began is None)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        # The base class has applied its other rules, and is about to wait.
        if self.deferrable:
            self._defer(run_duration())
        retry_after = self._wait.retry_after if self._wait else None
        return self._schedule.pause(run_duration(), retry_after=retry_after, seed=started_at)

    def _defer(self, elapsed: float) -> NoReturn:
        defer_wait(
            self,
            self._trigger_class,
            self._condition,
            self._schedule,
            oceanbase_conn_id=self.oceanbase_conn_id,
            began=time.time() - elapsed if self._began is None else self._began,
            status=self._wait.status if self._wait else None,
        )
