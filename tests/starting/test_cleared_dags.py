"""DAG runs that are cleared on real Airflow, as they were and with other arguments; a worker that dies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import airflow
import pytest
from conftest import ROOT
from dag_runs import DagRunner, ProcessDiedError, Result
from emulated_runs import Runs
from packaging.version import Version

from airflow_provider_oceanbase.testing import CloudEmulator, SeenRequest

FILE = ROOT / "tests" / "dags" / "changing.py"
pytestmark = pytest.mark.skipif(
    Version(airflow.__version__) < Version("3.3"), reason="Airflow keeps task state from 3.3 on"
)


@pytest.fixture
def runs(dag_runner: DagRunner) -> Iterator[Runs]:
    with CloudEmulator(seconds_per_status=0.1) as cloud:
        yield Runs(cloud, dag_runner)


def run(runs: Runs, dag_id: str, action: str = "test", **environ: str) -> Result:
    result: Result = getattr(runs.runner, action)(FILE, dag_id, **runs.environ, **environ)
    return result


def started(runs: Runs) -> dict[str, tuple[str, Any]]:
    """Return instance and tenant of each backup, by its ID."""
    posts = [seen for seen in runs.cloud.requests if seen.method == "POST" and seen.authorized]
    asked = [(seen.path.split("/")[4], seen.body["tenantId"]) for seen in posts]
    return {f"bak-started-{number}": one for number, one in enumerate(asked, start=1)}


def test_clear_continues_with_the_backup(runs: Runs) -> None:
    for action in ("test", "clear", "clear"):
        result = run(runs, "start_corrected", action, TENANT="t-right")
        assert result.tasks["start"]["state"] == "success"
        assert result.tasks["start"]["return_value"] == "bak-started-1"
    assert started(runs) == {"bak-started-1": ("start_corrected", "t-right")}


@pytest.mark.parametrize(
    ("dag_id", "wrong", "right"),
    [
        ("start_corrected", {"TENANT": "t-wrong"}, {"TENANT": "t-right"}),
        ("start_moved", {"TENANT": "t", "INSTANCE": "ob-1"}, {"TENANT": "t", "INSTANCE": "ob-2"}),
    ],
)
def test_clear_with_corrected_arguments(
    dag_id: str, wrong: dict[str, str], right: dict[str, str], runs: Runs
) -> None:
    first = run(runs, dag_id, **wrong)
    again = run(runs, dag_id, "clear", **right)
    assert again.run_id == first.run_id
    assert again.tasks["start"]["state"] == "success"
    found = started(runs)[again.tasks["start"]["return_value"]]
    assert found == (right.get("INSTANCE", dag_id), right["TENANT"])
    assert len(started(runs)) == 2
    assert "A backup is started, since backup task 'bak-started-1', started at 20" in again.printed


def test_list_with_a_new_first_entry(runs: Runs) -> None:
    run(runs, "start_mapped", TENANTS='["t-a", "t-b"]')
    assert sorted(tenant for _, tenant in started(runs).values()) == ["t-a", "t-b"]
    again = run(runs, "start_mapped", "clear", TENANTS='["t-new", "t-a", "t-b"]')
    assert again.states == {"tenants": "success", **{f"start[{index}]": "success" for index in range(3)}}
    names = [again.tasks[f"start[{index}]"]["return_value"] for index in range(3)]
    assert [started(runs)[name][1] for name in names] == ["t-new", "t-a", "t-b"]


def test_deleted_backup(runs: Runs) -> None:
    run(runs, "start_deleted", TENANT="t")
    runs.cloud._cloud.sets.clear()
    again = run(runs, "start_deleted", "clear", TENANT="t")
    assert again.tasks["start"]["return_value"] == "bak-started-2"
    assert again.tasks["start"]["backup_set"]["status"] == "DONE"


def test_worker_that_dies_while_it_starts_a_backup(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    dag_id = "start_killed_while_starting"
    with runs.runner.alone() as first:

        def kill(seen: SeenRequest) -> None:
            if seen.method == "POST" and seen.authorized:
                first.kill()

        monkeypatch.setattr(runs.cloud, "_on_request", kill)
        with pytest.raises(ProcessDiedError) as died:
            first.test(FILE, dag_id, **runs.environ, TENANT="t")
    assert died.value.returncode == -signal.SIGKILL
    monkeypatch.setattr(runs.cloud, "_on_request", None)
    retried = run(runs, dag_id, "retry", TENANT="t")
    assert retried.tasks["start"]["state"] == "failed"
    assert "; an earlier try was killed while it started one, at 20" in retried.printed
    assert len(started(runs)) == 1
    # Somebody has read that, and asks for a backup.
    again = run(runs, dag_id, "clear", TENANT="t")
    assert again.tasks["start"]["return_value"] == "bak-started-2"
