"""Delete data of a tenant only when the tenant can be restored to the moment before: wait, then purge.

- **It runs**, and **deletes data**, when it is triggered with an instance ID and the name of a tenant. It has
  no schedule: to unpause it deletes nothing.
- **It needs** the connection `oceanbase_default`, a running triggerer, and a log archive of the tenant that
  goes on: it moves the time on up to which the tenant can be restored.
- **Replace** `purge` with what deletes or rewrites data. Here it deletes nothing.

Trigger it with the button, or with this command:

    airflow dags trigger oceanbase_guarded_purge --conf '{"instance_id": "ob1", "tenant": "orders"}'

It waits until the tenant can be restored to the time when the run started. What others write after that may
be lost in a restore: stop them first, or wait for a later time.

To run it again, start a new run, whose wait covers what was written since. `purge` runs on its first try
only: if it is cleared or retried, it fails, and deletes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_provider_oceanbase.sensors import RestorablePointSensor


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
        "tenant": Param(
            type="string",
            minLength=1,
            title="Tenant",
            description="Name or ID of the tenant whose data are deleted.",
        ),
    },
    doc_md=__doc__,
    tags=["oceanbase"],
)
def oceanbase_guarded_purge() -> None:
    """Wait until the tenant can be restored to now, then delete."""
    wait = RestorablePointSensor(
        task_id="wait_until_restorable",
        instance_id="{{ params.instance_id }}",
        tenants=["{{ params.tenant }}"],
        restore_time="{{ dag_run.start_date }}",
        deferrable=True,
        poke_interval=timedelta(minutes=1),
        timeout=timedelta(hours=6),
    )

    # A retry might delete twice.
    @task(retries=0, execution_timeout=timedelta(hours=1))
    def purge(point: dict[str, Any], ti: Any = None, dag_run: Any = None) -> str:
        """Replace this with what deletes or rewrites data."""
        # Clearing moves on the start of a run that has ended, but not of one that goes on, and never XCom.
        if ti.try_number > 1 or datetime.fromisoformat(point["restoreTime"]) != dag_run.start_date:
            raise ValueError(
                "purge was cleared or retried: start a new run, whose wait covers what was written since"
            )
        if point["tenantCount"] != 1:
            raise ValueError("several tenants have the name: start a new run with the ID of one")
        (tenant,) = point["tenants"]
        return f"{tenant['tenantName']}: deleted nothing; to undo it, restore to {point['restoreTime']}"

    purge(wait.output)


guarded_purge = oceanbase_guarded_purge()
