"""Run whenever any backup of an OceanBase Cloud instance completes: read its tenants and process them.

Needs Airflow 3 and a triggerer. Unpause the DAG and back up: no manual trigger is needed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_oceanbase.assets import backup_set_asset
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
        events = triggering_asset_events[BACKUP_SETS]
        backup_sets = [one for event in events for one in event.extra["payload"]["backup_sets"]]
        # A triggerer that is killed may report a backup twice.
        return list(dict.fromkeys(one["backupSetId"] for one in backup_sets))

    get = GetBackupSetOperator.partial(
        task_id="get_backup_set", instance_id=INSTANCE_ID, execution_timeout=timedelta(minutes=5)
    ).expand(backup_task_id=new_backups())

    @task(max_active_tis_per_dagrun=4, execution_timeout=timedelta(hours=1))
    def process(tenants: list[dict[str, Any]]) -> str:
        """Replace this with the work on one backup."""
        return ", ".join(f"{tenant['tenantName']} as of {tenant['checkpoint']}" for tenant in tenants)

    process.expand(tenants=get.output)


on_backup = oceanbase_on_backup()
