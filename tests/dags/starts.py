"""A DAG for each outcome of a start: a task ``start``, on an instance with the ID of the DAG."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oceanbase.operators import StartBackupOperator

WAIT = {"wait_for_completion": True}
STARTS: dict[str, dict[str, Any]] = {
    "start_only": {},
    "start_poke_done": WAIT,
    "start_deferrable_done": {**WAIT, "deferrable": True},
    "start_poke_failed": WAIT,
    "start_deferrable_failed": {**WAIT, "deferrable": True},
    "start_deferrable_timeout": {**WAIT, "deferrable": True, "timeout": 1},
    "start_unknown": {},
    "start_refused": {},
    "start_poke_resumed": WAIT,
    "start_deferrable_resumed": {**WAIT, "deferrable": True},
    "start_cut_off": {"execution_timeout": timedelta(seconds=3)},
    "start_poke_killed": WAIT,
    "start_deferrable_killed": {**WAIT, "deferrable": True},
}

for dag_id, options in STARTS.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        # Airflow 2 fails a task whose execute() calls that of another, or seems to.
        default_args={"retries": 1, "retry_delay": timedelta(0), "allow_nested_operators": False},
        params={"instance_id": dag_id, "tenants": ["orders"]},
    ) as dag:
        StartBackupOperator(
            task_id="start",
            instance_id="{{ params.instance_id }}",
            backup_object_type="tenant",
            tenant_id="{{ params.tenants[0] }}",
            **{"poke_interval": 0.2, "deferrable": False, **options},
        )
    globals()[dag_id] = dag
