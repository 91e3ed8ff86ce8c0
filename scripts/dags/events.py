"""DAGs that run when a backup completes: those of ``make events``."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_oceanbase.assets import backup_set_asset, backup_sets_of


def backup_dag(dag_id: str, backup_sets: Asset) -> DAG:
    """Return a DAG whose one task returns the IDs of the backup sets that it runs for."""
    with DAG(dag_id, schedule=[backup_sets], is_paused_upon_creation=False) as dag:

        @task(retries=2)
        def read(triggering_asset_events: Any = None) -> list[str]:
            return [one["backupSetId"] for one in backup_sets_of(triggering_asset_events[backup_sets])]

        read()
    return dag


instance_id = os.environ["CLUSTER_INSTANCE_ID"]
valid = backup_dag("valid", backup_set_asset(instance_id, poke_interval=2))
everything = backup_dag("everything", backup_set_asset(instance_id, poke_interval=2, require_valid=False))
