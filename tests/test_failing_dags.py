"""What the log of a task that fails shows, on real Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from conftest import ROOT, SECRET
from dag_runs import DagRunner
from dags.failures import TASKS
from emulated_runs import Runs

from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = pytest.mark.skipif(
    version("apache-airflow").startswith("3.0."), reason="in a test of a DAG, Airflow 3.0 draws tracebacks"
)

#: Frames of Airflow itself, which calls the task.
AIRFLOW = 7


@pytest.fixture(scope="module")
def runs(dag_runner: DagRunner) -> Iterator[Runs]:
    with CloudEmulator(access_key_secret=SECRET) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
        cloud.add_backup_set("ob-1", "bak-failed", statuses=("DOING", 400))
        runs = Runs(cloud, dag_runner)
        for dag_id in TASKS:
            runs.test(ROOT / "tests" / "dags" / "failures.py", dag_id)
        yield runs


@pytest.mark.parametrize("dag_id", TASKS)
def test_few_frames_and_the_advice_on_a_line_of_its_own(dag_id: str, runs: Runs) -> None:
    if dag_id == "fails_in_the_trigger":
        verdict, advice = (
            "Request refused (HTTP 400)",
            "errorCode and errorMessage say why; quote the requestId",
        )
    else:
        verdict, advice = "AccessKey refused (HTTP 401)", "Check AccessKey ID (login) and secret (password)"
    assert runs.states(dag_id) == {dag_id: "failed"}
    lines = runs.results[dag_id].printed.splitlines()
    raised = next(number for number, line in enumerate(lines) if f"Error: {verdict}" in line)
    began = max(number for number, line in enumerate(lines[:raised]) if "Traceback (most recent" in line)
    frames = [line for line in lines[began:raised] if re.match(r'\s*File "', line)]
    ours = [frame for frame in frames if "airflow_provider_oceanbase" in frame]
    # The third resumes the task.
    assert 1 <= len(ours) <= 2 + (dag_id == "fails_in_the_trigger")
    assert len(frames) <= AIRFLOW + len(ours)
    assert not re.search("tenacity|concurrent/futures|requests/|urllib3", "\n".join(frames))
    advised = [number for number, line in enumerate(lines) if advice in line and "Error: " not in line]
    # Airflow 2 prints each line twice: to the console, and to the log of the task.
    assert len(advised) == sum("Task failed with exception" in line for line in lines) > 0
    assert advised[0] < began
