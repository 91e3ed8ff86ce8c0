"""StartBackupOperator: tries of a task after an earlier one."""

from __future__ import annotations

from typing import Any

import airflow
import pytest
from packaging.version import Version
from starts import MODES, Task, plan, starts, waiting

from airflow_provider_oceanbase.compat.sdk import AirflowTaskTimeout
from airflow_provider_oceanbase.exceptions import (
    BackupStartUnknownError,
    OceanBaseCloudError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = [
    pytest.mark.skipif(
        Version(airflow.__version__) < Version("3.3"), reason="Airflow keeps task state from 3.3 on"
    ),
    pytest.mark.usefixtures("no_pauses"),
]


@pytest.mark.parametrize("mode", MODES)
def test_later_try_resumes_the_backup(mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode)
    backup_task_id = plan(cloud, "DOING", 400, "DOING", "DOING", "DONE")
    with pytest.raises(OceanBaseRefusedError):
        task.run()
    assert task.state == {"backup_task_id": backup_task_id}
    assert task.run() == backup_task_id
    assert task.xcoms["backup_set"]["status"] == "DONE"
    # And so does a task that runs again after it succeeded.
    assert task.run() == backup_task_id
    assert starts(cloud) == 1


@pytest.mark.parametrize("options", [{}, {"wait_for_completion": True}])
@pytest.mark.parametrize("status", [None, 404, "DOING", "DONE", "odd"])
def test_later_try_accepts_any_status_but_a_failure(status: Any, options: Any, cloud: CloudEmulator) -> None:
    task = Task(**options)
    cloud.add_backup_set("ob-1", "bak-old", statuses=(status, "DONE"))
    task.state["backup_task_id"] = "bak-old"
    assert task.run() == "bak-old"
    assert starts(cloud) == 0


@pytest.mark.parametrize(
    ("statuses", "fields"), [(("FAILED",), {}), (("CANCELED",), {}), (("DONE",), {"validity": "INVALID"})]
)
@pytest.mark.parametrize("mode", MODES)
def test_later_try_replaces_a_failed_backup(
    statuses: Any, fields: Any, mode: str, cloud: CloudEmulator
) -> None:
    task = waiting(mode, require_valid=True)
    cloud.add_backup_set("ob-1", "bak-old", statuses=statuses, **fields)
    task.state["backup_task_id"] = "bak-old"
    backup_task_id = plan(cloud, "DONE")
    assert task.run() == backup_task_id
    assert task.state == {"backup_task_id": backup_task_id}
    assert starts(cloud) == 1


def test_later_try_that_cannot_read_the_backup_starts_nothing(cloud: CloudEmulator) -> None:
    task = Task()
    task.state["backup_task_id"] = "bak-old"
    cloud.add_backup_set("ob-1", "bak-old", statuses=(503,))
    with pytest.raises(OceanBaseCloudError):
        task.run()
    assert task.state == {"backup_task_id": "bak-old"}
    assert starts(cloud) == 0


def test_state_is_saved_before_and_after_the_start(cloud: CloudEmulator) -> None:
    task = waiting("poke")
    backup_task_id = plan(cloud, "DONE")
    saved: dict[str, Any] = {}
    cloud._on_request = lambda seen: saved.setdefault(seen.method, dict(task.state))
    task.run()
    assert list(saved["POST"]["backup_task_id"]) == ["starting_since"]
    assert saved["GET"] == {"backup_task_id": backup_task_id}


def test_try_after_a_timeout_starts_nothing(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()

    def time_out(*_: Any, **__: Any) -> str:
        raise AirflowTaskTimeout

    with monkeypatch.context() as patched:
        patched.setattr(OceanBaseHook, "start_backup", time_out)
        with pytest.raises(AirflowTaskTimeout):
            task.run()
    with pytest.raises(
        BackupStartUnknownError, match="an earlier try was killed while it started one, at 20"
    ):
        task.run()
    assert starts(cloud) == 0
    # The error was raised once; the next run is deliberate.
    assert task.run() == "bak-started-1"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ({"status": 400}, OceanBaseRefusedError),
        ({"status": 502, "after_acting": True}, BackupStartUnknownError),
    ],
)
def test_reported_failure_is_not_saved(
    failure: dict[str, Any], error: type[Exception], cloud: CloudEmulator
) -> None:
    task = Task()
    cloud.fail(**failure)
    with pytest.raises(error):
        task.run()
    assert task.state == {}


@pytest.mark.parametrize("options", [{"oceanbase_conn_id": "no_such_connection"}, {"tenant_id": "None"}])
def test_start_that_was_never_sent_is_not_saved(options: dict[str, Any], cloud: CloudEmulator) -> None:
    task = Task(**options)
    with pytest.raises(Exception, match=r"no_such_connection|tenant_id is 'None'"):
        task.run()
    assert task.state == {}
    assert cloud.requests == []


def test_without_durable_nothing_is_saved(cloud: CloudEmulator) -> None:
    task = Task(durable=False)
    assert [task.run(), task.run()] == ["bak-started-1", "bak-started-2"]
    assert task.state == {}
