"""Run whenever any backup of an OceanBase Cloud instance completes: read its tenants and process them.

Needs Airflow 3 and a triggerer. Unpause the DAG and back up: no manual trigger is needed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_oceanbase.assets import backup_set_asset, backup_sets_of
from airflow_provider_oceanbase.operators import GetBackupSetOperator

INSTANCE_ID = "ob-demo"
BACKUP_SETS = backup_set_asset(INSTANCE_ID, poke_interval=timedelta(minutes=1))


@dag(
    schedule=[BACKUP_SETS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["oceanbase"],
)
def oceanbase_on_backup() -> None:
    """Process each new backup."""

    @task
    def new_backups(triggering_asset_events: Any = None) -> list[str]:
        """Return the backup IDs; a run can have several events, and an event several backups."""
        # Of an event that a person created, there may be none: the tasks below are skipped then.
        return [one["backupSetId"] for one in backup_sets_of(triggering_asset_events[BACKUP_SETS])]

    get = GetBackupSetOperator.partial(
        task_id="get_backup_set", instance_id=INSTANCE_ID, execution_timeout=timedelta(minutes=5)
    ).expand(backup_task_id=new_backups())

    @task(max_active_tis_per_dagrun=4, execution_timeout=timedelta(hours=1))
    def process(tenants: list[dict[str, Any]]) -> str:
        """Replace this with the work on one backup."""
        return ", ".join(f"{tenant['tenantName']} as of {tenant['checkpoint']}" for tenant in tenants)

    process.expand(tenants=get.output)


on_backup = oceanbase_on_backup()
