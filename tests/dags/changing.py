"""DAGs that start backups of what the environment says when they are parsed, or when they run."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_oceanbase.operators import StartBackupOperator

OPTIONS: dict[str, Any] = {
    "task_id": "start",
    "backup_object_type": "tenant",
    "wait_for_completion": True,
    "deferrable": False,
    "poke_interval": 0.2,
    "timeout": 30,
}
DEFAULTS = {"retries": 1, "retry_delay": timedelta(0)}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("start_mapped", schedule=None, start_date=SINCE, default_args=DEFAULTS):

    @task
    def tenants() -> Any:
        return json.loads(os.environ["TENANTS"])

    StartBackupOperator.partial(instance_id="start_mapped", **OPTIONS).expand(tenant_id=tenants())

for dag_id in ("start_corrected", "start_moved", "start_deleted", "start_killed_while_starting"):
    options = {**OPTIONS, "registration_timeout": 0} if dag_id == "start_deleted" else OPTIONS
    with DAG(dag_id, schedule=None, start_date=SINCE, default_args=DEFAULTS) as dag:
        StartBackupOperator(
            instance_id=os.environ.get("INSTANCE", dag_id), tenant_id=os.environ.get("TENANT"), **options
        )
    globals()[dag_id] = dag
