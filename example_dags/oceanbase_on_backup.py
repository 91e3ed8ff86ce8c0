"""Run whenever a backup of an OceanBase Cloud instance completes: read its tenants and process them.

- **It runs** on each backup that completes after it is unpaused. The triggerer watches the instance, polling
  it once a minute.
- **It needs** Airflow 3, the connection `oceanbase_default`, a running triggerer, and your instance ID as
  `INSTANCE_ID` in its file.
- **Replace** `process` with the work on one backup.

While no backup completes, it does not run, and nobody is told: the documentation has a page "Alert when no
backup came".
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_oceanbase.assets import backup_set_asset, backup_sets_of
from airflow_provider_oceanbase.operators import GetBackupSetOperator

# Replace this with the ID of your instance.
INSTANCE_ID = "ob-demo"
BACKUP_SETS = backup_set_asset(INSTANCE_ID, poke_interval=timedelta(minutes=1))


@dag(
    schedule=[BACKUP_SETS],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
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
