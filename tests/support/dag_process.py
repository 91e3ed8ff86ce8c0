"""dag_process.py FD: run DAGs on real Airflow, one after another, for commands in lines of JSON on stdin.

For each command, it writes a line of JSON to the file descriptor: the result of the run, or the ``error``
that prevented it. Output and logs go to stdout and stderr. :mod:`dag_runs` is the other end.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow import settings
from airflow.cli import cli_parser
from put_back import put_back, set_environment

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

KEYS = ("return_value", "backup_set")


def main(descriptor: str) -> None:
    # A DAG that reads stdin must find it empty.
    with os.fdopen(int(descriptor), "w") as results, os.fdopen(os.dup(0)) as commands:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        keep_api_server()
        for line in commands:
            try:
                with put_back():
                    outcome = json.dumps(handle(**json.loads(line)))
            except BaseException:  # Whatever a DAG raises, the next one must run.
                outcome = json.dumps({"error": traceback.format_exc()})
            print(outcome, file=results, flush=True)


def keep_api_server() -> None:
    """Let dag.test() reuse its API server, as from Airflow 3.3 on: a new one takes seconds."""
    # Airflow 2 has none.
    with suppress(ImportError):
        from airflow.sdk.execution_time import supervisor

        if not hasattr(supervisor.in_process_api_server, "cache_info"):
            supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def handle(action: str, environ: dict[str, str], **arguments: Any) -> dict[str, Any]:
    set_environment(environ)
    outcome = ACTIONS[action](**arguments)
    if (shared := sys.modules.get("airflow_provider_oceanbase.transport.shared_poll")) and shared._clients:
        raise AssertionError(f"clients stay open: {shared._clients}")
    return outcome


def migrate() -> dict[str, Any]:
    arguments = cli_parser.get_parser().parse_args(["db", "migrate"])
    arguments.func(arguments)
    return {}


def test(file: str, dag_id: str, conf: dict[str, Any] | None) -> dict[str, Any]:
    """Run a whole DAG."""
    return result(load(file, dag_id).test(run_conf=conf))


def retry(file: str, dag_id: str) -> dict[str, Any]:
    """Retry the only task of a DAG, whose process was killed, as the scheduler of Airflow 3.3 does."""
    from airflow.models import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = load(file, dag_id)
    latest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
    with create_session() as session:
        (lost,) = session.scalars(latest).one().get_task_instances(session=session)
        lost.handle_failure("The process was killed.", test_mode=False, session=session)
    with create_session() as session:
        (ti,) = session.scalars(latest).one().get_task_instances(session=session)
        assert ti.state == "up_for_retry", ti.state
        ti.try_number += 1
        session.commit()
        _run_task(ti=ti, task=dag.task_dict[ti.task_id], run_triggerer=True)
        return result(ti.dag_run)


def clear(file: str, dag_id: str) -> dict[str, Any]:
    """Clear the latest run of a DAG, whose file may have changed, and run it again, on Airflow 3.3."""
    from airflow.models import DagRun, dagrun
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    def cleared(*, dag: Any, session: Any, **_: Any) -> Any:
        latest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
        run = session.scalars(latest).one()
        clear_task_instances(run.get_task_instances(session=session), session, run_on_latest_version=True)
        run.dag, run.state = dag, DagRunState.RUNNING
        session.commit()
        return run

    # dag.test() would make a new run, or replace one; the rest of it is what runs the tasks of any run.
    with patch.object(dagrun, "get_or_create_dagrun", cleared):
        return result(load(file, dag_id).test())


def load(file: str, dag_id: str) -> Any:
    # dag.test() parses the folder of the DAGs again; the file may import modules from there.
    settings.DAGS_FOLDER = os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(file).parent)
    sys.path.append(settings.DAGS_FOLDER)
    bag = DagBag(file)
    if bag.import_errors:
        raise ImportError("\n".join(f"{name}: {error}" for name, error in bag.import_errors.items()))
    return bag.dags[dag_id]


def result(run: Any) -> dict[str, Any]:
    tasks = {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        xcoms = {key: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=key) for key in KEYS}
        tasks[name] = {"state": ti.state, "tries": ti.try_number, **xcoms}
    return {"run_id": run.run_id, "state": run.state, "tasks": tasks}


ACTIONS = {"migrate": migrate, "test": test, "retry": retry, "clear": clear}

if __name__ == "__main__":
    main(*sys.argv[1:])
    # Otherwise the interpreter's last garbage collection takes two seconds.
    gc.freeze()
