"""Back up a tenant every night, wait until the backup completes, and verify each tenant in it.

To use another instance or tenant, trigger it by hand:

    airflow dags trigger oceanbase_backup_and_verify --conf '{"instance_id": "ob1", "tenant_id": "t1"}'
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator


@dag(
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "instance_id": Param("ob-demo", type="string", minLength=1, title="Instance ID"),
        "tenant_id": Param("t1002", type="string", minLength=1, title="Tenant ID"),
    },
    tags=["oceanbase"],
)
def oceanbase_backup_and_verify() -> None:
    """Start the backup, wait for it, then verify each tenant in it."""
    back_up = StartBackupOperator(
        task_id="back_up",
        instance_id="{{ params.instance_id }}",
        backup_object_type="tenant",
        tenant_id="{{ params.tenant_id }}",
        wait_for_completion=True,
        deferrable=True,
        poke_interval=timedelta(minutes=1),
        timeout=timedelta(hours=6),
        require_valid=True,
        # Before Airflow 3.3, each try starts a backup: set retries=0 there.
    )
    get = GetBackupSetOperator(
        task_id="get_backup_set",
        instance_id="{{ params.instance_id }}",
        backup_task_id="{{ ti.xcom_pull(task_ids='back_up') }}",
        execution_timeout=timedelta(minutes=5),
    )

    # A retry would read the same backup again.
    @task(retries=0, max_active_tis_per_dagrun=4, execution_timeout=timedelta(minutes=5))
    def verify(tenant: dict[str, Any]) -> str:
        """Replace this with your own checks."""
        if (tenant["status"], tenant["validity"]) != ("DONE", "VALID"):
            raise ValueError(f"{tenant['tenantName']}: {tenant['status']}, {tenant['validity']}")
        return f"{tenant['tenantName']}: {tenant['dataBackupSize']} GB as of {tenant['checkpoint']}"

    back_up >> get
    verify.expand(tenant=get.output)


backup_and_verify = oceanbase_backup_and_verify()
