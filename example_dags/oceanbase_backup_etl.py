"""Start an ETL when one backup of OceanBase Cloud completes: wait, read its tenants, run a task for each.

- **It runs** when it is triggered with the IDs of an instance and of a backup task, by hand or by what starts
  the backup. It has no schedule: each backup has a new ID. Every night, use `oceanbase_nightly_etl`.
- **It needs** the connection `oceanbase_default` and a running triggerer.
- **Replace** `process` with the work on one tenant.

Trigger it with the button, or with this command:

    airflow dags trigger oceanbase_backup_etl --conf '{"instance_id": "ob1", "backup_task_id": "bak-1"}'
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.sensors import BackupSetSensor


@dag(
    schedule=None,
    dagrun_timeout=timedelta(hours=12),
    # Do not set execution_timeout here: it would limit the wait too.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "instance_id": Param(
            type="string",
            minLength=1,
            title="Instance ID",
            description="The instance (OceanBase cluster) that is backed up.",
        ),
        "backup_task_id": Param(
            type="string",
            minLength=1,
            title="Backup task ID",
            description="The backup to wait for, such as bak-********.",
        ),
    },
    doc_md=__doc__,
    tags=["oceanbase"],
)
def oceanbase_backup_etl() -> None:
    """Wait for the backup, then process each tenant in it."""
    ids = {"instance_id": "{{ params.instance_id }}", "backup_task_id": "{{ params.backup_task_id }}"}

    wait = BackupSetSensor(
        task_id="wait_for_backup",
        **ids,
        deferrable=True,
        poke_interval=timedelta(minutes=1),
        timeout=timedelta(hours=6),
    )
    get = GetBackupSetOperator(task_id="get_backup_set", **ids, execution_timeout=timedelta(minutes=5))

    @task(max_active_tis_per_dagrun=4, execution_timeout=timedelta(hours=1))
    def process(tenant: dict[str, Any]) -> str:
        """Replace this with the work on one tenant."""
        return f"{tenant['tenantName']}: {tenant['dataBackupSize']} GB as of {tenant['checkpoint']}"

    wait >> get
    process.expand(tenant=get.output)


etl = oceanbase_backup_etl()
