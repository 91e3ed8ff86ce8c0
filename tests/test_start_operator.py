"""StartBackupOperator: its request, and its wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starts import MODES, Task, operator, plan, starts, waiting

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseInputError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.operators import StartBackupOperator
from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_constructor_does_no_io() -> None:
    operator(oceanbase_conn_id="no_such_connection")


def test_templates() -> None:
    assert set(StartBackupOperator.template_fields) == {
        "instance_id",
        "backup_object_type",
        "tenant_id",
        "database_tables",
        "oceanbase_conn_id",
    }


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"poke_interval": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": timedelta(seconds=-1)}, ValueError),
        ({"registration_timeout": "soon"}, ValueError),
        ({"success_statuses": ()}, ValueError),
        ({"success_statuses": ("A",), "failure_statuses": ("A",)}, ValueError),
        ({"failure_statuses": "FAILED"}, TypeError),
    ],
)
def test_invalid_arguments(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        operator(**options)


def test_durations_may_be_timedeltas() -> None:
    task = operator(poke_interval=timedelta(minutes=2), timeout=timedelta(hours=1), registration_timeout=5)
    assert (task.poke_interval, task.timeout, task.registration_timeout) == (120, 3600, 5)


def test_start(cloud: CloudEmulator) -> None:
    task = Task(tenant_id="t1", need_pre_check=False)
    backup_task_id = plan(cloud, "DOING")
    assert task.run() == backup_task_id
    assert task.xcoms == {}
    assert [seen.method for seen in cloud.requests] == ["POST", "POST"]
    assert cloud.requests[-1].body == {
        "backupObjectType": "tenant",
        "backupPolicy": "manual",
        "needPreCheck": False,
        "tenantId": "t1",
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "statuses",
    [
        ("BEGINNING", "DOING", "DONE"),
        (None, None, "DONE"),
        (404, None, 404, "DOING", "DONE"),
        (503, "DOING", 429, "DONE"),
    ],
)
def test_wait(statuses: tuple[Any, ...], mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode)
    backup_task_id = plan(cloud, *statuses, tenants=("orders",))
    assert task.run() == backup_task_id
    summary = task.xcoms["backup_set"]
    assert (summary["status"], summary["backupSetId"], summary["tenantCount"]) == ("DONE", backup_task_id, 1)
    assert starts(cloud) == 1
    assert cloud.polls("ob-1", backup_task_id) == len(statuses)


@pytest.mark.parametrize("mode", MODES)
def test_not_found_after_registration_timeout_fails(mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode, registration_timeout=0)
    backup_task_id = plan(cloud, 404, "DONE")
    with pytest.raises(OceanBaseNotFoundError):
        task.run()
    assert cloud.polls("ob-1", backup_task_id) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("statuses", "fields", "options", "says"),
    [
        (("DOING", "FAILED"), {}, {}, "ended with status FAILED"),
        (("OK",), {}, {"success_statuses": ("GOOD",), "failure_statuses": ("OK",)}, "status OK"),
        (("DONE",), {"validity": "INVALID"}, {"require_valid": True}, "validity INVALID"),
    ],
)
def test_failed_backup(
    statuses: Any, fields: Any, options: Any, says: str, mode: str, cloud: CloudEmulator
) -> None:
    task = waiting(mode, **options)
    backup_task_id = plan(cloud, *statuses, **fields)
    with pytest.raises(BackupSetFailedError, match=says) as caught:
        task.run()
    assert caught.value.backup_task_id == backup_task_id
    assert task.xcoms == {}


@pytest.mark.parametrize("mode", MODES)
def test_timeout(mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode, timeout=0.3)
    plan(cloud, "DOING")
    with pytest.raises(
        AirflowSensorTimeout,
        match=r"^bak-started-1 still DOING after 0\.\d s: timed out \(instance 'ob-1', timeout 0\.3 s\)",
    ):
        task.run()


def test_execution_timeout_bounds_a_deferred_wait(cloud: CloudEmulator) -> None:
    task = waiting("deferrable", execution_timeout=timedelta(seconds=0.3))
    plan(cloud, "DOING")
    with pytest.raises(AirflowTaskTimeout, match=r"still DOING after .*timeout 0\.3 s\)"):
        task.run()


@pytest.mark.parametrize("mode", MODES)
def test_refusal_during_the_wait(mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode)
    plan(cloud, "DOING", 400)
    with pytest.raises(OceanBaseRefusedError):
        task.run()


def test_changes_are_logged(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    backup_task_id = plan(cloud, 404, 404, "DOING", "DONE")
    waiting("poke").run()
    text = logged()
    # Airflow 2 logs each line twice.
    once = text.count(f"Started backup task '{backup_task_id}' of instance 'ob-1'.")
    assert once in (1, 2)
    for status in ("not registered yet (instance", "DOING (instance", "DONE; the backup took "):
        assert text.count(f"{backup_task_id}: {status}") == once


def test_invalid_argument_sends_nothing(cloud: CloudEmulator) -> None:
    with pytest.raises(OceanBaseInputError, match="backup_object_type is 'cluster'"):
        Task(backup_object_type="cluster").run()
    assert cloud.requests == []


def test_the_end_of_a_wait_is_about_the_backup_that_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Variable in a template may be another by then: lineage must not make up a backup."""
    task = StartBackupOperator(
        task_id="start", instance_id="ob-2", backup_object_type="tenant", deferrable=True
    )
    monkeypatch.setattr(task, "_push", lambda *_: None)
    condition = {"instance_id": "ob-1", "backup_task_id": "bak-1"}
    event = {
        "began": 0.0,
        "condition": condition,
        "oceanbase_conn_id": "first",
        "summary": {"status": "DONE"},
    }
    assert task.execute_complete({}, event) == "bak-1"
    assert (task.instance_id, task.oceanbase_conn_id) == ("ob-1", "first")
