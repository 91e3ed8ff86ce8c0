"""What the sensors share: poke, reschedule and deferrable mode for a wait, whatever for."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_oceanbase._compat import BaseSensorOperator, PokeReturnValue, first_reschedule_date
from airflow_provider_oceanbase.statuses import ending_statuses
from airflow_provider_oceanbase.task_waits import check, deferral, measure, summary_in, time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_oceanbase._compat import Context
    from airflow_provider_oceanbase.backup_set import BackupSetSummary
    from airflow_provider_oceanbase.goals import Goal
    from airflow_provider_oceanbase.hooks import OceanBaseHook
    from airflow_provider_oceanbase.triggers import WaitTrigger
    from airflow_provider_oceanbase.waiting import Pace, Wait


# What only a run needs is imported where it is needed: a DAG file is parsed far more often than it runs.
class WaitSensor(BaseSensorOperator):
    """Waits for a backup; what for is its subclasses' business.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated)
    :param success_statuses: statuses of a backup set that is done
    :param failure_statuses: statuses of a backup set that has failed
    :param deferrable: wait in the triggerer, without a worker slot
    """

    _wait: Wait[Any] | None = None
    #: When the wait began that this run goes on with, in seconds since the epoch; None where it begins now.
    _began: float | None = None
    #: What the trigger said of its wait, until a poke has taken it.
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
        self.success_statuses, self.failure_statuses = ending_statuses(success_statuses, failure_statuses)
        self.deferrable = deferrable

    @property
    def _goal(self) -> Goal[Any]:
        """What is waited for."""
        raise NotImplementedError

    @property
    def _backup_task(self) -> str | None:
        """ID of the backup task that was waited for, None where it is not known."""
        raise NotImplementedError

    @property
    def _trigger_class(self) -> type[WaitTrigger[Any]]:
        """What waits for it in the triggerer."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OceanBaseHook:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook(self.oceanbase_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait for the backup set, and return its summary."""
        began = time.time()
        try:
            summary = super().execute(context)
        finally:
            self._hook.close()
            self._wait = None
        measure(began if self._began is None else self._began)
        return summary

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on where the trigger ended, and return the summary of the set."""
        began = self._began = event["began"]
        if message := event.get("timeout"):
            raise time_limit(self.timeout, self.execution_timeout)[1](message)
        self._event = event
        # Not self.execute, which Airflow lets nobody but itself call; its handling of errors is the point.
        summary = BaseSensorOperator.execute.__wrapped__(self, context)  # type: ignore[attr-defined]
        measure(began)
        return summary

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check once."""
        if self._event is not None:
            event, self._event = self._event, None
            return self._done(summary_in(event))
        from airflow_provider_oceanbase.backup_set import summary

        wait = self._wait = self._wait or self._new_wait(context)
        backup_set = check(self._hook, wait)
        return False if backup_set is None else self._done(summary(backup_set))

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any] | None:
        """Return the backup set as an input dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.lineage import backup_set_lineage

        if (name := self._backup_task) is None:
            return None
        return backup_set_lineage(self.oceanbase_conn_id, self.instance_id, name, self._summary)

    def _done(self, summary: BackupSetSummary) -> PokeReturnValue:
        self._summary = summary
        return PokeReturnValue(is_done=True, xcom_value=dict(summary))

    @property
    def _pace(self) -> Pace:
        from airflow_provider_oceanbase.waiting import Pace

        return Pace(
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=None if self.max_wait is None else self.max_wait.total_seconds(),
            timeout=self.timeout,
        )

    def _new_wait(self, context: Context) -> Wait[Any]:
        from airflow_provider_oceanbase.waiting import Wait

        if self.reschedule and (first_date := first_reschedule_date(context)):
            self._began = first_date.timestamp()
        return Wait(self._goal, self.log, first=self._began is None)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        # Here the base class is about to wait, with all its other rules applied.
        if self.deferrable:
            self._defer(run_duration())
        retry_after = self._wait.retry_after if self._wait else None
        return self._pace.pause(run_duration(), retry_after=retry_after, seed=started_at)

    def _defer(self, elapsed: float) -> NoReturn:
        from dataclasses import replace

        arguments = deferral(
            self._trigger_class,
            self._goal,
            replace(self._pace, timeout=time_limit(self.timeout, self.execution_timeout)[0]),
            oceanbase_conn_id=self.oceanbase_conn_id,
            began=time.time() - elapsed if self._began is None else self._began,
            status=self._wait.status if self._wait else None,
        )
        self.defer(**arguments)
