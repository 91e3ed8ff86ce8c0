"""run_dags.py FILE:DAG_ID…: run DAGs on real Airflow; print what came of each as a line of JSON."""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

KEYS = ("return_value", "backup_set")


def main(*names: str) -> None:
    for name in names:
        file, _, dag_id = name.partition(":")
        dags = {dag.dag_id: dag for dag in runpy.run_path(file).values() if hasattr(dag, "dag_id")}
        print_result(dag_id, dags[dag_id].test())


def print_result(dag_id: str, run: Any) -> None:
    tasks = {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        xcoms = {key: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=key) for key in KEYS}
        tasks[name] = {"state": ti.state, "tries": ti.try_number, **xcoms}
    print("\nRESULT " + json.dumps({"dag_id": dag_id, "state": run.state, "tasks": tasks}), flush=True)


main(*sys.argv[1:])
