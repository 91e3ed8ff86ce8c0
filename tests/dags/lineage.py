"""A DAG whose tasks read and start a backup: one by the hook, one by an operator."""

from __future__ import annotations

from typing import Any

import airflow

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

from airflow_provider_oceanbase.lineage import create_asset
from airflow_provider_oceanbase.operators import StartBackupOperator


@dag(schedule=None)
def lineage_of_tasks() -> None:
    asset = create_asset(instance_id="ob-1", backup_task_id="bak-declared")
    # Airflow 3.0 refuses tasks with an asset that no scheduler has seen yet.
    declared = [] if airflow.__version__.startswith("3.0.") else [asset]

    @task(outlets=declared)
    def declare() -> None:
        """Call no hook."""

    @task(outlets=declared)
    def read() -> list[Any]:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        hook = OceanBaseHook("oceanbase_default")
        status = hook.get_backup_set("ob-1", "bak-read")["status"]
        return [status, len(hook.get_restorable_tenants("ob-1"))]

    @task
    def start() -> str:
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        return OceanBaseHook("oceanbase_default").start_backup("ob-1", backup_object_type="tenant")

    @task(outlets=declared)
    def add() -> None:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        from airflow_provider_oceanbase.hooks import OceanBaseHook

        get_hook_lineage_collector().add_output_asset(context=OceanBaseHook(), uri=asset.uri)

    started = StartBackupOperator(
        task_id="back_up",
        instance_id="ob-1",
        backup_object_type="tenant",
        wait_for_completion=True,
        poke_interval=0.1,
        timeout=60,
        retries=0,
        outlets=declared,
    )
    declare() >> read() >> start() >> started >> add()


dag_object = lineage_of_tasks()
