"""What templates render to, before anything is sent: each templated argument of each class, in each mode."""

from __future__ import annotations

import json
import re
from copy import copy, deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from jinja2 import Undefined
from lists import COLLECTIONS, Lazy
from modes import context, rescheduled, sensor, stored
from moved import TaskDeferred
from starts import operator as start_operator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oceanbase.exceptions import OceanBaseInputError
from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator
from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, BackupSetSensor, RestorablePointSensor
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.arguments import check_templates, checked_statuses, given

#: The modes in which a worker renders the templates.
MODES = ("poke", "reschedule", "deferrable")
#: Whether a DAG renders templates to text only, or to any object.
TEXT, NATIVE = False, True
MIDNIGHT = "2026-01-20T00:00:00+00:00"
DATABASES = [{"databaseName": "shop", "tables": ["orders"]}]


def wait(**options: Any) -> Any:
    # No test may wait.
    return sensor(**{"timeout": 5} | options)


def wait_for_checkpoint(**options: Any) -> Any:
    return wait(**{"min_checkpoint": MIDNIGHT} | options)


def wait_for_point(**options: Any) -> Any:
    return wait(**{"restore_time": MIDNIGHT} | options)


def get(**options: Any) -> Any:
    return GetBackupSetOperator(**{"task_id": "get", "instance_id": "ob-1", "backup_task_id": "b"} | options)


def start(**options: Any) -> Any:
    kind = "table" if "database_tables" in options else "tenant"
    return start_operator(**{"backup_object_type": kind, "wait_for_completion": True, "timeout": 5} | options)


def modes(mode: str) -> dict[str, Any]:
    return {"poke": {}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}[mode]


#: What makes a task of each class, and the modes it has.
CLASSES: dict[type[Any], Any] = {
    BackupSetSensor: (wait, MODES),
    BackupCheckpointSensor: (wait_for_checkpoint, MODES),
    RestorablePointSensor: (wait_for_point, MODES),
    GetBackupSetOperator: (get, ("poke",)),
    StartBackupOperator: (start, ("poke", "deferrable")),
}
ARGUMENTS = [
    pytest.param(made_by, mode, name, id=f"{one.__name__}-{name}-{mode}")
    for one, (made_by, its_modes) in CLASSES.items()
    for name in one.template_fields
    for mode in its_modes
]
#: Templates that find nothing, or not only what they should, and how they are rendered.
NOTHING = {
    "text None": ("{{ none }}", TEXT),
    "undefined": ("{{ missing }}", TEXT),
    "blank": (" {{ missing }}\n", TEXT),
    "native None": ("{{ none }}", NATIVE),
    "native undefined": ("{{ missing }}", NATIVE),
    "native list": ("{{ [] }}", NATIVE),
    "native dict": ("{{ {} }}", NATIVE),
    "native bool": ("{{ true }}", NATIVE),
    "native float": ("{{ 1.5 }}", NATIVE),
    "blanks around": (" {{ value }}\n", TEXT),
    "native list of None": ("{{ [none] }}", NATIVE),
}


