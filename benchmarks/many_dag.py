"""The DAGs of :mod:`benchmarks.triggerer`: tasks that start in the triggerer, without a worker.

Airflow hands the whole DAG to the triggerer with each task, and hundreds of tasks at once. That leaves more
memory behind than the triggers take, unless DAGs are small. Those of the second half are paused at first.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_oceanbase.sensors import BackupSetSensor
from benchmarks.measures import CONN_ID, INSTANCE_ID

#: Triggers for comparison.
_BARE = {
    "bare": "benchmarks.bare_triggers.BareTrigger",
    "clock": "benchmarks.bare_triggers.ClockTrigger",
}
_TASKS = 5


class TriggeredOperator(BaseOperator):
    """Has Airflow run a trigger."""

    start_from_trigger = True

    def __init__(self, *, trigger: str, index: int, **options: Any) -> None:
        super().__init__(**options)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=trigger,
            trigger_kwargs={"index": index},
            next_method="execute_complete",
            next_kwargs=None,
            timeout=None,
        )

    def execute_complete(self, context: Any, event: Any) -> None:
        """Accept any end."""


def task(kind: str, number: int) -> BaseOperator:
    """Return a wait of this provider, or a task for comparison."""
    name = f"wait-{number}"
    if kind in _BARE:
        return TriggeredOperator(task_id=name, trigger=_BARE[kind], index=number)
    return BackupSetSensor(
        task_id=name,
        instance_id=INSTANCE_ID,
        backup_task_id=f"bak-{number}",
        oceanbase_conn_id=CONN_ID,
        poke_interval=float(os.environ["BENCHMARK_INTERVAL"]),
        deferrable=True,
        start_from_trigger=True,
    )


waits = int(os.environ["BENCHMARK_WAITS"])
for first in range(0, waits, _TASKS):
    is_later = first >= waits / 2
    with DAG(f"triggers-{first}", schedule="@once", is_paused_upon_creation=is_later):
        for index in range(first, min(first + _TASKS, waits)):
            task(os.environ["BENCHMARK_KIND"], index)
