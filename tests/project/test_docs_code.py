"""The Python of README and documentation runs, with the documented result."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.exceptions import AirflowException
from conftest import run
from dag_runs import DagRunner, Result
from modes import STARTS
from packaging.version import Version
from pages import BLOCKS, PROJECTS, Block

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oceanbase import exceptions
from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.sensors import BackupSetSensor
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.testing.__main__ import BACKUP_SETS, INSTANCE_ID, TENANTS

MAPPED = {f"process[{index}]": "success" for index in range(len(TENANTS))}
FAILED = {"wait": "failed", "load": "upstream_failed"}
#: Task states of each DAG of the pages, against an emulator with the backup sets of its command line.
OUTCOMES: dict[str, dict[str, str]] = {
    "etl_after_backup": {"wait": "success", "get": "success", **MAPPED},
    "first_backup_etl": {"wait": "success", "get": "success", **MAPPED},
    "etl_behind_a_backup": {"start_backup": "success", "wait": "success", "load": "success"},
    "etl_behind_any_fresh_backup": {"wait": "success", "get": "success", **MAPPED},
    "etl_on_each_backup": {"load": "success"},
    "etl_by_tenant": {"wait": "success", "get": "success", **MAPPED, "process[2]": "skipped"},
    "etl_with_alert_callback": FAILED,
    "etl_with_alert_task": {**FAILED, "alert": "success"},
    "etl_with_http_sensor": {"wait": "success", "load": "success"},
    "etl_with_backup_set_sensor": {"wait": "success", "load": "success"},
    "backup_by_six": {"wait": "success"},
    "etl_with_deadline": {"wait": "success", "load": "success"},
    "purge_behind_a_restore_point": {"wait": "success", "purge": "success"},
    "nightly_backup": {"back_up": "success", "load": "success"},
}
#: For DAGs whose parameters have no default.
CONF = {"instance_id": INSTANCE_ID, "backup_task_id": "bak-demo"}
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.file]
DAGS = {block.dag_id: block for block in PYTHON if block.dag_id}
SNIPPETS = [block for block in PYTHON if not block.dag_id]
#: Why a DAG cannot run here, by the module that it imports.
MISSING = {
    module: reason
    for module, reason in {
        "airflow.providers.http": "the HTTP provider is not installed",
        "airflow.sdk": "it needs Airflow 3",
    }.items()
    if not find_spec(module)
}

AIRFLOW_HAS_DEADLINES = Version(airflow.__version__) >= Version("3.2")


def missing(block: Block) -> str | None:
    if "DeadlineAlert" in block.text and not AIRFLOW_HAS_DEADLINES:
        return "its imports are those of Airflow 3.2 and newer"
    return next((reason for module, reason in MISSING.items() if f"from {module}" in block.text), None)


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator(access_key_id="AK", access_key_secret="SECRET") as cloud:
        for backup_task_id, statuses in BACKUP_SETS.items():
            cloud.add_backup_set(INSTANCE_ID, backup_task_id, statuses=statuses[-1:], tenants=TENANTS)
        cloud.next_backup(INSTANCE_ID, statuses=("DONE",), tenants=TENANTS)
        for tenant in TENANTS:
            begin = datetime.now(UTC) - timedelta(days=1)
            cloud.add_restorable_tenant(INSTANCE_ID, tenant, intervals=[(begin, None)])
        yield cloud


@pytest.fixture(scope="module")
def results(
    cloud: CloudEmulator, dag_runner: DagRunner, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Result]:
    """Run every DAG of the pages."""
    results = {}
    for dag_id, block in DAGS.items():
        if missing(block) is None:
            # A folder for each: Airflow parses every file in the folder of a DAG.
            file = tmp_path_factory.mktemp("dags") / f"{dag_id}.py"
            # dag.test() of Airflow 3.3 fails with a deadline; an Airflow with a scheduler does not.
            file.write_text(block.text.replace("    deadline=LATE,\n", ""))
            results[dag_id] = dag_runner.test(
                file,
                dag_id,
                CONF if "Param(" in block.text else None,
                AIRFLOW_CONN_OCEANBASE_DEFAULT=cloud.connection_uri,
                AIRFLOW_CONN_OCEANBASE_HTTP=cloud.url,
                NO_PROXY="127.0.0.1",
            )
    return results


@pytest.mark.parametrize("dag_id", DAGS)
def test_dag(dag_id: str, results: dict[str, Result]) -> None:
    if reason := missing(DAGS[dag_id]):
        pytest.skip(reason)
    assert results[dag_id].states == OUTCOMES[dag_id]


def test_every_dag_of_the_pages_has_an_outcome() -> None:
    assert DAGS.keys() == OUTCOMES.keys()
    assert len(DAGS) == len([block for block in PYTHON if block.dag_id])


def test_failed_backups_are_reported(results: dict[str, Result]) -> None:
    printed = "".join(result.printed for result in results.values())
    assert "The wait for backup bak-failed failed; the backup is FAILED." in printed
    # There, dag.test() does not pass the exception to the callback; a worker does.
    if not airflow.__version__.startswith(("3.0.", "3.1.", "3.2.")):
        assert "To the database team: Backup bak-failed is FAILED." in printed


def test_a_missing_backup_alerts(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(DAGS["backup_by_six"].text, names)
    dag = names["backup_by_six"]()
    wait = dag.get_task("wait")
    assert (wait.timeout, wait.retries) == (2 * 60 * 60, 0)
    alert = wait.on_failure_callback
    (alert[0] if isinstance(alert, (list, tuple)) else alert)(
        {"exception": AirflowSensorTimeout("not complete")}
    )
    assert "no backup of last night by 06:00. not complete" in capsys.readouterr().out


@pytest.mark.skipif(not AIRFLOW_HAS_DEADLINES, reason="its imports are those of Airflow 3.2 and newer")
def test_the_deadline_calls_the_function_of_its_page() -> None:
    names: dict[str, Any] = {}
    exec(DAGS["etl_with_deadline"].text, names)
    (deadline,) = names["etl_with_deadline"]().deadline
    (snippet,) = (one for one in SNIPPETS if one.page == DAGS["etl_with_deadline"].page)
    exec(snippet.text, names)
    _, _, function = deadline.callback.path.rpartition(".")
    inspect.signature(names[function]).bind({}, **deadline.callback.kwargs)


def test_failures_are_distinguished(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(DAGS["etl_with_alert_callback"].text, names)
    backup = {"instance_id": "ob-1", "backup_task_id": "bak-1", "status": "OVERDUE"}
    for error in (
        exceptions.BackupSetFailedError("ended with status OVERDUE", **backup),
        exceptions.OceanBaseThrottledError("Too many requests"),
        AirflowSensorTimeout("Sensor has timed out"),
    ):
        names["alert"]({"exception": error})
    assert re.findall(r"^To the (.*? team: .*?)[ .]", capsys.readouterr().out, re.MULTILINE) == [
        "database team: Backup",
        "platform team: OceanBase",
        "platform team: The",
    ]


@pytest.mark.skipif("airflow.providers.http" in MISSING, reason="the HTTP provider is not installed")
# A warning of the HTTP provider itself.
@pytest.mark.filterwarnings("ignore:The .airflow.utils.operator_helpers")
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("DOING", False),
        ("DONE", True),
        ("FAILED", False),
        (None, TypeError),
        (404, False),
        (503, AirflowException),
        (200, KeyError),
    ],
)
def test_http_sensor_behaves_as_documented(
    status: str | int | None, outcome: bool | type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec(DAGS["etl_with_http_sensor"].text, names)
    sensor = names["etl_with_http_sensor"]().get_task("wait")
    with CloudEmulator(access_key_id="AK", access_key_secret="SECRET") as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_HTTP", cloud.url)
        cloud.add_backup_set(INSTANCE_ID, "bak-demo", statuses=(status,))
        if isinstance(outcome, bool):
            assert sensor.poke({}) is outcome
        else:
            with pytest.raises(outcome):
                sensor.poke({})
        # The login of the connection is sent as Basic.
        monkeypatch.setenv(
            "AIRFLOW_CONN_OCEANBASE_HTTP", cloud.connection_uri.replace("oceanbase://", "http://")
        )
        sensor.request_kwargs = {}
        with pytest.raises(AirflowException, match="401"):
            sensor.poke({})


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_snippet(
    block: Block,
    cloud: CloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test(monkeypatch)
    for callback in filter(inspect.iscoroutinefunction, names.values()):
        asyncio.run(callback({"dag_run": {"dag_id": "etl"}}, to="database team"))
    if "hook" in names:
        names["hook"].close()
    # A snippet prints something, or tests it.
    shown = re.search(
        r"^(True |DONE \['orders', |\['ob-demo'\]|bak-demo DONE |To the database team: etl is late)",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    assert tests or shown or follows_policy(names["task_policy"])


def follows_policy(task_policy: Callable[[Any], None]) -> bool:
    """Return whether a policy lets waits begin in the triggerer, and leaves mapped tasks alone."""
    options = {"task_id": "wait", "instance_id": "i", "deferrable": True}
    with DAG("policy", schedule=None):
        task = BackupSetSensor(backup_task_id="b", **options)
        mapped = BackupSetSensor.partial(**options | {"task_id": "mapped"}).expand(backup_task_id=["a", "b"])
    for one in (task, mapped):
        task_policy(one)
    return task.start_from_trigger is STARTS and not mapped.start_from_trigger


@pytest.mark.whole_airflow
@pytest.mark.parametrize("page", PROJECTS, ids=lambda page: page.name)
def test_project(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if block.page == page]
    for block in blocks:
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
    (commands,) = (block.text for block in blocks if block.language == "bash" and "pytest" in block.text)
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = f"set -e; cd {shlex.quote(str(tmp_path))}\n{commands}"
    output = run("bash", "-c", script, PATH=binaries, NO_PROXY="127.0.0.1")
    written = sum(block.text.count("\ndef test_") for block in blocks if block.file)
    assert re.search(rf"^=+ {written} passed\b", output, re.MULTILINE), output
