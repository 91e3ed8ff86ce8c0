"""A DAG for each outcome of a wait: ``wait >> get``; the backup task has the ID of the DAG."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.sensors import BackupSetSensor

INSTANCE_ID = "ob-1"
#: A retry has not seen the set, and for so long a refusal may mean that it is not registered yet.
RETRIED_WAIT: dict[str, Any] = {"registration_timeout": 1}
SENSORS: dict[str, dict[str, Any]] = {
    "poke_done": {},
    "poke_failed": {},
    "poke_unknown": {"registration_timeout": 0},
    "poke_late": {},
    "poke_refused": RETRIED_WAIT,
    "poke_wrong_key": {"oceanbase_conn_id": "oceanbase_wrong"},
    "reschedule_done": {"mode": "reschedule"},
    "reschedule_late": {"mode": "reschedule"},
    "reschedule_forever": {"mode": "reschedule", "timeout": timedelta.max},
    "deferrable_done": {"deferrable": True},
    "deferrable_failed": {"deferrable": True},
    "deferrable_unknown": {"deferrable": True, "registration_timeout": 0},
    "deferrable_late": {"deferrable": True},
    "deferrable_forever": {"deferrable": True, "timeout": timedelta.max},
    "deferrable_refused": {"deferrable": True, **RETRIED_WAIT},
    "deferrable_timeout": {"deferrable": True, "timeout": 1},
    "deferrable_outage": {"deferrable": True},
}

for dag_id, options in SENSORS.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        # Airflow 2 fails a task whose execute() calls that of another, or seems to.
        default_args={"retries": 1, "retry_delay": timedelta(0), "allow_nested_operators": False},
        params={"instance_id": INSTANCE_ID, "backup_task_id": dag_id},
    ) as dag:
        ids = {"instance_id": "{{ params.instance_id }}", "backup_task_id": "{{ params.backup_task_id }}"}
        wait = BackupSetSensor(task_id="wait", poke_interval=0.2, **ids, **options)
        wait >> GetBackupSetOperator(task_id="get", **ids)
    globals()[dag_id] = dag