def rendered(task: Any, native: bool, **values: Any) -> Any:
    """Render the templates of a task as Airflow does before it runs it."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    options = {"render_template_as_native_obj": native, "template_undefined": Undefined}
    task.dag = DAG("d", schedule=None, start_date=start, **options)
    task.render_template_fields({"value": "ob-1", **values})
    return task


def execute(task: Any) -> Any:
    with rescheduled(None) as given_context:
        return task.execute(given_context)


@pytest.mark.parametrize("template", NOTHING)
@pytest.mark.parametrize(("made_by", "mode", "name"), ARGUMENTS)
def test_nothing_is_sent_for_nothing(
    made_by: Any, mode: str, name: str, template: str, cloud: CloudEmulator
) -> None:
    text, native = NOTHING[template]
    task = rendered(made_by(**{name: text, **modes(mode)}), native)
    with pytest.raises(OceanBaseInputError) as caught:
        execute(task)
    # It names the argument first, or an entry of it.
    assert re.match(rf"Unusable argument: (an entry of )?{name}(\[0\])? is ", str(caught.value))
    assert "Nothing was sent." in str(caught.value)
    assert cloud.requests == []


@pytest.mark.parametrize("how", ["silent_fail", "never_fail", "soft_fail"])
@pytest.mark.parametrize("mode", MODES)
def test_an_unusable_argument_is_never_ignored(how: str, mode: str, cloud: CloudEmulator) -> None:
    task = rendered(wait(instance_id="{{ none }}", **{how: True}, **modes(mode)), TEXT)
    with pytest.raises(OceanBaseInputError, match="instance_id is 'None'"):
        execute(task)
    assert cloud.requests == []


def deferred(task: Any) -> dict[str, Any]:
    """Run a task until it defers; return its condition, as the triggerer reads it from the database."""
    with pytest.raises(TaskDeferred) as caught:
        execute(task)
    trigger = stored(caught.value.trigger)
    assert isinstance(trigger.oceanbase_conn_id, str)
    return trigger.condition_fields


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tenants", COLLECTIONS.values(), ids=COLLECTIONS)
def test_tenants_in_any_collection(tenants: Any, mode: str, cloud: CloudEmulator) -> None:
    done = {"end_time": datetime(2026, 1, 20, 13, tzinfo=UTC), "tenants": ("orders", "billing", "other")}
    cloud.add_backup_set(
        "ob-1", "b", statuses=("DONE",), checkpoint=datetime(2026, 1, 20, 12, tzinfo=UTC), **done
    )
    options = {"tenants": "{{ tenants }}", **modes(mode)}
    task = rendered(wait_for_checkpoint(**options), NATIVE, tenants=tenants)
    assert execute(task)["backupSetId"] == "b"
    if mode == "deferrable":
        options["min_checkpoint"] = "2026-01-22T00:00:00Z"
        task = rendered(wait_for_checkpoint(**options), NATIVE, tenants=tenants)
        assert deferred(task)["tenants"] == ["billing", "orders"]


def test_tenants_of_a_filter_are_read_once(cloud: CloudEmulator) -> None:
    template = "{{ tenants | map('upper') }}"
    task = rendered(wait_for_checkpoint(tenants=template, deferrable=True), NATIVE, tenants=["a", "b"])
    assert deferred(task)["tenants"] == ["A", "B"]


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
@pytest.mark.parametrize("databases", [Lazy(*DATABASES), {1: DATABASES[0]}.values(), tuple(DATABASES)])
def test_databases_in_any_collection(databases: Any, mode: str, cloud: CloudEmulator) -> None:
    cloud.next_backup("ob-1", backup_task_id="bak-new", statuses=("DOING", "DONE"))
    options = {"poke_interval": 0.01, "database_tables": "{{ databases }}", **modes(mode)}
    task = rendered(start(**options), NATIVE, databases=databases)
    if mode == "deferrable":
        assert deferred(task)["backup_task_id"] == "bak-new"
    else:
        assert execute(task) == "bak-new"
    (sent,) = [seen.body for seen in cloud.requests if seen.method == "POST" and seen.authorized]
    assert sent["databaseTables"] == DATABASES


@pytest.mark.parametrize("tables", COLLECTIONS.values(), ids=COLLECTIONS)
def test_tables_in_any_collection(tables: Any, cloud: CloudEmulator) -> None:
    cloud.next_backup("ob-1", backup_task_id="bak-new")
    task = start(database_tables=[{"databaseName": "shop", "tables": tables}], wait_for_completion=False)
    assert execute(task) == "bak-new"
    (sent,) = [seen.body for seen in cloud.requests if seen.method == "POST" and seen.authorized]
    assert sent["databaseTables"] == [{"databaseName": "shop", "tables": ["billing", "orders"]}]


_NO_IDS = (
    "min_checkpoint",
    "restore_time",
    "database_tables",
    "tenants",
    "query_parameters",
    "backup_object_type",
)


@pytest.mark.parametrize(("made_by", "mode", "name"), ARGUMENTS)
def test_an_id_of_digits(
    made_by: Any, mode: str, name: str, cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Native rendering makes a number of it."""
    if name in _NO_IDS:
        pytest.skip("no ID")
    monkeypatch.setenv("AIRFLOW_CONN_1002", cloud.connection_uri)
    ids = {"instance_id": "1002", "backup_task_id": "1002"}
    for instance in ("ob-1", "1002"):
        for backup in ("bak-1", "b", "1002"):
            cloud.add_backup_set(instance, backup, statuses=("DOING",))
        cloud.next_backup(instance, statuses=("DOING",))
    task = rendered(made_by(**{name: "{{ 1002 }}", **modes(mode)}), NATIVE)
    assert getattr(task, name) == 1002
    monkeypatch.setattr("time.sleep", stop)
    if mode == "deferrable":
        condition = deferred(task)
        assert condition.get(name, "1002") == "1002"
    elif made_by is get:
        execute(task)
    else:
        with pytest.raises((StoppedError, AirflowRescheduleException)):
            execute(task)
    assert getattr(task, name) == "1002"
    first = cloud.requests[0]
    assert first.path.startswith(f"/api/v2/instances/{'1002' if name in ids and name[0] == 'i' else 'ob-1'}/")


