"""Waits that lose their triggerer, or are killed: the DAG of ``make cluster`` and ``make kills``."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_oceanbase.sensors import BackupSetSensor

IDS = os.environ["CLUSTER_BACKUP_TASK_IDS"].split()

# It starts by itself, once: as soon as Airflow has read this file.
with DAG("waits", schedule="@once", is_paused_upon_creation=False):
    for task_id in sorted({name.partition("-")[0] for name in IDS}):
        BackupSetSensor.partial(
            task_id=task_id,
            instance_id=os.environ["CLUSTER_INSTANCE_ID"],
            deferrable=task_id == "deferred",
            poke_interval=int(os.environ["CLUSTER_POKE_INTERVAL"]),
            timeout=1800,
            retries=3,
            retry_delay=timedelta(seconds=1),
        ).expand(backup_task_id=[name for name in IDS if name.startswith(f"{task_id}-")])
