"""Arguments from templates and mapped tasks: one DAG that renders text, one that renders any object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator
from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, BackupSetSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
#: Nothing is to be sent for what these find; the connection is to a server of their own.
REFUSED: dict[str, Any] = {"oceanbase_conn_id": "oceanbase_other", "timeout": 10}
SENSOR = {"poke_interval": 0.2, "timeout": 60, "instance_id": "ob-1"}
CHECKPOINT = {**SENSOR, "min_checkpoint": "2026-01-20T00:00:00Z"}


@task
def nothing() -> None:
    return None


@task
def name_of(number: int) -> str:
    return ("orders", "billing")[number]


@task
def lists() -> list[Any]:
    return [[], None]


@task
def nones() -> list[None]:
    return [None]


@task
def database_of(number: int) -> dict[str, Any]:
    return {"databaseName": f"shop{number}", "tables": ["orders"]}


for kind in ("text", "native"):
    with DAG(
        f"templates_{kind}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        render_template_as_native_obj=kind == "native",
        params={"number": "1002"},
    ) as dag:
        found_nothing = nothing()
        names = name_of.expand(number=[0, 1])
        no_tenants = lists()
        databases = database_of.expand(number=[0, 1])
        pulled = "{{ ti.xcom_pull(task_ids='nothing') }}"
        for mode, options in MODES.items():
            # Of a mapped task: Airflow passes no list, but a sequence that reads it.
            BackupCheckpointSensor(task_id=f"tenants_{mode}", tenants=names, **CHECKPOINT, **options)
            BackupSetSensor(
                task_id=f"number_{mode}",
                **{**SENSOR, "backup_task_id": "{{ params.number }}", "instance_id": "1{{ params.number }}"},
                **options,
            )
            refused = {**CHECKPOINT, **REFUSED, **options}
            BackupCheckpointSensor(task_id=f"no_tenants_{mode}", tenants=found_nothing, **refused)
            BackupCheckpointSensor(task_id=f"no_mode_{mode}", backup_mode=pulled, **refused) << found_nothing
            # A mapped task is made of what was found: there is no template any more.
            mapped = BackupCheckpointSensor.partial(task_id=f"no_tenants_mapped_{mode}", **refused)
            mapped.expand(tenants=no_tenants)
            mapped = BackupCheckpointSensor.partial(task_id=f"tenants_mapped_{mode}", **CHECKPOINT, **options)
            mapped.expand(tenants=[["orders"], ["billing"]])
        (
            GetBackupSetOperator(
                task_id="no_id_get",
                instance_id="ob-1",
                backup_task_id=pulled,
                oceanbase_conn_id=REFUSED["oceanbase_conn_id"],
            )
            << found_nothing
        )
        (
            StartBackupOperator(
                task_id="no_tenant_start",
                backup_object_type="tenant",
                tenant_id=pulled,
                **{**SENSOR, **REFUSED},
            )
            << found_nothing
        )
        StartBackupOperator.partial(
            task_id="no_tenant_start_mapped", backup_object_type="tenant", **{**SENSOR, **REFUSED}
        ).expand(tenant_id=nones())
        for deferrable in (False, True):
            StartBackupOperator(
                task_id=f"databases_{deferrable}",
                backup_object_type="database",
                database_tables=databases,
                wait_for_completion=True,
                deferrable=deferrable,
                **{**SENSOR, "instance_id": f"ob-{deferrable}"},
            )
    globals()[dag.dag_id] = dag
