"""Arguments from templates and mapped tasks, on real Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from conftest import RETRIED_BY_AIRFLOW, ROOT
from dag_runs import DagRunner, Result
from dags.templates import MODES

from airflow_provider_oceanbase.testing import CloudEmulator

KINDS = ("text", "native")
REFUSED = [
    "no_id_get",
    "no_tenant_start",
    *(f"no_{what}_{mode}" for what in ("tenants", "mode") for mode in MODES),
    "no_tenant_start_mapped[0]",
    *(f"no_tenants_mapped_{mode}[{index}]" for mode in MODES for index in (0, 1)),
]
FOUND = [
    *(f"{what}_{mode}" for what in ("tenants", "number") for mode in MODES),
    *(f"tenants_mapped_{mode}[{index}]" for mode in MODES for index in (0, 1)),
]
STARTED = ["databases_False", "databases_True"]


class Ran:
    """What a DAG came to, and what both servers saw."""

    def __init__(self, result: Result, cloud: CloudEmulator, other: CloudEmulator) -> None:
        self.result, self.cloud, self.other = result, cloud, other


@pytest.fixture(scope="module", params=KINDS)
def ran(request: pytest.FixtureRequest, dag_runner: DagRunner) -> Iterator[Ran]:
    with CloudEmulator() as cloud, CloudEmulator() as other:
        cloud.add_backup_set(
            "ob-1",
            "bak-1",
            statuses=("DOING", "DOING", "DONE"),
            tenants=("orders", "billing"),
            start_time=datetime(2026, 1, 20, 1, tzinfo=UTC),
            checkpoint=datetime(2026, 1, 20, 2, tzinfo=UTC),
            end_time=datetime(2026, 1, 20, 3, tzinfo=UTC),
        )
        cloud.add_backup_set("11002", "1002", statuses=("DOING", "DOING", "DOING", "DONE"))
        for instance in ("ob-False", "ob-True"):
            cloud.next_backup(instance, statuses=("DOING", "DONE"))
        environ = {
            "AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri,
            "AIRFLOW_CONN_OCEANBASE_OTHER": other.connection_uri,
            "NO_PROXY": "127.0.0.1",
        }
        result = dag_runner.test(ROOT / "tests/dags/templates.py", f"templates_{request.param}", **environ)
        yield Ran(result, cloud, other)


@pytest.mark.parametrize("task_id", [*FOUND, *STARTED])
def test_what_was_found_is_used(task_id: str, ran: Ran) -> None:
    if RETRIED_BY_AIRFLOW and "_reschedule" in task_id:
        pytest.skip("dag.test() of Airflow 3.0 fails the second reschedule")
    assert ran.result.states[task_id] == "success", ran.result.printed[-5000:]


@pytest.mark.parametrize("task_id", REFUSED)
def test_nothing_is_sent_for_nothing(task_id: str, ran: Ran) -> None:
    assert ran.result.states[task_id] == "failed"
    assert ran.other.requests == []


def test_the_log_names_the_argument(ran: Ran) -> None:
    for name in ("tenants", "backup_mode", "backup_task_id", "tenant_id"):
        # Airflow 3.0 shows class and text apart.
        assert re.search(rf"OceanBaseInputError\W.*{name} is ", ran.result.printed, re.DOTALL)


def test_databases_are_sent_as_a_list(ran: Ran) -> None:
    sent = [seen.body for seen in ran.cloud.requests if seen.method == "POST" and seen.authorized]
    databases = [{"databaseName": f"shop{number}", "tables": ["orders"]} for number in (0, 1)]
    assert [body["databaseTables"] for body in sent] == [databases] * 2
