"""Start a nightly ETL when the instance has any fresh backup; needs no backup task ID."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.sensors import BackupCheckpointSensor


@dag(
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={"instance_id": Param("ob-demo", type="string", minLength=1, title="Instance ID")},
    tags=["oceanbase"],
)
def oceanbase_nightly_etl() -> None:
    """Wait for tonight's backup, then process each tenant in it."""
    wait = BackupCheckpointSensor(
        task_id="wait_for_backup",
        instance_id="{{ params.instance_id }}",
        # The backup must contain all data up to three hours before the end of the data interval. A run that
        # is triggered by hand may have no data interval.
        min_checkpoint="{{ data_interval_end | default(dag_run.run_after, true) "
        "- macros.timedelta(hours=3) }}",
        deferrable=True,
        poke_interval=timedelta(minutes=1),
        timeout=timedelta(hours=6),
    )
    get = GetBackupSetOperator(
        task_id="get_backup_set",
        instance_id="{{ params.instance_id }}",
        backup_task_id="{{ ti.xcom_pull(task_ids='wait_for_backup')['backupSetId'] }}",
        execution_timeout=timedelta(minutes=5),
    )

    @task(max_active_tis_per_dagrun=4, execution_timeout=timedelta(hours=1))
    def process(tenant: dict[str, Any]) -> str:
        """Replace this with the work on one tenant."""
        return f"{tenant['tenantName']}: {tenant['dataBackupSize']} GB as of {tenant['checkpoint']}"

    wait >> get
    process.expand(tenant=get.output)


nightly_etl = oceanbase_nightly_etl()
