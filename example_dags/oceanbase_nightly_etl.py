"""Start a nightly ETL when the instance has a fresh backup: wait, read its tenants, run a task for each.

- **It runs** every night at 04:00 UTC once it is unpaused, and waits up to six hours for any complete backup
  of the instance that contains all data up to 01:00. So it needs no backup task ID.
- **It needs** the connection `oceanbase_default`, a running triggerer, and your instance ID as `INSTANCE_ID`
  in its file: scheduled runs use it.
- **Replace** `process` with the work on one tenant.

For another instance, trigger it with the button, or with this command. The backup must then contain all data
up to three hours before:

    airflow dags trigger oceanbase_nightly_etl --conf '{"instance_id": "ob1"}'
"""

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

# Replace this with the ID of your instance.
INSTANCE_ID = "ob-demo"


@dag(
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "instance_id": Param(
            INSTANCE_ID,
            type="string",
            minLength=1,
            title="Instance ID",
            description="The instance (OceanBase cluster) that is backed up.",
        )
    },
    doc_md=__doc__,
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
