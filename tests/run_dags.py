"""run_dags.py FILE:DAG_ID…: run DAGs on real Airflow; print what came of each as a line of JSON."""

from __future__ import annotations

import functools
import json
import sys
from contextlib import suppress
from typing import Any

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

KEYS = ("return_value", "backup_set")


def main(*names: str) -> None:
    keep_api_server()
    for name in names:
        file, _, dag_id = name.partition(":")
        bag = DagBag(file)
        if bag.import_errors:
            sys.exit("\n".join(bag.import_errors.values()))
        print_result(dag_id, bag.dags[dag_id].test())


def keep_api_server() -> None:
    """Let dag.test() keep its API server, as it does from Airflow 3.3 on: to make one takes seconds."""
    # Airflow 2 has none.
    with suppress(ImportError):
        from airflow.sdk.execution_time import supervisor

        if not hasattr(supervisor.in_process_api_server, "cache_info"):
            supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def print_result(dag_id: str, run: Any) -> None:
    tasks = {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        xcoms = {key: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=key) for key in KEYS}
        tasks[name] = {"state": ti.state, "tries": ti.try_number, **xcoms}
    print("\nRESULT " + json.dumps({"dag_id": dag_id, "state": run.state, "tasks": tasks}), flush=True)


main(*sys.argv[1:])
