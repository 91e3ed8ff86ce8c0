"""Many waits, each a task of its own: the DAG of ``make cluster``."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_oceanbase.sensors import BackupSetSensor

# It starts by itself, once: as soon as Airflow has read this file.
with DAG("waits", schedule="@once", is_paused_upon_creation=False):
    for backup_task_id in os.environ["CLUSTER_BACKUP_TASK_IDS"].split():
        BackupSetSensor(
            task_id=backup_task_id,
            instance_id=os.environ["CLUSTER_INSTANCE_ID"],
            # A template, for where the wait begins: the variable changes meanwhile.
            backup_task_id=backup_task_id.replace("deferred", "{{ var.value.cluster_prefix }}"),
            deferrable=True,
            start_from_trigger=os.environ["CLUSTER_START"] == "trigger",
            poke_interval=int(os.environ["CLUSTER_POKE_INTERVAL"]),
            timeout=1800,
            retries=3,
            retry_delay=timedelta(seconds=1),
        )
