"""Back up a tenant of OceanBase Cloud: start the backup, wait until it completes, verify each tenant in it.

- **It runs**, and **starts a backup**, when it is triggered with the IDs of an instance and of a tenant. It
  has no schedule: to unpause it starts nothing.
- **It needs** the connection `oceanbase_default` and a running triggerer.
- **Replace** `verify` with your own checks.

Trigger it with the button, or with this command:

    airflow dags trigger oceanbase_backup_and_verify --conf '{"instance_id": "ob1", "tenant_id": "t1"}'

To back up every night, give it a `schedule`, a `start_date` of tomorrow, and a default for both parameters.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator


@dag(
    schedule=None,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "instance_id": Param(
            type="string",
            minLength=1,
            title="Instance ID",
            description="The instance (OceanBase cluster) of the tenant.",
        ),
        "tenant_id": Param(
            type="string",
            minLength=1,
            title="Tenant ID",
            description="The tenant to back up, such as t******.",
        ),
    },
    doc_md=__doc__,
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
        # Before Airflow 3.3, each try starts another backup. From 3.3 on, remove this line: a later try
        # continues with the same backup.
        retries=0,
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
