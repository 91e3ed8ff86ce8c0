"""Run an example DAG on real Airflow and show the tenants that lie in XCom.

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
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import demo_on_backup
from airflow_home import AIRFLOW, DAG_ID, EXAMPLE_DAGS, hasten_tasks
from processes import HOST, RunError

from airflow_provider_oceanbase.testing import CloudEmulator

CONNECTION = "AIRFLOW_CONN_OCEANBASE_DEFAULT"
#: What is worth showing of Airflow's output: the provider's own lines, and what becomes of each task.
PROGRESS = re.compile(
    r"\[(?P<level>info|warning|error) *\] (?P<text>.*?) +\[(airflow\.task\.\S*)?airflow_provider_oceanbase"
    r"|\[DAG TEST\] (?P<mark>starting task_id=\S+|running trigger)"
)


#: The example DAGs, and the parameters of each.
PARAMETERS = {
    DAG_ID: ("instance_id", "backup_task_id"),
    "oceanbase_nightly_etl": ("instance_id",),
    "oceanbase_backup_and_verify": ("instance_id", "tenant_id"),
    demo_on_backup.DAG_ID: (),
}
VALUES = {"instance_id": "ob-demo", "backup_task_id": "bak-demo", "tenant_id": "t1002"}
TENANTS = ("orders", "billing", "analytics")


def real_connection(environ: dict[str, str]) -> str | None:
    """Return the connection to OceanBase Cloud that the environment describes, None for the emulator."""
    if environ.get(CONNECTION):
        return environ[CONNECTION]
    if not environ.get("OCEANBASE_ACCESS_KEY_ID"):
        return None
    extra = {"project_id": environ["OCEANBASE_PROJECT_ID"]} if environ.get("OCEANBASE_PROJECT_ID") else {}
    return json.dumps(
        {
            "conn_type": "oceanbase",
            "login": environ["OCEANBASE_ACCESS_KEY_ID"],
            "password": wanted(environ, "OCEANBASE_ACCESS_KEY_SECRET"),
            "host": environ.get("OCEANBASE_HOST", ""),
            "extra": extra,
        }
    )


def wanted(environ: dict[str, str], name: str) -> str:
    """Return a variable of the environment that must be there."""
    if not environ.get(name):
        raise RunError(f"{name} is not set; for OceanBase Cloud the demo needs it beside the AccessKey")
    return environ[name]


def airflow(environ: dict[str, str], *arguments: str) -> None:
    """Run an airflow command; show its progress, or, if it fails, all that it printed."""
    command = [str(AIRFLOW), *arguments]
    printed = []
    with subprocess.Popen(
        command,
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
            # Ctrl-C above all, which does not reach a process group of its own; it goes on from here.
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        raise RunError(f"{''.join(printed)}\nairflow {' '.join(arguments)} failed; what it printed is above")


def tenants_in_xcom(dag_id: str, database: Path) -> list[dict[str, object]]:
    """Read the operator's XCom as Airflow stored it."""
    query = "SELECT value FROM xcom WHERE dag_id = ? AND task_id = 'get_backup_set' AND key = 'return_value'"
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(query, (dag_id,)).fetchone()
    if row is None:
        raise RunError("the run ended without the tenants in XCom: a task failed, as the lines above say")
    tenants = json.loads(row[0])
    return tenants if isinstance(tenants, list) else json.loads(tenants)


def table(tenants: list[dict[str, object]]) -> str:
    """Return the tenants as a table of text."""
    columns = ("tenantName", "tenantId", "backupSetId", "status", "validity", "dataBackupSize", "checkpoint")
    rows = [columns, *(tuple(str(tenant.get(column, "")) for column in columns) for tenant in tenants)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def wanted_dag() -> str:
    """Return the DAG that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dag", choices=PARAMETERS, default=DAG_ID, help="default: %(default)s")
    dag_id: str = parser.parse_args().dag
    return dag_id


def emulator(stack: ExitStack, **options: Any) -> CloudEmulator:
    """Start the emulator, with one backup set."""
    cloud = stack.enter_context(CloudEmulator())
    cloud.add_backup_set(VALUES["instance_id"], VALUES["backup_task_id"], tenants=TENANTS, **options)
    print(f"demo: the emulator of OceanBase Cloud listens on {cloud.url}")
    return cloud


def run_by_itself(stack: ExitStack, home: Path, dag_id: str) -> None:
    """Run a DAG by ``airflow dags test``."""
    environ = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE_DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    parameters = {name: VALUES[name] for name in PARAMETERS[dag_id]}
    if connection := real_connection(dict(os.environ)):
        parameters = {name: wanted(environ, f"OCEANBASE_{name.upper()}") for name in parameters}
        print("demo: against OceanBase Cloud")
    else:
        connection = emulator(stack, polls_per_status=2).connection_uri
        environ["NO_PROXY"] = environ["no_proxy"] = HOST
        hasten_tasks(home)
    environ[CONNECTION] = connection
    print("demo: airflow db migrate (SQLite, in a temporary folder)", flush=True)
    airflow(environ, "db", "migrate")
    print(f"demo: airflow dags test {dag_id}", flush=True)
    airflow(environ, "dags", "test", dag_id, "--conf", json.dumps(parameters))


def main(dag_id: str) -> None:
    """Run the demo."""
    began = time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oceanbase-demo-")))
        if dag_id == demo_on_backup.DAG_ID:
            cloud = emulator(stack, statuses=("DOING",))
            demo_on_backup.run_on_backup(home, cloud, VALUES["instance_id"], VALUES["backup_task_id"])
        else:
            run_by_itself(stack, home, dag_id)
        tenants = tenants_in_xcom(dag_id, home / "airflow.db")
        print(f"\nXCom of get_backup_set, as it lies in Airflow's database:\n\n{table(tenants)}")
    print(f"\ndemo: done in {time.monotonic() - began:.0f} s; nothing is left running.")
    others = " ".join(name for name in PARAMETERS if name != dag_id)
    print(f"Other examples: make demo DAG=…, one of {others}.")
    print(
        "Against the real service: OCEANBASE_ACCESS_KEY_ID=… OCEANBASE_ACCESS_KEY_SECRET=… "
        "OCEANBASE_INSTANCE_ID=… OCEANBASE_BACKUP_TASK_ID=… make demo\n"
        f"(or the connection as {CONNECTION}='oceanbase://KEY:SECRET@HOST' with the two IDs)."
    )


if __name__ == "__main__":
    # Whoever ends it early gets the same clean-up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(wanted_dag())
    except RunError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: stopped")
