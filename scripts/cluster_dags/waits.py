"""Many waits at once: the DAG that ``scripts/cluster.py`` runs."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_oceanbase.sensors import BackupSetSensor

# It starts by itself, once: as soon as Airflow has read this file.
with DAG("waits", schedule="@once", is_paused_upon_creation=False):
    BackupSetSensor.partial(
        task_id="wait",
        instance_id=os.environ["CLUSTER_INSTANCE_ID"],
        deferrable=True,
        poke_interval=10,
        timeout=1800,
        retries=2,
    ).expand(backup_task_id=os.environ["CLUSTER_BACKUP_TASK_IDS"].split())
