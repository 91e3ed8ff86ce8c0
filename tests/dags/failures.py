"""A DAG for each kind of task whose first request fails; its only task is named after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator
from airflow_provider_oceanbase.sensors import BackupSetSensor

IDS: dict[str, Any] = {
    "instance_id": "ob-1",
    "backup_task_id": "bak-1",
    "oceanbase_conn_id": "oceanbase_wrong",
}
START: dict[str, Any] = {"instance_id": "ob-1", "backup_object_type": "tenant"}
TASKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "fails_in_poke": (BackupSetSensor, IDS),
    "fails_in_reschedule": (BackupSetSensor, {**IDS, "mode": "reschedule"}),
    "fails_before_deferring": (BackupSetSensor, {**IDS, "deferrable": True}),
    "fails_in_get": (GetBackupSetOperator, IDS),
    "fails_in_start": (StartBackupOperator, {**START, "oceanbase_conn_id": "oceanbase_wrong"}),
    "fails_in_the_trigger": (
        BackupSetSensor,
        {"instance_id": "ob-1", "backup_task_id": "bak-failed", "deferrable": True, "poke_interval": 0.1},
    ),
}

for dag_id, (operator, options) in TASKS.items():
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        operator(task_id=dag_id, **options)
    globals()[dag_id] = dag
