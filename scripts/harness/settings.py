"""The settings of an Airflow of its own, and of one whose DAGs end soon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.network import HOST, free_port

AIRFLOW = Path(sys.executable).with_name("airflow")
EXAMPLE_DAGS = Path(__file__).resolve().parents[2] / "example_dags"
#: The first of them.
DAG_ID = "oceanbase_backup_etl"
#: For a DAG that is scheduled on an asset, and must run soon after its file appears.
WATCH_SOON = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # DAGs with a new asset are read twice before it is watched.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
}
# The example polls once a minute, and retries after five; against the emulator nobody wants to wait for that.
_LOCAL_SETTINGS = """
from datetime import timedelta


def task_policy(task):
    task.retry_delay = timedelta(seconds=2)
    if hasattr(task, "poke_interval"):
        task.poke_interval = 2
"""


def clean_environ() -> dict[str, str]:
    """Return the environment without the settings of the user's own Airflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}


def base_settings(home: Path, dags: Path) -> dict[str, str]:
    """Return the configuration of an Airflow on a free port of this machine, open to all its users."""
    port = free_port()
    # Requests to this machine go through no proxy.
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST)))
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def standalone_settings() -> dict[str, str]:
    """Return what ``airflow standalone`` needs beside :func:`base_settings`."""
    return {
        # It looks for its components there.
        "PATH": f"{AIRFLOW.parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
    }


def hasten_tasks(home: Path) -> None:
    """Let all tasks of an Airflow poll, and retry, every two seconds."""
    folder = home / "config"
    folder.mkdir()
    (folder / "airflow_local_settings.py").write_text(_LOCAL_SETTINGS)
