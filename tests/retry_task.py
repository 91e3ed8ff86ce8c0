"""retry_task.py FILE:DAG_ID: run the only task of a DAG once more, whose process was killed, on Airflow 3.3.

It does what the scheduler does then, with what is in the database. A line of JSON tells what came of it, as
run_dags.py has it.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from airflow.models import TaskInstance
from airflow.sdk.definitions.dag import _run_task
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import Session

sys.argv, arguments = sys.argv[:1], sys.argv[1:]
print_result = runpy.run_path(str(Path(__file__).with_name("run_dags.py")))["print_result"]


def main(name: str) -> None:
    file, _, dag_id = name.partition(":")
    dag = runpy.run_path(file)[dag_id]
    with create_session() as session:
        lost = the_task(dag_id, session)
        lost.handle_failure("The process was killed.", test_mode=False, session=session)
    with create_session() as session:
        ti = the_task(dag_id, session)
        assert ti.state == "up_for_retry", ti.state
        ti.try_number += 1
        session.commit()
        _run_task(ti=ti, task=dag.task_dict[ti.task_id], run_triggerer=True)
        print_result(dag_id, ti.dag_run)


def the_task(dag_id: str, session: Session) -> TaskInstance:
    return session.scalars(select(TaskInstance).where(TaskInstance.dag_id == dag_id)).one()


main(*arguments)
