"""The DAG of :mod:`benchmarks.handover`: waits and next tasks, that note when they begin."""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator

if TYPE_CHECKING:
    from collections.abc import Callable

# What every DAG file with a sensor imports comes first.
BASE = BaseSensorOperator
_began = time.perf_counter()
sensors = importlib.import_module("airflow_provider_oceanbase.sensors")
IMPORT_SECONDS = time.perf_counter() - _began
#: When this process started: by its age, as the clocks that could tell may be half a second apart.
STARTED = time.time() - (
    time.clock_gettime(time.CLOCK_BOOTTIME) - (psutil.Process().create_time() - psutil.boot_time())
)


def noted(moment: str) -> Callable[..., None]:
    """Return what notes a moment of a task, for ``pre_execute`` or ``post_execute``."""

    def note(context: Any, _result: object = None) -> None:
        times = {moment: time.time(), "process": STARTED, "import": IMPORT_SECONDS}
        with Path(os.environ["BENCHMARK_NOTES"], context["ti"].task_id).open("a") as file:
            print(json.dumps(times), file=file)

    return note


class NextOperator(BaseOperator):
    """Does nothing."""

    def execute(self, context: Any) -> None:
        """Do nothing."""


with DAG("handover", schedule="@once", is_paused_upon_creation=False):
    for backup_task_id in os.environ["CLUSTER_BACKUP_TASK_IDS"].split():
        sensors.BackupSetSensor(
            task_id=f"wait-{backup_task_id}",
            instance_id=os.environ["CLUSTER_INSTANCE_ID"],
            backup_task_id=backup_task_id,
            deferrable=True,
            poke_interval=int(os.environ["CLUSTER_POKE_INTERVAL"]),
            timeout=1800,
            pre_execute=noted("begins"),
            post_execute=noted("ends"),
        ) >> NextOperator(task_id=f"next-{backup_task_id}", pre_execute=noted("begins"))
