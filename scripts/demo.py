"""Run an example DAG on real Airflow and show the tenants that are stored in XCom.

Against an emulator of the API, or, where the environment has an AccessKey, against OceanBase Cloud:
OCEANBASE_ACCESS_KEY_ID, OCEANBASE_ACCESS_KEY_SECRET (or AIRFLOW_CONN_OCEANBASE_DEFAULT instead of both),
OCEANBASE_INSTANCE_ID, OCEANBASE_BACKUP_TASK_ID; optional: OCEANBASE_HOST, OCEANBASE_PROJECT_ID.
oceanbase_on_backup names its instance itself, and is run against the emulator alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tabulate
from harness.command import RunError, run, say
from harness.database import Database
from harness.network import listings
from harness.processes import Processes
from harness.settings import (
    AIRFLOW,
    DAG_ID,
    EXAMPLE_DAGS,
    WATCH_SOON,
    base_settings,
    clean_environ,
    hasten_tasks,
    standalone_settings,
)
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from airflow_provider_oceanbase.testing import CloudEmulator

CONNECTION = "AIRFLOW_CONN_OCEANBASE_DEFAULT"
#: What is worth showing of Airflow's output: the provider's own lines, and what becomes of each task.
PROGRESS = re.compile(
    r"\[(?P<level>info|warning|error) *\] (?P<text>.*?) +\[(airflow\.task\.\S*)?airflow_provider_oceanbase"
    r"|\[DAG TEST\] (?P<mark>starting task_id=\S+|running trigger)"
)
ON_BACKUP = "oceanbase_on_backup"
GUARDED = "oceanbase_guarded_purge"
#: The example DAGs, and the parameters of each.
PARAMETERS = {
    DAG_ID: ("instance_id", "backup_task_id"),
    "oceanbase_nightly_etl": ("instance_id",),
    "oceanbase_backup_and_verify": ("instance_id", "tenant_id"),
    GUARDED: ("instance_id", "tenant"),
    ON_BACKUP: (),
}
VALUES = {
    "instance_id": "ob-demo",
    "backup_task_id": "bak-demo",
    "tenant_id": "t1002",
    "tenant": "orders",
}
TENANTS = ("orders", "billing", "analytics")
#: How far their log archive is behind: more than the seconds from the start of a run to its first poll.
LAG = timedelta(seconds=8)
COLUMNS = ("tenantName", "tenantId", "backupSetId", "status", "validity", "dataBackupSize", "checkpoint")
RESTORABLE = ("tenantName", "tenantId", "startTime", "endTime", "storageType")


def real_connection() -> str | None:
    """Return the connection to OceanBase Cloud that the environment describes, None for the emulator."""
    if os.environ.get(CONNECTION):
        return os.environ[CONNECTION]
    if not os.environ.get("OCEANBASE_ACCESS_KEY_ID"):
        return None
    project = os.environ.get("OCEANBASE_PROJECT_ID")
    return json.dumps(
        {
            "conn_type": "oceanbase",
            "login": wanted("OCEANBASE_ACCESS_KEY_ID"),
            "password": wanted("OCEANBASE_ACCESS_KEY_SECRET"),
            "host": os.environ.get("OCEANBASE_HOST", ""),
            "extra": {"project_id": project} if project else {},
        }
    )


def wanted(name: str) -> str:
    """Return a variable of the environment that must be there."""
    if not os.environ.get(name):
        raise RunError(f"{name} is not set; for OceanBase Cloud the demo needs it beside the AccessKey")
    return os.environ[name]


def emulator(stack: ExitStack, **options: Any) -> CloudEmulator:
    """Start the emulator, with one backup set, and tenants that can be restored up to some seconds ago."""
    cloud = stack.enter_context(CloudEmulator())
    cloud.add_backup_set(VALUES["instance_id"], VALUES["backup_task_id"], tenants=TENANTS, **options)
    for tenant in TENANTS:
        begin = datetime.now(UTC) - timedelta(days=1)
        cloud.add_restorable_tenant(VALUES["instance_id"], tenant, intervals=[(begin, None)], lag=LAG)
    print(f"demo: the emulator of OceanBase Cloud listens on {cloud.url}")
    return cloud


def airflow(environ: dict[str, str], *arguments: str) -> None:
    """Run an airflow command; show its progress, or, if it fails, all that it printed."""
    printed = []
    with subprocess.Popen(
        [AIRFLOW, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                printed.append(line)
                if match := PROGRESS.search(line):
                    print(f"  {time.strftime('%H:%M:%S')}  {match['text'] or match['mark']}", flush=True)
        except BaseException:
            # Ctrl-C above all: it does not reach a process group of its own, and is passed on.
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        raise RunError(f"{''.join(printed)}\nairflow {' '.join(arguments)} failed; what it printed is above")


def test_dag(stack: ExitStack, home: Path, dag_id: str) -> None:
    """Run a DAG by ``airflow dags test``."""
    environ = os.environ | base_settings(home, EXAMPLE_DAGS)
    parameters = {name: VALUES[name] for name in PARAMETERS[dag_id]}
    if connection := real_connection():
        parameters = {name: wanted(f"OCEANBASE_{name.upper()}") for name in parameters}
        print("demo: against OceanBase Cloud")
    else:
        connection = emulator(stack, polls_per_status=2).connection_uri
        hasten_tasks(home)
    environ[CONNECTION] = connection
    print("demo: airflow db migrate (SQLite, in a temporary folder)", flush=True)
    airflow(environ, "db", "migrate")
    print(f"demo: airflow dags test {dag_id}", flush=True)
    airflow(environ, "dags", "test", dag_id, "--conf", json.dumps(parameters))


def run_on_backup(cloud: CloudEmulator, home: Path, database: Database) -> None:
    """Start a whole Airflow, let a backup complete once its instance is watched; nobody triggers the DAG."""
    instance_id, backup_task_id = VALUES["instance_id"], VALUES["backup_task_id"]
    dags, logs = home / "dags", home / "printed"
    for folder in (dags, logs):
        folder.mkdir()
    shutil.copy(EXAMPLE_DAGS / f"{ON_BACKUP}.py", dags)
    environ = clean_environ() | base_settings(home, dags) | standalone_settings() | WATCH_SOON
    environ[CONNECTION] = cloud.connection_uri
    with Processes(environ, logs) as processes:
        say("airflow standalone: scheduler, DAG processor, triggerer and API server, from a temporary folder")
        processes.start("standalone", AIRFLOW, "standalone")
        processes.wait_for(
            f"{ON_BACKUP} is read, and the instance is watched", 180, lambda: listings(cloud, instance_id)
        )
        say(f"the triggerer watches the backup sets of {instance_id}; it polls once a minute")
        cloud.set_status(instance_id, backup_task_id, "DONE")
        say(f"backup {backup_task_id} is DONE; nobody triggers the DAG")
        shown: set[str] = set()

        def ends() -> set[str]:
            query = "SELECT DISTINCT task_id, state FROM task_instance ORDER BY 1, 2"
            lines = [f"{row.task_id}: {row.state}" for row in database.rows(query)]
            for line in lines:
                if line not in shown and line.endswith((": running", ": success", ": failed")):
                    say(line)
                    shown.add(line)
            return database.ends(ON_BACKUP)

        # Airflow may be making the database, or writing into it.
        found = processes.wait_for("the DAG run ends", 240, ends, ignored=(OperationalError,))
        if found != {"success"}:
            raise processes.error(f"the DAG run ended with {', '.join(found)}")
        say("the DAG run has ended with success")


def tenants_in_xcom(dag_id: str, task_id: str, database: Database) -> str:
    """Return the tenants in a task's XCom, as Airflow stored it, as a table of text."""
    xcoms = database.xcoms(dag_id, task_id)
    if not xcoms:
        raise RunError("the run ended without the tenants in XCom: a task failed, as the lines above say")
    is_point = isinstance(xcoms[0], dict)
    columns, tenants = (RESTORABLE, xcoms[0]["tenants"]) if is_point else (COLUMNS, xcoms[0])
    rows = [[tenant.get(column, "") for column in columns] for tenant in tenants]
    # A column is as wide as its widest cell.
    tabulate.MIN_PADDING = 0
    return str(tabulate.tabulate(rows, columns, "simple", disable_numparse=True))