class StoppedError(Exception):
    """In place of a pause."""


def stop(seconds: float) -> None:
    raise StoppedError


def test_left_out() -> None:
    task = wait_for_checkpoint()
    assert given(task, a=None, b=(), c=[], d=set(), e={}.keys()) == frozenset()
    assert given(task, a="", b="None", c="{{ x }}", d=["t1"], e=object()) == frozenset("abcde")


@pytest.mark.parametrize("made_by", [wait_for_checkpoint, wait_for_point, start])
def test_what_a_mapped_task_is_made_with_is_not_left_out(made_by: Any) -> None:
    names = {wait_for_checkpoint: "backup_mode", wait_for_point: "query_parameters", start: "tenant_id"}
    optional = names[made_by]
    # As Airflow makes it, for each entry of a list.
    task = made_by(**{optional: None, "_airflow_from_mapped": True})
    for mapped in (task, copy(task), deepcopy(task)):
        with pytest.raises(OceanBaseInputError, match=f": {optional} is None(, which is no |; it must be )"):
            check_templates(mapped, mapped._given)
    other = made_by(_airflow_from_mapped=True)
    check_templates(other, other._given)


@pytest.mark.parametrize("tenants", [None, (), [], set()])
def test_optional_arguments_may_be_left_out(tenants: Any, cloud: CloudEmulator) -> None:
    task = wait_for_checkpoint(tenants=tenants, backup_mode=None, deferrable=True)
    condition = deferred(rendered(task, NATIVE))
    assert (condition["tenants"], condition["backup_mode"]) == ([], None)
    task = wait_for_point(tenants=tenants, query_parameters={}, deferrable=True)
    condition = deferred(rendered(task, NATIVE))
    assert (condition["tenants"], condition["query_parameters"]) == ([], None)


def test_what_was_found_stays_found(cloud: CloudEmulator) -> None:
    """The XCom that an argument came from may be gone when a deferred task resumes."""
    task = rendered(wait(instance_id="{{ none }}", deferrable=True), TEXT)
    event = {"began": 0.0, "condition": {}, "summary": {"backupSetId": "b", "status": "DONE"}}
    assert task.execute_complete(context(), event)["backupSetId"] == "b"


def test_statuses_of_an_iterator() -> None:
    assert checked_statuses("failure_statuses", iter(["FAILED", "GONE"])) == ("FAILED", "GONE")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="failure_statuses must be a list or tuple of statuses"):
        checked_statuses("failure_statuses", None)  # type: ignore[arg-type]


def test_conditions_are_stored_as_they_are(cloud: CloudEmulator) -> None:
    task = wait_for_checkpoint(tenants=Lazy("b", 1002), min_checkpoint=MIDNIGHT, deferrable=True)
    condition = deferred(task)
    assert condition == json.loads(json.dumps(condition))
    assert condition["tenants"] == ["b", "1002"]
