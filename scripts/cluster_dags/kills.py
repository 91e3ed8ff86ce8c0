"""Waits of both kinds, to be killed: the DAG that ``scripts/kills.py`` runs."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_oceanbase.sensors import BackupSetSensor

IDS = os.environ["CLUSTER_BACKUP_TASK_IDS"].split()

# It starts by itself, once: as soon as Airflow has read this file.
with DAG("kills", schedule="@once", is_paused_upon_creation=False):
    for task_id in ("poke", "deferred"):
        BackupSetSensor.partial(
            task_id=task_id,
            instance_id=os.environ["CLUSTER_INSTANCE_ID"],
            deferrable=task_id == "deferred",
            poke_interval=2,
            timeout=1800,
            retries=3,
            retry_delay=timedelta(seconds=1),
        ).expand(backup_task_id=[name for name in IDS if name.startswith(f"{task_id}-")])
