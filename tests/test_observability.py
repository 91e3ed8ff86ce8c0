"""Metrics and OpenLineage events of real DAGs, received by a statsd server and a file."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest
from conftest import RETRIED_BY_AIRFLOW, ROOT, SECRET
from dag_runs import DagRunner
from packaging.version import Version

from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, RestorablePointSensor
from airflow_provider_oceanbase.testing import CloudEmulator

pytest.importorskip("airflow.providers.openlineage", reason="the openlineage provider is optional")
# They share no Airflow with other tests: any worker can run them.
pytestmark = pytest.mark.xdist_group("observability")
DAG_IDS = ("poke_done", "reschedule_done", "deferrable_done", "poke_failed")


class Emitted:
    """Lines of statsd, and events of OpenLineage by task and type."""

    def __init__(self, lines: list[str], events: list[dict[str, Any]]) -> None:
        self.lines = [line for line in lines if line.startswith("airflow.oceanbase.")]
        self.events = {(event["job"]["name"], event["eventType"]): event for event in events}


@pytest.fixture(scope="module")
def emitted(dag_runner: DagRunner, tmp_path_factory: pytest.TempPathFactory) -> Emitted:
    events = tmp_path_factory.mktemp("lineage") / "events.jsonl"
    with CloudEmulator(access_key_secret=SECRET) as cloud, socket.socket(type=socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        for dag_id in DAG_IDS:
            end = dag_id.rpartition("_")[2].upper()
            cloud.add_backup_set("ob-1", dag_id, statuses=("DOING", "DOING", end), tenants=("orders",))
        cloud.add_backup_set("ob-1", "bak-read", statuses=("DONE",), tenants=("orders",))
        for name in ("bak-by-hook", "bak-by-task"):
            cloud.next_backup("ob-1", backup_task_id=name, statuses=("DONE",))
        environ = {
            "AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri,
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(statsd.getsockname()[1]),
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "oceanbase",
            "AIRFLOW__OPENLINEAGE__DISABLED": "False",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(events), "append": True}
            ),
            "NO_PROXY": "127.0.0.1",
        }
        # Airflow sets up metrics and listeners only once, when it starts.
        with dag_runner.alone(**environ) as runner:
            # First: what a hook records stays in the process, and a worker has one for each task.
            runner.test(ROOT / "tests" / "dags" / "lineage.py", "lineage_of_tasks")
            _received(statsd)
            for dag_id in DAG_IDS:
                runner.test(ROOT / "tests" / "dags" / "waits.py", dag_id)
        lines = _received(statsd)
        host = cloud.url.removeprefix("http://")
    text = events.read_text().replace(host, "HOST")
    return Emitted(lines, [json.loads(line) for line in text.splitlines()])


def _received(statsd: socket.socket) -> list[str]:
    statsd.setblocking(False)
    lines = []
    while True:
        try:
            lines += statsd.recv(65536).decode().splitlines()
        except BlockingIOError:
            return lines


def test_every_poll_is_counted(emitted: Emitted) -> None:
    assert emitted.lines.count("airflow.oceanbase.backup_set.polls:1|c") == 3 * len(DAG_IDS)


def test_successful_waits_are_timed(emitted: Emitted) -> None:
    timings = [
        line for line in emitted.lines if line.startswith("airflow.oceanbase.backup_set.wait_duration:")
    ]
    milliseconds = [float(re.fullmatch(r".*:([\d.]+)\|ms", line)[1]) for line in timings]  # type: ignore[index]
    # Three polls have two pauses of 0.2 s between them, but the first pause of a trigger is shorter.
    whole = [dag_id not in RETRIED_BY_AIRFLOW for dag_id in DAG_IDS if dag_id.endswith("_done")]
    assert [value > 200 for value in milliseconds] == whole


@pytest.mark.parametrize("task_id", ["wait", "get"])
@pytest.mark.parametrize("dag_id", [dag_id for dag_id in DAG_IDS if dag_id.endswith("_done")])
def test_backup_set_is_an_input(dag_id: str, task_id: str, emitted: Emitted) -> None:
    (dataset,) = emitted.events[f"{dag_id}.{task_id}", "COMPLETE"]["inputs"]
    assert (dataset["namespace"], dataset["name"]) == ("oceanbase-cloud://HOST", f"ob-1/{dag_id}")
    assert datetime.fromisoformat(dataset["facets"]["version"]["datasetVersion"]).tzinfo is not None
    assert dataset["inputFacets"]["dataQualityMetrics"]["bytes"] == 60_000_000


def _named(emitted: Emitted, task_id: str, kind: str) -> list[tuple[str, str]]:
    datasets = emitted.events[f"lineage_of_tasks.{task_id}", "COMPLETE"][kind]
    return sorted((dataset["namespace"], dataset["name"]) for dataset in datasets)


def test_what_a_task_reads_and_starts_by_the_hook(emitted: Emitted) -> None:
    space = "oceanbase-cloud://HOST"
    assert _named(emitted, "read", "inputs") == [(space, "ob-1/bak-read"), (space, "ob-1/tenants")]
    assert _named(emitted, "start", "outputs") == [(space, "ob-1/bak-by-hook")]


def test_started_backup_is_an_output(emitted: Emitted) -> None:
    assert _named(emitted, "back_up", "outputs") == [("oceanbase-cloud://HOST", "ob-1/bak-by-task")]
    assert _named(emitted, "back_up", "inputs") == []
    (dataset,) = emitted.events["lineage_of_tasks.back_up", "COMPLETE"]["outputs"]
    assert datetime.fromisoformat(dataset["facets"]["version"]["datasetVersion"]).tzinfo is not None
    assert dataset["outputFacets"]["outputStatistics"]["size"] == 60_000_000


@pytest.mark.skipif(
    Version(version("apache-airflow-providers-openlineage")) < Version("2.17"),
    reason="this openlineage provider reports no assets",
)
def test_declared_outlets_count_only_if_nothing_else_does(emitted: Emitted) -> None:
    declared = ("oceanbase-cloud://HOST", "ob-1/bak-declared")
    assert _named(emitted, "declare", "outputs") == [declared]
    # The openlineage provider decides it: docs/observability.md says so, and the way round.
    assert _named(emitted, "read", "outputs") == []
    assert declared not in _named(emitted, "start", "outputs") + _named(emitted, "back_up", "outputs")
    assert declared in _named(emitted, "add", "outputs")


def test_failed_backup_is_named_without_a_version(emitted: Emitted) -> None:
    (dataset,) = emitted.events["poke_failed.wait", "FAIL"]["inputs"]
    assert dataset["name"] == "ob-1/poke_failed"
    assert not dataset["facets"]
    assert not dataset["inputFacets"]


def test_lineage_contains_no_secret(emitted: Emitted) -> None:
    assert SECRET not in json.dumps(list(emitted.events.values()))


@pytest.mark.parametrize("known", ["checkpoint", "dataBackupSize"])
def test_missing_fields_make_no_facet(known: str) -> None:
    from airflow_provider_oceanbase.compat.openlineage import backup_set_lineage

    given: Any = {"checkpoint": None, "dataBackupSize": None}
    given[known] = {"checkpoint": "2026-01-19T10:32:28Z", "dataBackupSize": 1.5}[known]
    (dataset,) = backup_set_lineage("https://api.example:8443", "ob-1", "bak-1", given).inputs
    assert dataset.namespace == "oceanbase-cloud://api.example:8443"
    assert list(dataset.facets or ()) == (["version"] if known == "checkpoint" else [])
    assert list(dataset.inputFacets or ()) == (["dataQualityMetrics"] if known == "dataBackupSize" else [])


def test_checkpoint_sensor_reports_the_set_that_it_accepted(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    sensor = BackupCheckpointSensor(task_id="w", instance_id="ob-1", min_checkpoint="2026-01-01T00:00:00Z")
    assert sensor.get_openlineage_facets_on_complete(None) is None
    assert sensor.poke({})
    lineage = sensor.get_openlineage_facets_on_complete(None)
    assert lineage
    (dataset,) = lineage.inputs
    assert (dataset.namespace, dataset.name) == (cloud.url.replace("http", "oceanbase-cloud"), "ob-1/bak-1")
    assert set(dataset.facets or ()) == {"version"}


def test_restorable_tenants_are_inputs(cloud: CloudEmulator) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for name in ("orders", "billing"):
        cloud.add_restorable_tenant("ob-1", name, intervals=[(begin, None)])
    sensor = RestorablePointSensor(task_id="w", instance_id="ob-1", restore_time="2026-01-02T00:00:00+00:00")
    assert sensor.get_openlineage_facets_on_complete(None) is None
    assert sensor.poke({})
    lineage = sensor.get_openlineage_facets_on_complete(None)
    assert lineage
    assert {dataset.namespace for dataset in lineage.inputs} == {cloud.url.replace("http", "oceanbase-cloud")}
    assert [dataset.name for dataset in lineage.inputs] == [
        "ob-1/tenants/id-of-orders",
        "ob-1/tenants/id-of-billing",
    ]
    (version,) = (lineage.inputs[0].facets or {}).values()
    assert version.datasetVersion == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("size", "size_in_bytes"),
    [
        ("0.06", 60_000_000),
        (2, 2 * 10**9),
        (1e308, None),
        (-1.0, None),
        ("12 GB", None),
        ("nan", None),
        (True, 10**9),
    ],
)
def test_only_a_size_is_a_size(size: Any, size_in_bytes: int | None) -> None:
    from airflow_provider_oceanbase.compat.openlineage import backup_set_lineage

    summary = {"checkpoint": None, "dataBackupSize": size}
    (dataset,) = backup_set_lineage("https://api.example", "ob-1", "bak-1", summary).inputs
    metrics = (dataset.inputFacets or {}).get("dataQualityMetrics")
    assert (metrics and metrics.bytes) == size_in_bytes
