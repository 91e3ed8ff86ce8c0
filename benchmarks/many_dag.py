"""The DAG of :mod:`benchmarks.triggerer`: tasks that start in the triggerer, without a worker."""

from __future__ import annotations

import os
import time
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

from benchmarks.measures import CONN_ID, INSTANCE_ID

#: Triggers for comparison.
_BARE = {
    "bare": "benchmarks.bare_triggers.BareTrigger",
    "clock": "benchmarks.bare_triggers.ClockTrigger",
}


class TriggeredOperator(BaseOperator):
    """Has Airflow run a trigger."""

    start_from_trigger = True

    def __init__(self, *, trigger: str, arguments: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=trigger,
            trigger_kwargs=arguments,
            next_method="execute_complete",
            next_kwargs=None,
            timeout=None,
        )

    def execute_complete(self, context: Any, event: Any) -> None:
        """Accept any end."""


def of(kind: str, number: int) -> tuple[str, dict[str, Any]]:
    """Return the trigger of a kind, and its arguments: a wait of this provider, or one for comparison."""
    if kind in _BARE:
        return _BARE[kind], {"index": number}
    return "airflow_provider_oceanbase.triggers.BackupSetTrigger", {
        "instance_id": INSTANCE_ID,
        "backup_task_id": f"bak-{number}",
        "schedule": {"poke_interval": float(os.environ["BENCHMARK_INTERVAL"])},
        "oceanbase_conn_id": CONN_ID,
        "began": time.time(),
        "status": "status DOING",
    }


with DAG("triggers", schedule="@once", is_paused_upon_creation=False):
    for index in range(int(os.environ["BENCHMARK_WAITS"])):
        path, given = of(os.environ["BENCHMARK_KIND"], index)
        TriggeredOperator(task_id=f"wait-{index}", trigger=path, arguments=given)
