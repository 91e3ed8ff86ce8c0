"""The example DAGs: what starts them, and what the web UI says of them; test_dags runs them."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from modes import AIRFLOW_2

from airflow_provider_oceanbase.operators import StartBackupOperator

FILES = sorted((ROOT / "example_dags").glob("*.py"))
#: The DAGs that a person, or another system, triggers with all parameters.
TRIGGERED = ["oceanbase_backup_and_verify", "oceanbase_backup_etl", "oceanbase_guarded_purge"]

# Airflow imports all providers to find handlers of URIs; on older versions, some of them warn.
pytestmark = pytest.mark.filterwarnings("ignore")


def load(file: Path) -> tuple[Any, str]:
    """Return the DAG of a file, and the file's docstring."""
    if AIRFLOW_2 and "backup_set_asset" in file.read_text():
        pytest.skip("Airflow 2 cannot watch assets")
    names = runpy.run_path(str(file))
    (dag,) = (value for value in names.values() if getattr(value, "dag_id", None) == file.stem)
    return dag, names["__doc__"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_of_the_dag_explains_itself(file: Path) -> None:
    dag, docstring = load(file)
    assert dag.doc_md == docstring
    for wanted in ("- **It runs**", "- **It needs**", "`oceanbase_default`", "- **Replace** `"):
        assert wanted in dag.doc_md
    (replaced,) = (task for task in dag.task_ids if f"**Replace** `{task}`" in dag.doc_md)
    assert "Replace this with" in dag.get_task(replaced).python_callable.__doc__
    # Whoever can trigger it reads how.
    if dag.params:
        assert f"airflow dags trigger {dag.dag_id} --conf " in dag.doc_md
        assert all(f'"{name}": ' in dag.doc_md for name in dag.params)
        assert all(dag.params.get_param(name).description for name in dag.params)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_unpausing_starts_no_backup(file: Path) -> None:
    dag, _ = load(file)
    starts = any(isinstance(task, StartBackupOperator) for task in dag.tasks)
    assert (dag.dag_id in TRIGGERED) >= starts
    # Otherwise unpausing it runs it at once, for the interval that has just ended.
    assert dag.timetable.can_be_scheduled == (dag.dag_id not in TRIGGERED)


@pytest.mark.parametrize("dag_id", TRIGGERED)
def test_the_ids_must_be_given(dag_id: str) -> None:
    dag, _ = load(ROOT / "example_dags" / f"{dag_id}.py")
    assert "instance_id" in dag.params
    for name in dag.params:
        with pytest.raises(Exception, match="No value passed"):
            dag.params.get_param(name).resolve()
        with pytest.raises(Exception, match=r"non-empty|too short"):
            dag.params.get_param(name).resolve("")
        assert dag.params.get_param(name).resolve("some-id") == "some-id"


def test_a_purge_that_is_cleared_deletes_nothing() -> None:
    dag, _ = load(ROOT / "example_dags" / "oceanbase_guarded_purge.py")
    purge = dag.get_task("purge").python_callable
    started = datetime(2026, 1, 19, 10, 0, 0, 123456, tzinfo=UTC)
    point = {"restoreTime": started.isoformat(), "tenantCount": 1, "tenants": [{"tenantName": "orders"}]}
    run = SimpleNamespace(start_date=started)
    assert "orders: deleted nothing" in purge(point, ti=SimpleNamespace(try_number=1), dag_run=run)
    # A run that has not ended keeps its start when tasks of it are cleared, so only the try tells.
    with pytest.raises(ValueError, match="purge was cleared or retried: start a new run"):
        purge(point, ti=SimpleNamespace(try_number=2), dag_run=run)
    # The run ended before purge had a try, as at its timeout: cleared, it starts anew, but XCom stays.
    anew = SimpleNamespace(start_date=started + timedelta(hours=3))
    with pytest.raises(ValueError, match="purge was cleared or retried: start a new run"):
        purge(point, ti=SimpleNamespace(try_number=1), dag_run=anew)
    with pytest.raises(ValueError, match="several tenants have the name"):
        purge(point | {"tenantCount": 2}, ti=SimpleNamespace(try_number=1), dag_run=run)
