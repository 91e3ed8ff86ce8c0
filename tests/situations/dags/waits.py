"""A DAG for each situation, with a task that waits for a backup."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import tenacity
from airflow.sdk import DAG

from airflow_provider_oceanbase.sensors import BackupSetSensor

# Half a minute of retries takes no time; the log says how long they would pause.
tenacity.nap.time = SimpleNamespace(sleep=lambda seconds: None)  # type: ignore[attr-defined]


class LongWait(BackupSetSensor):
    """A wait that began a second less than six hours ago."""

    def _begin(self, began: float) -> None:
        super()._begin(min(began, time.time() - 6 * 3600 + 1))


WAITS: dict[str, tuple[type[BackupSetSensor], dict[str, Any]]] = {
    "failed": (BackupSetSensor, {}),
    "rotated": (BackupSetSensor, {}),
    "deleted": (BackupSetSensor, {"oceanbase_conn_id": "oceanbase_prod"}),
    "down_at_start": (BackupSetSensor, {}),
    "down_amid": (BackupSetSensor, {}),
    "wrong_instance": (BackupSetSensor, {"instance_id": "ob317v4uif0024", "registration_timeout": 0}),
    "stuck": (LongWait, {"timeout": timedelta(hours=6)}),
    "no_triggerer": (BackupSetSensor, {}),
    "proxy": (BackupSetSensor, {}),
}

for dag_id, (sensor, options) in WAITS.items():
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        arguments = {
            "instance_id": "ob317v4uif0042",
            "backup_task_id": "bak-5g8h2k1m",
            "poke_interval": 0.2,
            **options,
        }
        sensor(task_id="wait_for_backup", deferrable=True, **arguments)
    globals()[dag_id] = dag
