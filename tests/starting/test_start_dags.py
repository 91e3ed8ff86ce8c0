"""DAGs that start backups, on real Airflow: done, failed, unknown, timed out and killed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import airflow
import pytest
from conftest import ROOT, SECRET
from dag_runs import DagRunner, ProcessDiedError
from dags.starts import STARTS
from emulated_runs import Runs
from packaging.version import Version

from airflow_provider_oceanbase.testing import CloudEmulator, SeenRequest

STATUSES: dict[str, tuple[str | int | None, ...]] = {
    "only": ("DOING",),
    "done": (None, 404, "BEGINNING", "DOING", "DONE"),
    "failed": ("DOING", "FAILED"),
    "timeout": ("DOING",),
    "resumed": ("DOING", 400, "DOING", "DONE"),
    "killed": ("DOING", "DOING", "DOING", "DONE"),
}
KEEPS_STATE = Version(airflow.__version__) >= Version("3.3")
KILLED = [dag_id for dag_id in STARTS if dag_id.endswith("_killed")]
FILE = ROOT / "tests" / "dags" / "starts.py"
EXAMPLE = "oceanbase_backup_and_verify"
keeps_state = pytest.mark.skipif(not KEEPS_STATE, reason="Airflow keeps task state from 3.3 on")


@pytest.fixture(scope="module")
def runs(dag_runner: DagRunner) -> Iterator[Runs]:
    released = threading.Event()

    def disturb(seen: SeenRequest) -> None:
        if seen.method == "POST" and seen.status == 401 and "start_unknown" in seen.path:
            cloud.fail(status=502, after_acting=True)
        elif seen.method == "POST" and seen.status == 401 and "start_refused" in seen.path:
            cloud.fail(status=400)
        elif seen.method == "POST" and seen.authorized and "start_cut_off" in seen.path:
            # The response is too late.
            released.wait(60)

    with CloudEmulator(access_key_secret=SECRET, on_request=disturb) as cloud:
        runs = Runs(cloud, dag_runner)
        for dag_id in STARTS:
            if statuses := STATUSES.get(dag_id.rpartition("_")[2]):
                cloud.next_backup(
                    dag_id, backup_task_id=f"bak-{dag_id}", statuses=statuses, polls_per_status=1
                )
        cloud.next_backup("ob-demo", statuses=("DONE",), tenants=("orders", "billing"))
        # dag.test() of Airflow 2 ends with the task that times out.
        skipped = KILLED if KEEPS_STATE else [*KILLED, "start_cut_off"]
        try:
            for dag_id in STARTS:
                if dag_id not in skipped:
                    runs.test(FILE, dag_id)
            runs.test(
                ROOT / "example_dags" / f"{EXAMPLE}.py",
                EXAMPLE,
                {"instance_id": "ob-demo", "tenant_id": "t1002"},
            )
        finally:
            released.set()
        yield runs


def starts(runs: Runs, dag_id: str) -> list[int]:
    return [
        seen.status
        for seen in runs.cloud.requests
        if seen.method == "POST" and seen.authorized and seen.path.split("/")[4] == dag_id
    ]


def test_start(runs: Runs) -> None:
    start = runs.task("start_only", "start")
    assert (start["state"], start["return_value"]) == ("success", "bak-start_only")
    assert start["backup_set"] is None
    assert starts(runs, "start_only") == [200]
    first, asked = [seen.body for seen in runs.cloud.requests if "start_only" in seen.path]
    # The request that is challenged asks for nothing.
    assert first is None
    assert asked["tenantId"] == "orders"


@pytest.mark.parametrize("dag_id", ["start_poke_done", "start_deferrable_done"])
def test_wait(dag_id: str, runs: Runs) -> None:
    start = runs.task(dag_id, "start")
    assert (start["state"], start["tries"], start["return_value"]) == ("success", 1, f"bak-{dag_id}")
    assert start["backup_set"]["status"] == "DONE"
    assert starts(runs, dag_id) == [200]
    assert runs.cloud.polls(dag_id, f"bak-{dag_id}") == 5


@pytest.mark.parametrize(
    "dag_id", ["start_poke_failed", "start_deferrable_failed", "start_deferrable_timeout", "start_unknown"]
)
def test_failure_that_a_retry_cannot_fix_is_not_retried(dag_id: str, runs: Runs) -> None:
    start = runs.task(dag_id, "start")
    assert (start["state"], start["tries"]) == ("failed", 1)
    assert starts(runs, dag_id) == ([502] if dag_id == "start_unknown" else [200])


def test_unknown_start_is_logged(runs: Runs) -> None:
    assert "A backup may be running: instance 'start_unknown', connection" in runs.printed


def test_refusal_is_retried(runs: Runs) -> None:
    start = runs.task("start_refused", "start")
    assert (start["state"], start["tries"]) == ("failed", 2)
    assert starts(runs, "start_refused") == [400, 400]


@keeps_state
@pytest.mark.parametrize("dag_id", ["start_poke_resumed", "start_deferrable_resumed"])
def test_second_try_resumes_the_backup(dag_id: str, runs: Runs) -> None:
    start = runs.task(dag_id, "start")
    assert (start["state"], start["tries"], start["return_value"]) == ("success", 2, f"bak-{dag_id}")
    assert start["backup_set"]["status"] == "DONE"
    assert starts(runs, dag_id) == [200]


@keeps_state
def test_try_after_a_timeout_starts_nothing(runs: Runs) -> None:
    start = runs.task("start_cut_off", "start")
    assert (start["state"], start["tries"]) == ("failed", 2)
    assert starts(runs, "start_cut_off") == [200]
    assert "an earlier try was killed while it started one, at 20" in runs.printed


@keeps_state
@pytest.mark.parametrize("dag_id", KILLED)
def test_try_after_a_killed_one_resumes_the_backup(dag_id: str, runs: Runs) -> None:
    # The test kills its process.
    with runs.runner.alone() as first, pytest.MonkeyPatch.context() as patched:

        def kill_at_the_second_poll(seen: SeenRequest) -> None:
            if seen.backup_status and runs.cloud.polls(dag_id, f"bak-{dag_id}") == 2:
                first.kill()

        patched.setattr(runs.cloud, "_on_request", kill_at_the_second_poll)
        with pytest.raises(ProcessDiedError) as died:
            first.test(FILE, dag_id, **runs.environ)
    assert died.value.returncode == -signal.SIGKILL
    runs.results[dag_id] = runs.runner.retry(FILE, dag_id, **runs.environ)
    start = runs.task(dag_id, "start")
    assert (start["state"], start["return_value"]) == ("success", f"bak-{dag_id}")
    assert start["backup_set"]["status"] == "DONE"
    assert starts(runs, dag_id) == [200]


def test_example(runs: Runs) -> None:
    tasks = runs.results[EXAMPLE].tasks
    assert set(tasks) == {"back_up", "get_backup_set", "verify[0]", "verify[1]"}
    assert {task["state"] for task in tasks.values()} == {"success"}
    assert tasks["back_up"]["return_value"] == "bak-started-1"
    assert tasks["back_up"]["backup_set"]["status"] == "DONE"
    results = [tasks[f"verify[{index}]"]["return_value"] for index in (0, 1)]
    assert [result.partition(" GB")[0] for result in results] == ["orders: 0.06", "billing: 0.06"]


def test_logs_contain_no_secret(runs: Runs) -> None:
    wanted: set[Any] = {SECRET, "Authorization:", *runs.cloud.seen_digest_responses} - {""}
    assert len(wanted) > 10
    assert [text for text in wanted if text in runs.printed_but_masks] == []
