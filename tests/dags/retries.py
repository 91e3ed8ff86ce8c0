"""A DAG with a retry policy, and one without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.retries import OceanBaseRetryPolicy

for dag_id, policy in {"with_policy": OceanBaseRetryPolicy(), "without_policy": None}.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        default_args={"retries": 2, "retry_delay": timedelta(0), "retry_policy": policy},
    ) as dag:
        GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id="unknown")
    globals()[dag_id] = dag
