"""Each case has the same outcome and the same requests in all modes."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from emulators import after_polls
from modes import MODES, context, sensor, stored, wait
from moved import AirflowSkipException, TaskDeferred

import airflow_provider_oceanbase
from airflow_provider_oceanbase import waiting
from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout, BaseSensorOperator
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseAuthenticationError,
    OceanBaseInputError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.sensors import (
    BackupCheckpointSensor,
    BackupSetSensor,
    RestorablePointSensor,
)
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.arguments import check_templates

#: The modes in which a worker resumes the task.
RESUMES = ("deferrable", "triggerer")


def polls(cloud: CloudEmulator) -> list[int]:
    """HTTP statuses of the responses, without challenges."""
    return [request.status for request in cloud.requests if request.status != 401]


CASES: dict[str, tuple[tuple[str | int | None, ...], dict[str, Any], Any]] = {
    "done": (("DOING", "DONE"), {}, "DONE"),
    "not registered yet": ((None, None, "DONE"), {}, "DONE"),
    "unknown status": (("BEGINNING", "odd", "done", "DONE"), {}, "DONE"),
    "own statuses": (("DONE", "FAILED"), {"success_statuses": ["FAILED"], "failure_statuses": []}, "FAILED"),
    "failed": (("DOING", "FAILED"), {}, BackupSetFailedError),
    "failed, soft": (("DOING", "FAILED"), {"soft_fail": True}, AirflowSkipException),
    "failed, never": (("DOING", "FAILED"), {"never_fail": True}, AirflowSkipException),
    "failed, silent": (("DOING", "FAILED"), {"silent_fail": True}, BackupSetFailedError),
    "refused": (("DOING", 400), {}, OceanBaseRefusedError),
    "refused, soft": (("DOING", 400), {"soft_fail": True}, OceanBaseRefusedError),
    "refused, never": (("DOING", 400), {"never_fail": True}, AirflowSkipException),
    "refused, silent": (("DOING", 400, 404, "DOING", "DONE"), {"silent_fail": True}, "DONE"),
    "gone": (("DOING", 404), {}, OceanBaseNotFoundError),
    "forbidden twice": (("DOING", 403, 403), {}, OceanBaseAuthenticationError),
    "forbidden once": (("DOING", 403, "DOING", "DONE"), {}, "DONE"),
    "outage": (("DOING", 500, 429, 503, 408, "DOING", "DONE"), {}, "DONE"),
    "outage, soft": (("DOING", 500, "DONE"), {"soft_fail": True}, "DONE"),
    "refused at first": ((400,), {}, OceanBaseRefusedError),
    "refused at first, soft": ((400,), {"soft_fail": True}, OceanBaseRefusedError),
    "refused at first, never": ((400,), {"never_fail": True}, AirflowSkipException),
    "refused at first, silent": ((400, "DOING", "DONE"), {"silent_fail": True}, "DONE"),
    "timeout": (("DOING",), {"timeout": 0.3}, AirflowSensorTimeout),
    "timeout, soft": (("DOING",), {"timeout": 0.3, "soft_fail": True}, AirflowSkipException),
    "timeout, silent": (("DOING",), {"timeout": 0.3, "silent_fail": True}, AirflowSensorTimeout),
    "no time": (("DOING",), {"timeout": 0}, AirflowSensorTimeout),
    "no ID": ((), {"instance_id": ""}, OceanBaseInputError),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_outcome(case: str, mode: str, cloud: CloudEmulator) -> None:
    statuses, options, outcome = CASES[case]
    cloud.add_backup_set("ob-1", "bak-1", statuses=statuses or ("DOING",), tenants=("a", "b"))
    if isinstance(outcome, str):
        summary = wait(mode, **options)
        assert (summary["status"], summary["tenantCount"]) == (outcome, 2)
    else:
        with pytest.raises(outcome) as caught:
            wait(mode, **options)
        assert type(caught.value) is outcome
    if "timeout" not in options:
        assert polls(cloud) == [status if isinstance(status, int) else 200 for status in statuses]


@pytest.mark.parametrize("mode", MODES)
def test_timeout_that_never_fails(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    # In Airflow, never_fail covers a timeout only when a deferred task resumes, on newer versions.
    covered = "never_fail" in inspect.getsource(BaseSensorOperator.resume_execution)
    expected = AirflowSkipException if mode in RESUMES and covered else AirflowSensorTimeout
    with pytest.raises(expected):
        wait(mode, timeout=0.3, never_fail=True)


@pytest.mark.parametrize("mode", MODES)
def test_require_valid(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), validity="INVALID")
    with pytest.raises(BackupSetFailedError, match="validity INVALID") as caught:
        wait(mode, require_valid=True)
    assert caught.value.validity == "INVALID"
    assert caught.value.request_id in [request.query["requestId"] for request in cloud.requests]


@pytest.mark.parametrize("mode", MODES)
def test_error_is_the_same_in_all_modes(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", 400))
    with pytest.raises(OceanBaseRefusedError) as caught:
        wait(mode)
    request_id = cloud.requests[-1].query["requestId"]
    assert str(caught.value) == (
        "Request refused (HTTP 400): backup task 'bak-1' of instance 'ob-1', "
        f"connection 'oceanbase_default', host {cloud.url}; "
        f"errorCode E001R000, errorMessage Unknown Error, requestId {request_id}. "
        "errorCode and errorMessage say why; quote the requestId to OceanBase support."
    )


@pytest.mark.parametrize("mode", MODES)
def test_waits_no_shorter_than_the_interval(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",) * 4 + ("DONE",))
    wait(mode, poke_interval=0.15)
    times = [request.at for request in cloud.requests if request.status == 200]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    # The first poll in the triggerer is at a random moment within the interval.
    assert all(pause >= 0.145 for pause in pauses[mode in RESUMES :])
    assert len(times) == 5


@pytest.mark.parametrize("mode", MODES)
def test_retry_after_lengthens_the_pause(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    after_polls(cloud, 1, lambda: cloud.fail(status=429, headers={"Retry-After": "1"}))
    wait(mode)
    throttled = next(request for request in cloud.requests if request.status == 429)
    after = next(request for request in cloud.requests if request.at > throttled.at)
    assert after.at - throttled.at >= 0.99


def deferral(**options: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True, **options).execute(context())
    return caught.value


def test_what_is_deferred(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    deferred = deferral(
        oceanbase_conn_id="oceanbase_default",
        success_statuses=["OK"],
        failure_statuses=["NO"],
        require_valid=True,
        registration_timeout=timedelta(minutes=1),
        poke_interval=7,
        exponential_backoff=True,
        max_wait=timedelta(minutes=2),
        timeout=600,
    )
    _, arguments = deferred.trigger.serialize()
    began = arguments.pop("began")
    registered_by = arguments.pop("registered_by")
    assert registered_by == began + 60
    assert arguments == {
        "instance_id": "ob-1",
        "backup_task_id": "bak-1",
        "success_statuses": ("OK",),
        "failure_statuses": ("NO",),
        "require_valid": True,
        "schedule": {
            "poke_interval": 7.0,
            "exponential_backoff": True,
            "max_wait": 120.0,
            "timeout": 600.0,
            # Five timeouts of the connection.
            "grace": 150.0,
        },
        "oceanbase_conn_id": "oceanbase_default",
        "status": "DOING",
    }
    assert isinstance(began, float)
    # The worker polled once; Airflow's timeout is later than the trigger's.
    assert polls(cloud) == [200]
    assert deferred.timeout is not None
    assert 800 < deferred.timeout.total_seconds() <= 810


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "error"),
    [(0.3, timedelta(hours=1), AirflowSensorTimeout), (3600, timedelta(seconds=0.3), AirflowTaskTimeout)],
)
def test_sooner_of_two_limits(
    timeout: float, execution_timeout: timedelta, error: type[BaseException], cloud: CloudEmulator
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    with pytest.raises(error, match=r"^bak-1 still DOING after .*: timed out \(.*timeout 0\.3 s\)"):
        wait("deferrable", timeout=timeout, execution_timeout=execution_timeout)


def test_wait_that_is_deferred_again_keeps_its_beginning(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    first = deferral(timeout=600).trigger
    event = {"began": first.began - 500, "error": OceanBaseRefusedError("no").to_dict()}
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True, timeout=600, silent_fail=True).resume_execution(
            "execute_complete", {"event": event}, context()
        )
    assert stored(caught.value.trigger).began == first.began - 500
    assert caught.value.timeout is not None
    assert 250 < caught.value.timeout.total_seconds() < 315


def test_a_wait_goes_on_for_what_it_was_for(cloud: CloudEmulator) -> None:
    """A Variable in a template may be another by the time when a worker resumes the task."""
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DONE",))
    condition = {"instance_id": "ob-1", "backup_task_id": "bak-1", "require_valid": True}
    event = {"began": time.time(), "condition": condition, "error": OceanBaseRefusedError("no").to_dict()}
    task = sensor(backup_task_id="bak-2", deferrable=True, timeout=600, silent_fail=True)
    with pytest.raises(TaskDeferred) as caught:
        task.resume_execution("execute_complete", {"event": event}, context())
    assert stored(caught.value.trigger).condition_fields["backup_task_id"] == "bak-1"
    # What is no template stays as it is.
    assert task.require_valid is False


@pytest.mark.parametrize(
    "task",
    [
        sensor(deferrable=True, silent_fail=True, oceanbase_conn_id="rendered"),
        BackupCheckpointSensor(
            task_id="t",
            instance_id="ob-1",
            min_checkpoint="2026-01-20T00:00:00Z",
            deferrable=True,
            silent_fail=True,
        ),
        RestorablePointSensor(
            task_id="t",
            instance_id="ob-1",
            restore_time="2026-01-20T00:00:00Z",
            deferrable=True,
            silent_fail=True,
        ),
    ],
    ids=lambda task: type(task).__name__,
)
def test_each_wait_goes_on_unchanged(task: Any, cloud: CloudEmulator) -> None:
    asked = {"oceanbase_conn_id": "oceanbase_default"}
    task.oceanbase_conn_id, by_now = "oceanbase_default", task.oceanbase_conn_id
    check_templates(task, task._given)
    condition = dataclasses.asdict(task._condition)
    task.oceanbase_conn_id = by_now
    event = {"began": time.time(), "condition": condition, **asked}
    # The DAG has got an argument meanwhile.
    task._given = {*task._given, "tenants", "query_parameters", "backup_mode"}
    event |= {"error": OceanBaseRefusedError("no").to_dict()}
    with pytest.raises(TaskDeferred) as caught:
        task.resume_execution("execute_complete", {"event": event}, context())
    deferred = stored(caught.value.trigger)
    rendered = condition.keys() & {*task.template_fields}
    assert len(rendered) > 1
    assert {name: deferred.condition_fields[name] for name in rendered} == {
        name: condition[name] for name in rendered
    }
    assert deferred.oceanbase_conn_id == "oceanbase_default"


def test_default_is_that_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sensor().deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    # It is read when the modules are imported, so import them again.
    for package, name in ((waiting, "arguments"), (airflow_provider_oceanbase, "sensors")):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}")
        monkeypatch.delattr(package, name)
    again = importlib.import_module("airflow_provider_oceanbase.sensors")
    assert again.BackupSetSensor is not BackupSetSensor
    assert again.BackupSetSensor(task_id="t", instance_id="i", backup_task_id="b").deferrable is True