def main() -> str:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dag", choices=PARAMETERS, default=DAG_ID, help="default: %(default)s")
    dag_id: str = parser.parse_args().dag
    began = time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oceanbase-demo-")))
        database = Database(create_engine(f"sqlite:///{home / 'airflow.db'}"))
        if dag_id == ON_BACKUP:
            run_on_backup(emulator(stack, statuses=("DOING",)), home, database)
        else:
            test_dag(stack, home, dag_id)
        task_id = "wait_until_restorable" if dag_id == GUARDED else "get_backup_set"
        table = tenants_in_xcom(dag_id, task_id, database)
        print(f"\nXCom of {task_id}, as it is stored in Airflow's database:\n\n{table}\n")
    others = " ".join(name for name in PARAMETERS if name != dag_id)
    return (
        f"done in {time.monotonic() - began:.0f} s; nothing is left running.\n"
        f"Other examples: make demo DAG=…, one of {others}.\n"
        "Against the real service: OCEANBASE_ACCESS_KEY_ID=… OCEANBASE_ACCESS_KEY_SECRET=… "
        "OCEANBASE_INSTANCE_ID=… OCEANBASE_BACKUP_TASK_ID=… make demo\n"
        f"(or the connection as {CONNECTION}='oceanbase://KEY:SECRET@HOST' with the two IDs)."
    )


if __name__ == "__main__":
    run(main)
