"""Waits that are to begin in the triggerer, and begin there or in a worker: a DAG of ``make cluster``."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_oceanbase.sensors import (
    BackupCheckpointSensor,
    BackupSetSensor,
    RestorablePointSensor,
)

OPTIONS: dict[str, Any] = {
    "instance_id": os.environ["CLUSTER_INSTANCE_ID"],
    "deferrable": True,
    "start_from_trigger": True,
    "poke_interval": 2,
    "timeout": 300,
}
#: The tenant that is waited for by a point in time.
TENANT = "night"
TEMPLATES = {
    "plain": "plain",
    "templates": (
        "{{ params.first }}-{{ var.value.second }}-{{ conn.oceanbase_default.conn_type }}"
        "-{{ macros.ds_add(data_interval_end | ds, 1)[:1] }}-{{ run_id[:9] }}-{{ ti.task_id }}"
    ),
    "xcom": "{{ ti.xcom_pull(task_ids='tell') }}",
    "macro": "{{ told(ti) }}",
    "previous": "{{ 'previous' if prev_data_interval_end_success else 'previous' }}",
}


@task
def tell() -> str:
    """Return the ID of a backup task."""
    return "told"


# The script starts it.
with DAG(
    "beginnings",
    schedule="@once",
    is_paused_upon_creation=True,
    params={"first": "rendered"},
    user_defined_macros={"told": lambda ti: ti.xcom_pull(task_ids="tell")},
):
    told = tell()
    for task_id, template in TEMPLATES.items():
        told >> BackupSetSensor(task_id=task_id, backup_task_id=template, **OPTIONS)
    BackupSetSensor(task_id="output", backup_task_id=told, **OPTIONS)
    BackupSetSensor.partial(task_id="mapped", **OPTIONS).expand(backup_task_id=["told"])
    for sensor, moment in (
        (BackupCheckpointSensor, "min_checkpoint"),
        (RestorablePointSensor, "restore_time"),
    ):
        sensor(task_id=moment, tenants=[TENANT], **{moment: "{{ data_interval_end }}"}, **OPTIONS)
    BackupSetSensor(task_id="wrong", backup_task_id="told", oceanbase_conn_id="oceanbase_wrong", **OPTIONS)
