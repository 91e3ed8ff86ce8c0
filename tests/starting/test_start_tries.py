"""StartBackupOperator: tries of a task after an earlier one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import airflow
import pytest
from lists import COLLECTIONS, Lazy
from packaging.version import Version
from starts import MODES, Task, plan, starts, waiting

from airflow_provider_oceanbase.cloud.start_backup import start_backup_request
from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException, AirflowTaskTimeout
from airflow_provider_oceanbase.exceptions import (
    BackupStartUnknownError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.starting.kept import purpose_of
from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = [
    pytest.mark.skipif(
        Version(airflow.__version__) < Version("3.3"), reason="Airflow keeps task state from 3.3 on"
    ),
    pytest.mark.usefixtures("no_pauses"),
]


LONG_AGO = "2026-01-19T10:30:53+00:00"


def keep(task: Task, **fields: Any) -> None:
    """Let a task find what an earlier try of it has left."""
    request = start_backup_request(
        "ob-1", backup_object_type="tenant", tenant_id=task.options.get("tenant_id")
    )
    purpose = purpose_of(request, OceanBaseHook().endpoint)
    known = {"starting_since": LONG_AGO, "purpose": purpose, "run": 0}
    task.state["backup_task_id"] = known | fields


@pytest.mark.parametrize("mode", MODES)
def test_later_try_resumes_the_backup(mode: str, cloud: CloudEmulator) -> None:
    task = waiting(mode)
    backup_task_id = plan(cloud, "DOING", 400, "DOING", "DOING", "DONE")
    with pytest.raises(OceanBaseRefusedError):
        task.run()
    assert task.state["backup_task_id"]["backup_task_id"] == backup_task_id
    assert task.run() == backup_task_id
    assert task.xcoms["backup_set"]["status"] == "DONE"
    # And so does a task that runs again after it succeeded.
    task.clear()
    assert task.run() == backup_task_id
    assert starts(cloud) == 1


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("options", [{}, {"wait_for_completion": True}])
@pytest.mark.parametrize("status", ["DOING", "DONE", "odd"])
def test_later_try_accepts_any_status_but_a_failure(
    status: Any, options: Any, cleared: bool, cloud: CloudEmulator
) -> None:
    task = Task(**options)
    cloud.add_backup_set("ob-1", "bak-old", statuses=(status, "DONE"))
    keep(task, backup_task_id="bak-old")
    if cleared:
        task.clear()
    assert task.run() == "bak-old"
    assert starts(cloud) == 0


@pytest.mark.parametrize("options", [{}, {"wait_for_completion": True}])
@pytest.mark.parametrize("status", [None, 404])
def test_later_try_continues_with_a_backup_that_may_not_be_registered_yet(
    status: Any, options: Any, cloud: CloudEmulator
) -> None:
    task = Task(**options)
    cloud.add_backup_set("ob-1", "bak-old", statuses=(status, "DONE"))
    keep(task, backup_task_id="bak-old", starting_since=datetime.now(UTC).isoformat())
    task.clear()
    assert task.run() == "bak-old"
    assert starts(cloud) == 0


def test_deleted_backup_is_replaced_if_somebody_asks_for_it(cloud: CloudEmulator) -> None:
    task = Task()
    keep(task, backup_task_id="bak-old")
    with pytest.raises(
        BackupStartUnknownError, match=r"backup task 'bak-old', started at 2026.*is not found"
    ):
        task.run()
    # As a retry of a killed try would.
    with pytest.raises(BackupStartUnknownError):
        task.run()
    assert starts(cloud) == 0
    task.clear()
    assert task.run() == "bak-started-1"


def test_deleted_backup_is_replaced_at_once_after_a_clear(
    cloud: CloudEmulator, logged: Callable[[], str]
) -> None:
    task = Task()
    keep(task, backup_task_id="bak-old")
    task.clear()
    assert task.run() == "bak-started-1"
    assert "A backup is started, since backup task 'bak-old', started at 2026" in logged()


@pytest.mark.parametrize(
    "failure", [{"status": 404, "body": b"<html>"}, {"status": 200, "body": b'{"success": true}'}]
)
def test_backup_that_nobody_knows_of_is_not_replaced_before_somebody_looked(
    failure: Any, cloud: CloudEmulator
) -> None:
    task = Task()
    keep(task, backup_task_id="bak-old")
    cloud.fail(**failure, times=3)
    task.clear()
    for _ in range(2):
        with pytest.raises(BackupStartUnknownError, match="still has no data"):
            task.run()
    assert starts(cloud) == 0
    task.clear()
    assert task.run() == "bak-started-1"


def test_clear_continues_with_a_backup_that_appears_after_all(cloud: CloudEmulator) -> None:
    task = Task()
    keep(task, backup_task_id="bak-old")
    cloud.add_backup_set("ob-1", "bak-old", statuses=(None, "DOING", 404))
    with pytest.raises(BackupStartUnknownError):
        task.run()
    task.clear()
    assert task.run() == "bak-old"
    # What was told before is over.
    with pytest.raises(BackupStartUnknownError):
        task.run()
    assert starts(cloud) == 0


@pytest.mark.parametrize(
    ("statuses", "fields"), [(("FAILED",), {}), (("CANCELED",), {}), (("DONE",), {"validity": "INVALID"})]
)
@pytest.mark.parametrize("earlier_release", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_later_try_replaces_a_failed_backup(
    statuses: Any, fields: Any, earlier_release: bool, mode: str, cloud: CloudEmulator
) -> None:
    task = waiting(mode, require_valid=True)
    cloud.add_backup_set("ob-1", "bak-old", statuses=statuses, **fields)
    keep(task, backup_task_id="bak-old")
    if earlier_release:
        task.state["backup_task_id"] = "bak-old"
    backup_task_id = plan(cloud, "DONE")
    assert task.run() == backup_task_id
    assert task.state["backup_task_id"]["backup_task_id"] == backup_task_id
    assert starts(cloud) == 1


@pytest.mark.parametrize("status", ["DOING", "DONE", None, 404])
def test_bare_id_of_an_earlier_release_may_be_of_another_backup(status: Any, cloud: CloudEmulator) -> None:
    task = Task()
    cloud.add_backup_set("ob-1", "bak-old", statuses=(status,))
    task.state["backup_task_id"] = "bak-old"
    for _ in range(2):
        with pytest.raises(BackupStartUnknownError, match="'bak-old' was started by an earlier release"):
            task.run()
    assert starts(cloud) == 0
    task.clear()
    assert task.run() == "bak-started-1"


def test_later_try_that_cannot_read_the_backup_starts_nothing(cloud: CloudEmulator) -> None:
    task = Task()
    keep(task, backup_task_id="bak-old")
    before = dict(task.state)
    cloud.add_backup_set("ob-1", "bak-old", statuses=(503,))
    with pytest.raises(OceanBaseUnavailableError):
        task.run()
    assert task.state == before
    assert starts(cloud) == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("changed", [{"tenant_id": "t-right"}, {"instance_id": "ob-2"}])
@pytest.mark.parametrize("cleared", [True, False])
def test_changed_arguments_start_their_own_backup(
    cleared: bool, changed: Any, mode: str, cloud: CloudEmulator, logged: Callable[[], str]
) -> None:
    task = waiting(mode, tenant_id="t-wrong")
    plan(cloud, "DONE")
    assert task.run() == "bak-started-1"
    # Without a clear: the list that a task is mapped over has changed before its retry.
    task.clear(**changed) if cleared else task.options.update(changed)
    assert task.run() == "bak-started-2"
    assert starts(cloud) == 2
    says = "A backup is started, since backup task 'bak-started-1', started at 20"
    assert says in logged()
    # It is its own from then on.
    assert task.run() == "bak-started-2"
    assert starts(cloud) == 2


def test_project_of_the_connection_counts(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    task.run()
    extra = {"extra": json.dumps({"project_id": "p-2"})}
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", json.dumps(cloud.connection | extra))
    assert task.run() == "bak-started-2"


def test_key_of_the_connection_does_not(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    task.run()
    cloud.rotate_key("new-key", "new-secret")
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
    assert task.run() == "bak-started-1"


def test_collections_are_lists_by_the_time_they_count(cloud: CloudEmulator) -> None:
    databases = [{"databaseName": "shop", "tables": ["billing", "orders"]}]
    task = waiting("poke", backup_object_type="table", database_tables=databases)
    backup_task_id = plan(cloud, "DONE")
    assert task.run() == backup_task_id
    for tables in COLLECTIONS.values():
        task.clear(database_tables=Lazy({"databaseName": "shop", "tables": tables}))
        assert task.run() == backup_task_id
    assert starts(cloud) == 1


def test_store_of_connections_that_is_away_when_a_later_try_begins(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = waiting("poke")
    backup_task_id = plan(cloud, "DONE")
    assert task.run() == backup_task_id
    missing = [AirflowNotFoundException(), AirflowNotFoundException()]
    get_connection = OceanBaseHook.get_connection

    def get(conn_id: str) -> Any:
        if missing:
            raise missing.pop()
        return get_connection(conn_id)

    monkeypatch.setattr(OceanBaseHook, "get_connection", staticmethod(get))
    assert task.run() == backup_task_id
    assert not missing
    assert starts(cloud) == 1


def test_start_that_is_refused_takes_nothing_away(cloud: CloudEmulator) -> None:
    task = Task(tenant_id="t-a")
    task.run()
    task.clear(tenant_id="t-b")
    cloud.fail(status=400)
    with pytest.raises(OceanBaseRefusedError):
        task.run()
    task.clear(tenant_id="t-a")
    assert task.run() == "bak-started-1"
    assert starts(cloud) == 2


def test_state_is_saved_before_and_after_the_start(cloud: CloudEmulator) -> None:
    task = waiting("poke")
    backup_task_id = plan(cloud, "DONE")
    saved: dict[str, Any] = {}
    cloud._on_request = lambda seen: saved.setdefault(seen.method, dict(task.state)["backup_task_id"])
    task.run()
    assert saved["GET"] == saved["POST"] | {"backup_task_id": backup_task_id}
    assert set(saved["POST"]) == {"starting_since", "purpose", "run"}
    # Neither key nor arguments.
    assert len(saved["POST"]["purpose"]) == 64


def test_try_after_a_timeout_starts_nothing(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()

    def time_out(*_: Any, **__: Any) -> str:
        raise AirflowTaskTimeout

    with monkeypatch.context() as patched:
        patched.setattr(OceanBaseHook, "start_backup", time_out)
        with pytest.raises(AirflowTaskTimeout):
            task.run()
    # The second time, the try before was killed just when it had raised the error.
    for _ in range(2):
        with pytest.raises(
            BackupStartUnknownError, match="an earlier try was killed while it started one, at 20"
        ):
            task.run()
    assert starts(cloud) == 0
    # The error was raised; the next run is deliberate.
    task.clear()
    assert task.run() == "bak-started-1"


def test_start_of_something_else_that_was_cut_off_is_not_this_one(
    cloud: CloudEmulator, logged: Callable[[], str]
) -> None:
    task = Task(tenant_id="t-wrong")
    keep(task)
    task.clear(tenant_id="t-right")
    assert task.run() == "bak-started-1"
    assert "since a backup, started at 2026" in logged()


def test_refusal_is_not_saved(cloud: CloudEmulator) -> None:
    task = Task()
    cloud.fail(status=400)
    with pytest.raises(OceanBaseRefusedError):
        task.run()
    assert task.state == {}


@pytest.mark.parametrize("tries", [1, 2])
def test_unknown_outcome_is_saved_until_the_task_is_cleared(tries: int, cloud: CloudEmulator) -> None:
    task = Task()
    cloud.fail(status=502, after_acting=True)
    # A kill right after the error makes Airflow retry.
    for _ in range(tries):
        with pytest.raises(BackupStartUnknownError):
            task.run()
    assert starts(cloud) == 1
    task.clear()
    assert task.run() == "bak-started-2"


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
