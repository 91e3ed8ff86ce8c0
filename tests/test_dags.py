"""Whole DAG runs on real Airflow, against the emulator."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import airflow
import pytest
from conftest import RETRIED_BY_AIRFLOW, ROOT, SECRET
from dag_runs import DagRunner
from dags.waits import INSTANCE_ID, SENSORS
from emulated_runs import WRONG_SECRET, Runs

from airflow_provider_oceanbase.testing import CloudEmulator

STATUSES: dict[str, tuple[str | int, ...]] = {
    "done": ("BEGINNING", "DOING", "DONE"),
    "failed": ("DOING", "FAILED"),
    "outage": ("DOING", 503, 503, "DONE"),
    "refused": ("DOING", 400),
    "late": (404, "DONE"),
    "forever": ("DOING", "DONE"),
    "timeout": ("DOING",),
}

#: With the parameters that a person gives when triggering it.
EXAMPLES = {
    "oceanbase_backup_etl": {"instance_id": "ob-demo", "backup_task_id": "bak-demo"},
    "oceanbase_nightly_etl": {},
}
GUARDED = "oceanbase_guarded_purge"


@pytest.fixture(scope="module")
def runs(dag_runner: DagRunner) -> Iterator[Runs]:
    with CloudEmulator(access_key_secret=SECRET) as cloud:
        runs = Runs(cloud, dag_runner)
        for dag_id in SENSORS:
            if statuses := STATUSES.get(dag_id.rpartition("_")[2]):
                cloud.add_backup_set(INSTANCE_ID, dag_id, statuses=statuses, tenants=("orders", "billing"))
        cloud.add_backup_set("ob-demo", "bak-demo", statuses=("DONE",), tenants=("orders", "billing"))
        for dag_id in SENSORS:
            runs.test(ROOT / "tests" / "dags" / "waits.py", dag_id)
        for dag_id, conf in EXAMPLES.items():
            runs.test(ROOT / "example_dags" / f"{dag_id}.py", dag_id, conf)
        begin = runs.began - timedelta(days=1)
        cloud.add_restorable_tenant("ob-demo", "orders", intervals=[(begin, None)])
        conf = {"instance_id": "ob-demo", "tenant": "orders"}
        runs.test(ROOT / "example_dags" / f"{GUARDED}.py", GUARDED, conf)
        yield runs


@pytest.mark.parametrize("dag_id", [name for name in SENSORS if name.endswith("_done")])
def test_waits_until_done(dag_id: str, runs: Runs) -> None:
    assert runs.results[dag_id].state == "success"
    wait, get = runs.task(dag_id, "wait"), runs.task(dag_id, "get")
    assert (wait["tries"], get["tries"]) == (1 + (dag_id in RETRIED_BY_AIRFLOW), 1)
    assert wait["return_value"] == get["backup_set"]
    assert wait["return_value"]["status"] == "DONE"
    assert wait["return_value"]["tenantCount"] == 2
    assert [tenant["tenantName"] for tenant in get["return_value"]] == ["orders", "billing"]
    # Three polls of the sensor and one of the operator.
    assert runs.cloud.polls(INSTANCE_ID, dag_id) == 4


def test_poke_mode_takes_one_challenge(runs: Runs) -> None:
    assert runs.seen(INSTANCE_ID, "poke_done") == [401, 200, 200, 200, 401, 200]


@pytest.mark.parametrize("dag_id", [name for name in SENSORS if name.endswith("_failed")])
def test_failed_backup_is_not_retried(dag_id: str, runs: Runs) -> None:
    assert runs.states(dag_id) == {"wait": "failed", "get": "upstream_failed"}
    assert runs.task(dag_id, "wait")["tries"] == 1
    assert runs.cloud.polls(INSTANCE_ID, dag_id) == 2


@pytest.mark.parametrize("dag_id", [name for name in SENSORS if name.endswith("_unknown")])
def test_unknown_backup_is_retried(dag_id: str, runs: Runs) -> None:
    assert runs.states(dag_id) == {"wait": "failed", "get": "upstream_failed"}
    assert runs.task(dag_id, "wait")["tries"] == 2
    assert runs.seen(INSTANCE_ID, dag_id) == [401, 404] * 2


@pytest.mark.parametrize("dag_id", [name for name in SENSORS if name.endswith(("_late", "_forever"))])
def test_backup_that_is_registered_late_and_wait_without_end(dag_id: str, runs: Runs) -> None:
    assert runs.states(dag_id) == {"wait": "success", "get": "success"}
    assert runs.task(dag_id, "wait")["tries"] == 1
    assert runs.cloud.polls(INSTANCE_ID, dag_id) == 3


def test_outage_does_not_end_the_wait(runs: Runs) -> None:
    assert runs.states("deferrable_outage") == {"wait": "success", "get": "success"}
    assert runs.task("deferrable_outage", "wait")["tries"] == 1
    # One challenge each for worker, triggerer and operator, and one after each failure.
    assert runs.seen(INSTANCE_ID, "deferrable_outage") == [401, 200, 401, 503, 401, 503, 401, 200, 401, 200]
    assert runs.printed.count("; polling continues") == 1
    assert runs.printed.count("OceanBase Cloud answers again") == 1


def test_timeout_is_not_retried(runs: Runs) -> None:
    assert runs.states("deferrable_timeout") == {"wait": "failed", "get": "upstream_failed"}
    assert runs.task("deferrable_timeout", "wait")["tries"] == 1
    assert re.search(r"deferrable_timeout still DOING after .*: timed out \(instance 'ob-1'", runs.printed)


def test_stored_triggers_contain_no_secret(runs: Runs) -> None:
    with closing(sqlite3.connect(runs.runner.home / "airflow.db")) as database:
        query = "SELECT classpath, kwargs FROM trigger WHERE created_date > ?"
        rows = database.execute(query, [runs.began.isoformat(" ")]).fetchall()
    if airflow.__version__.startswith("2."):
        pytest.skip("dag.test() of Airflow 2 runs triggers without storing them")
    assert len(rows) >= 4
    for classpath, arguments in rows:
        assert classpath in {
            f"airflow_provider_oceanbase.triggers.{name}"
            for name in ("BackupSetTrigger", "RestorablePointTrigger")
        }
        # From these tests, or from an example.
        assert "deferrable_" in arguments or "ob-demo" in arguments
        assert "emulator-key" not in arguments


def test_no_execute_is_called_outside_a_task(runs: Runs) -> None:
    assert "cannot be called outside" not in runs.printed


@pytest.mark.parametrize("dag_id", EXAMPLES)
def test_example(dag_id: str, runs: Runs) -> None:
    names = ["wait_for_backup", "get_backup_set", "process[0]", "process[1]"]
    assert runs.states(dag_id) == dict.fromkeys(names, "success")
    assert runs.task(dag_id, "wait_for_backup")["return_value"]["backupSetId"] == "bak-demo"
    tenants = runs.task(dag_id, "get_backup_set")["return_value"]
    assert [tenant["tenantName"] for tenant in tenants] == ["orders", "billing"]
    results = [runs.task(dag_id, f"process[{index}]")["return_value"] for index in (0, 1)]
    assert [result.partition(" GB")[0] for result in results] == ["orders: 0.06", "billing: 0.06"]


def test_example_that_guards_a_destructive_step(runs: Runs) -> None:
    assert runs.states(GUARDED) == {"wait_until_restorable": "success", "purge": "success"}
    point = runs.task(GUARDED, "wait_until_restorable")["return_value"]
    assert (point["tenantCount"], point["tenants"][0]["tenantName"]) == (1, "orders")
    assert runs.task(GUARDED, "purge")["return_value"] == (
        f"orders: deleted nothing; to undo it, restore to {point['restoreTime']}"
    )
    path = "/api/v2/instances/ob-demo/backup/restore/tenants"
    assert path in {request.path for request in runs.cloud.requests}


@pytest.mark.parametrize("dag_id", [name for name in SENSORS if name.endswith("_refused")])
def test_refusal_during_the_wait_is_retried(dag_id: str, runs: Runs) -> None:
    assert runs.states(dag_id) == {"wait": "failed", "get": "upstream_failed"}
    assert runs.task(dag_id, "wait")["tries"] == 2


def test_wrong_key(runs: Runs) -> None:
    assert runs.states("poke_wrong_key") == {"wait": "failed", "get": "upstream_failed"}
    assert runs.seen(INSTANCE_ID, "poke_wrong_key") == [401, 401] * 2
    assert "AccessKey refused" in runs.printed


def test_files_and_logs_contain_no_secret(runs: Runs) -> None:
    """Logs are at DEBUG; the database has rendered fields, XComs, triggers and their events."""
    assert [
        name for name, one in runs.results.items() if "Starting new HTTP connection" not in one.printed
    ] == []
    files = [path for path in runs.runner.home.rglob("*") if path.is_file()]
    assert {"airflow.db"} <= {path.name for path in files}
    texts = {str(path): path.read_bytes().decode("latin-1") for path in files}
    texts["output"] = runs.printed_but_masks
    wanted = runs.cloud.seen_digest_responses - {""}
    assert len(wanted) > 20
    wanted.add("Authorization:")
    for password in (SECRET, WRONG_SECRET):
        wanted |= {password, base64.b64encode(password.encode()).decode()}
    assert [(where, secret) for where, text in texts.items() for secret in wanted if secret in text] == []
