"""The demo of the DAG that runs on each backup: a whole Airflow, in which nobody triggers anything."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from airflow_home import (
    AIRFLOW,
    EXAMPLE_DAGS,
    WATCH_SOON,
    base_settings,
    clean_environ,
    standalone_settings,
)
from processes import Processes, say

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_oceanbase.testing import CloudEmulator

DAG_ID = "oceanbase_on_backup"
#: States of a task that are worth a line.
SHOWN = ("running", "success", "failed")


def run_on_backup(home: Path, cloud: CloudEmulator, instance_id: str, backup_task_id: str) -> None:
    """Start Airflow, let a backup get done once its instance is watched, and wait for the end of the run.

    :param home: Airflow's home, an empty folder
    """
    dags, logs = home / "dags", home / "printed"
    for folder in (dags, logs):
        folder.mkdir()
    shutil.copy(EXAMPLE_DAGS / f"{DAG_ID}.py", dags)
    environ = clean_environ() | base_settings(home, dags) | standalone_settings() | WATCH_SOON
    environ["AIRFLOW_CONN_OCEANBASE_DEFAULT"] = cloud.connection_uri
    database = home / "airflow.db"
    with Processes(environ, logs) as processes:
        say("airflow standalone: scheduler, DAG processor, triggerer and API server, from a temporary folder")
        processes.start("standalone", AIRFLOW, "standalone")
        path = f"/api/v2/instances/{instance_id}/backup/data/sets"

        def is_watched() -> bool:
            return any(seen.status == 200 and seen.path == path for seen in cloud.requests)

        processes.wait_for(f"{DAG_ID} is read, and the instance is watched", 180, is_watched)
        say(f"the triggerer watches the backup sets of {instance_id}; it looks once a minute")
        cloud.set_status(instance_id, backup_task_id, "DONE")
        say(f"backup {backup_task_id} is DONE; nobody triggers the DAG")
        told: set[str] = set()

        def end() -> str | None:
            rows = _rows(database, "SELECT task_id, state FROM task_instance WHERE dag_id = ?")
            for line in sorted({f"{task}: {state}" for task, state in rows if state in SHOWN} - told):
                say(line)
                told.add(line)
            runs = _rows(database, "SELECT state FROM dag_run WHERE dag_id = ?")
            return next((state for (state,) in runs if state in ("success", "failed")), None)

        state = processes.wait_for("the DAG run ends", 240, end)
        if state != "success":
            raise processes.error(f"the DAG run ended with {state}")
        say("the DAG run has ended with success")


def _rows(database: Path, query: str) -> list[tuple[str, ...]]:
    # Airflow may be making the database, or writing into it.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, (DAG_ID,)).fetchall()
    return []
