"""Where a wait with ``start_from_trigger`` begins, and what Airflow's triggerer makes of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from jinja2 import Undefined
from modes import STARTS, XComs, context, fire, sensor, started, stored, trigger
from moved import TaskDeferred

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.compat import sdk
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.sensors import BackupSetSensor
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import repeating
from airflow_provider_oceanbase.transport.lanes import Lanes, NoFreeLaneError
from airflow_provider_oceanbase.waiting import kept, start
from airflow_provider_oceanbase.waiting.beginning import FIRST_POLL_SECONDS, Start
from airflow_provider_oceanbase.waiting.templates import is_renderable

starts = pytest.mark.skipif(not STARTS, reason="Airflow begins tasks in the triggerer from 3.3 on")
BEGIN: dict[str, Any] = {"schedule": None, "start_date": datetime(2026, 1, 1, tzinfo=UTC)}

RENDERED = [
    "plain",
    "{{ params.name }}",
    "{{ params['name'] }}-{{ run_id }}",
    "{{ (data_interval_end | ds) ~ ts_nodash }}",
    "{{ macros.ds_add(ds, -1) }}",
    "{{ data_interval_start + macros.timedelta(hours=2) }}",
    "{{ var.value.get('x', 'y') }}{{ var.json.x.y }}",
    "{{ conn.some.host | upper }}{{ conn.some.extra_dejson.get('id') }}",
    "{{ (data_interval_end.in_timezone('Asia/Shanghai') - macros.timedelta(days=1)).strftime('%Y') }}",
    "{{ dag_run.conf.get('id') or dag_run.run_id }}",
    "{% if logical_date is defined %}{{ ti.task_id }}{% endif %}",
    "{{ task.task_id }}-{{ dag.dag_id }}-{{ task_instance.map_index }}",
    ["a", {"b": ("{{ ds }}", {"{{ ts }}"})}, None, 1, datetime(2026, 1, 1, tzinfo=UTC)],
]
NOT_RENDERED = [
    # Requests that the triggerer does not answer.
    "{{ ti.xcom_pull(task_ids='x') }}",
    "{{ task_instance.xcom_pull('x') }}",
    "{{ ti['xcom_pull']('x') }}",
    "{{ ti | attr('xcom_pull') }}",
    "{{ ti.get_previous_dagrun() }}",
    "{{ prev_start_date_success }}",
    "{{ prev_data_interval_end_success | ds }}",
    # Other than in a worker, or nothing at all.
    "{{ ti.start_date }}",
    "{{ ti }}",
    "{{ dag.owner }}",
    "{{ triggering_asset_events }}",
    "{{ task_state_store }}",
    "{{ mine(1) }}",
    "{{ macros.my_plugin.pulls() }}",
    "{{ dag_run.run_type }}",
    {"frozen": frozenset({"{{ ds }}"})},
    # What may wait for a network.
    "{{ conn.some.get_hook().get_records('x') }}",
    "{{ conn.some['get_hook']() }}",
    "{{ (conn.some | attr('test_connection'))() }}",
    # Another value after a restart of the triggerer.
    "{{ data_interval_end['now']() }}",
    "{{ data_interval_end.age }}{{ data_interval_end.is_past() }}",
    "{{ macros.datetime.now() }}",
    "{{ data_interval_end.now() }}",
    "{{ [1, 2] | random }}",
    # Filters, and tests, by a name that the DAG may define, and methods.
    "{{ params.ids | map('upper') | first }}",
    "{{ params.ids | map(params.name) | first }}",
    "{{ params.ids | select('mine') | first }}",
    "{{ params.ids | selectattr('x', 'mine') | first }}",
    # What only the DAG's own environment has.
    "{{ ds | mine }}",
    "{{ ds | ts }}",
    "{% if ds is mine %}{% endif %}",
    "{% include 'file' %}",
    "{% import 'file' as f %}",
    "{% set f = ti.xcom_pull %}{{ f('x') }}",
    "{% macro f() %}{{ ti.xcom_pull('x') }}{% endmacro %}{{ f() }}",
    "{{ broken",
    "file.sql",
    # Anywhere.
    ["a", {"b": ("{{ ti.xcom_pull('x') }}",)}],
    {"{{ ti.xcom_pull('x') }}": 1},
    # May be resolved as the output of a task is.
    object(),
]


def shown(value: Any) -> str:
    # The same in each process.
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("value", RENDERED, ids=shown)
def test_rendered_in_the_triggerer(value: Any) -> None:
    assert is_renderable(value, extensions=(".sql",), filters=())


@pytest.mark.parametrize("value", NOT_RENDERED, ids=shown)
def test_rendered_in_a_worker(value: Any) -> None:
    assert not is_renderable(value, extensions=(".sql",), filters=("ts",))


def in_dag(made_by: Callable[[], Any] = lambda: wait(), **options: Any) -> Any:
    with DAG("d", **BEGIN | options):
        return made_by()


def wait(**options: Any) -> Any:
    return sensor(**{"deferrable": True, "start_from_trigger": True} | options)


def output() -> Any:
    return wait(backup_task_id=sensor(task_id="tell").output)


class Own(BackupSetSensor):
    """A sensor of a user's."""

    template_ext = (".sql",)

    def poke(self, context: Any) -> Any:
        return super().poke(context)


def own(**options: Any) -> Any:
    return Own(
        task_id="wait",
        instance_id="i",
        backup_task_id="b",
        deferrable=True,
        start_from_trigger=True,
        **options,
    )


def own_rendering() -> Any:
    def render(self: Any, context: Any, jinja_env: Any = None) -> None:
        self.backup_task_id = "mine"

    made = type("Rendering", (BackupSetSensor,), {"render_template_fields": render})
    options = {"task_id": "wait", "instance_id": "i", "backup_task_id": "b"}
    return made(deferrable=True, start_from_trigger=True, **options)


def changed() -> Any:
    """Return a task that a policy has changed."""
    task = wait()
    task.execute = called
    return task


def called(context: Any) -> None:
    raise AssertionError


TEMPLATED: dict[str, Any] = {"made_by": lambda: wait(backup_task_id="{{ ds }}")}
HINDERED: dict[str, tuple[dict[str, Any], str]] = {
    "XCom": ({"made_by": output}, "only a worker can render backup_task_id"),
    "template": (
        {"made_by": lambda: wait(instance_id="{{ ti.xcom_pull('x') }}")},
        "only a worker can render instance_id",
    ),
    "native": (TEMPLATED | {"render_template_as_native_obj": True}, "sets render_template_as_native_obj"),
    # A worker would make a list of it.
    "native text": (
        {"made_by": lambda: wait(backup_task_id="['bak-1']"), "render_template_as_native_obj": True},
        "sets render_template_as_native_obj",
    ),
    "other braces": (
        {
            "made_by": lambda: wait(backup_task_id="<< params.x >>"),
            "jinja_environment_kwargs": {"variable_start_string": "<<", "variable_end_string": ">>"},
        },
        "the DAG sets jinja_environment_kwargs",
    ),
    "undefined": (TEMPLATED | {"template_undefined": Undefined}, "the DAG sets template_undefined"),
    "jinja": (
        TEMPLATED | {"jinja_environment_kwargs": {"trim_blocks": True}},
        "the DAG sets jinja_environment_kwargs",
    ),
    "param": ({"params": {"name": Param(type="string")}}, "a param has no default"),
    "big DAG": (
        {"made_by": lambda: [wait(task_id=f"t{number}") for number in range(201)].pop()},
        "the DAG has more than 200 tasks",
    ),
    "odd param": (TEMPLATED | {"params": {"x": ["a", {"b": 1}]}}, "a param holds lists, tuples or dicts"),
    "own poke": ({"made_by": own}, "the task has its own poke"),
    "own rendering": ({"made_by": lambda: own_rendering()}, "the task has its own render_template_fields"),
    "changed task": ({"made_by": lambda: changed()}, "the task has its own execute"),
    "hook": ({"made_by": lambda: wait(pre_execute=called)}, "the task has its own pre_execute"),
}


@starts
@pytest.mark.parametrize("name", HINDERED)
def test_begins_in_a_worker(name: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    options, reason = HINDERED[name]
    task = in_dag(**options)
    assert task.start_from_trigger is False
    assert task.start_trigger_args is None
    assert reason in start.hindrance(task, mapped=False)


@starts
def test_begins_in_the_triggerer() -> None:
    # What changes no template that the task has changes nothing.
    task = in_dag(template_undefined=Undefined, params={"name": Param("x", type="string"), "no": None})
    assert task.start_from_trigger is True
    assert task.start_trigger_args == task.start_trigger_args
    task.start_from_trigger = False
    assert task.start_trigger_args is None


@starts
@pytest.mark.parametrize("options", [{"start_from_trigger": False}, {"deferrable": False}])
def test_only_if_wanted(options: Any, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    task = wait(**options)
    assert task.start_from_trigger is False
    task.execute(context())
    assert "start_from_trigger" not in logged()


@starts
def test_triggers_with_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    assert wait().start_from_trigger is False


def test_default_of_a_dag() -> None:
    with DAG("d", default_args={"start_from_trigger": True, "deferrable": True}, **BEGIN):
        task = BackupSetSensor(task_id="wait", instance_id="i", backup_task_id="b")
    assert task.start_from_trigger is STARTS


def test_says_why_once(
    cloud: CloudEmulator, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "starts_in_triggerer", lambda: False)
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    task = wait()
    task.render_template_fields({})
    with pytest.raises(TaskDeferred):
        task.execute(context())
    wait().resume_execution(
        "execute_complete",
        {"event": {"began": 0.0, "summary": {"backupSetId": "b", "status": "DONE"}}},
        context(),
    )
    text = "start_from_trigger=True, but the wait begins in a worker: Airflow is older than 3.3."
    seen = logged()
    assert seen.count("start_from_trigger") == seen.count(text) == 1


@starts
def test_says_what_the_template_was(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    task = in_dag(lambda: wait(backup_task_id="{{ mine }}"))
    task.render_template_fields({"mine": "bak-1"})
    task.execute(context())
    assert "the wait begins in a worker: only a worker can render backup_task_id." in logged()


@pytest.mark.parametrize("how", ["partial", "default_args"])
@pytest.mark.parametrize("wanted", [True, False])
def test_mapped_tasks(how: str, wanted: bool, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("i", "a", statuses=("DONE",))
    option = {"start_from_trigger": wanted}
    options = {"task_id": "wait", "instance_id": "i", "deferrable": True}
    with DAG("d", default_args=option if how == "default_args" else {}, **BEGIN) as dag:
        partial = BackupSetSensor.partial(**options, **(option if how == "partial" else {}))
        mapped = partial.expand(backup_task_id=["a", "b"])
    # Else the triggerer would prepare what a worker has deferred as if it began there.
    assert not serialized(dag).start_from_trigger
    assert serialized(dag).start_trigger_args is None
    one = mapped.unmap({"backup_task_id": "a"})
    assert one.start_from_trigger is False
    one.execute(context())
    reason = "the task is mapped" if STARTS else "Airflow is older than 3.3"
    assert logged().count(f"the wait begins in a worker: {reason}.") == wanted


@starts
@pytest.mark.parametrize(
    ("timeout", "limit", "expected"),
    [
        (600, None, (600.0, 150.0, 810.0)),
        (600, 811, (600.0, 150.0, 810.0)),
        (600, 700, (600.0, 35.0, 700.0)),
        (600, 600, (555.0, 35.0, 600.0)),
        (600, 300, (255.0, 35.0, 300.0)),
        (600, 60, (30.0, 22.5, 60.0)),
    ],
)
def test_last_poll_comes_before_airflows_own_timeout(
    timeout: float, limit: float | None, expected: tuple[float, float, float]
) -> None:
    given = wait(
        timeout=timeout, execution_timeout=None if limit is None else timedelta(seconds=limit)
    ).start_trigger_args
    schedule, begins = given.trigger_kwargs["schedule"], given.trigger_kwargs["start"]
    assert (schedule["timeout"], schedule["grace"], begins["timeout"]) == expected
    assert given.timeout.total_seconds() == expected[2]


def serialized(dag: Any) -> Any:
    """Return a DAG's task as the scheduler has it."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialization
    return Serialization.from_dict(json.loads(json.dumps(Serialization.to_dict(dag)))).get_task("wait")


def inflated(dag: Any, conf: Any = None) -> Any:
    """Return the trigger of a DAG's task as the triggerer makes it, its templates rendered."""
    from airflow.executors.workloads import RunTrigger
    from airflow.executors.workloads.task import TaskInstanceDTO
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger
    from airflow.serialization.serialized_objects import DagSerialization

    encoded = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    given = serialized(dag).start_trigger_args
    row = Trigger(classpath=given.trigger_cls, kwargs=given.trigger_kwargs)
    now = datetime(2026, 1, 20, tzinfo=UTC)
    identity = {"dag_id": "d", "run_id": "r"}
    ids = {"id": uuid.uuid4(), "dag_version_id": uuid.uuid4()}
    ti = TaskInstanceDTO(
        task_id="wait",
        try_number=1,
        map_index=-1,
        pool_slots=1,
        queue="default",
        priority_weight=1,
        **identity,
        **ids,
    )
    times = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date")
    run = dict.fromkeys(times, now) | {
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": conf,
        "consumed_asset_events": [],
        "partition_key": None,
    }
    workload = RunTrigger(
        id=1,
        classpath=row.classpath,
        encrypted_kwargs=row.encrypted_kwargs,
        ti=ti,
        timeout_after=datetime.now(UTC) + given.timeout,
        dag_data=encoded,
        dag_run_data=run | identity,
    )
    made: list[Any] = []

    async def create() -> None:
        runner = TriggerRunner()

        async def run_trigger(_id: int, one: Any, _timeout: Any, given_context: Any) -> None:
            one.render_template_fields(context=given_context)
            one.given_context, one.xcoms = given_context, XComs()
            made.append(one)

        runner.run_trigger = run_trigger  # type: ignore[method-assign,assignment]
        runner.to_create.append(workload)
        await runner.create_triggers()
        await asyncio.gather(*(one["task"] for one in runner.triggers.values()))

    asyncio.run(create())
    return made[0]


@starts
def test_what_the_triggerer_makes(cloud: CloudEmulator) -> None:
    template = "bak-{{ params.number }}-{{ macros.ds_add(data_interval_end | ds, 1) }}-{{ dag_run.conf.x }}"
    cloud.add_backup_set("ob-d", "bak-7-2026-01-21-x", statuses=("DOING", "DONE"))
    with DAG("d", params={"number": Param(1, type="integer")}, **BEGIN) as dag:
        wait(instance_id="ob-{{ dag.dag_id }}", backup_task_id=template, registration_timeout=60)
    made = inflated(dag, {"number": 7, "x": "x"})
    event = asyncio.run(fire(made))
    assert event["summary"]["backupSetId"] == "bak-7-2026-01-21-x"
    assert abs(event["began"] - time.time()) < 10
    assert event["condition"]["registered_by"] == event["began"] + 60


@starts
def test_what_the_triggerer_makes_of_a_checkpoint_wait(cloud: CloudEmulator) -> None:
    cloud.add_backup_set(
        "ob-1",
        "b",
        statuses=("DONE",),
        start_time=datetime(2026, 1, 20, 11, tzinfo=UTC),
        checkpoint=datetime(2026, 1, 20, 12, tzinfo=UTC),
        end_time=datetime(2026, 1, 20, 13, tzinfo=UTC),
        tenants=("orders", "x"),
    )
    with DAG("d", params={"tenant": "orders"}, **BEGIN) as dag:
        wait(min_checkpoint=datetime(2026, 1, 20, tzinfo=UTC), tenants={"{{ params.tenant }}", "x"})
    assert asyncio.run(fire(inflated(dag)))["summary"]["backupSetId"] == "b"


@starts
@pytest.mark.parametrize("options", [{"tenants": ["{{ none }}"]}, {"backup_mode": " {{ '' }}"}])
def test_nothing_is_sent_for_nothing(options: Any, cloud: CloudEmulator) -> None:
    options = {"min_checkpoint": "2026-01-20T00:00:00Z", **options}
    event = asyncio.run(fire(started(wait(**options))))
    assert "is " in event["error"]["what"]
    assert next(iter(options.keys() - {"min_checkpoint"})) in event["error"]["what"]
    assert event["error"]["class"] == "OceanBaseInputError"
    assert cloud.requests == []


@starts
def test_undefined_is_an_error(cloud: CloudEmulator) -> None:
    event = asyncio.run(fire(started(wait(backup_task_id="bak-{{ params.missing }}"), params={})))
    assert event["error"]["what"] == "Template not rendered in the triggerer (backup_task_id: UndefinedError)"
    assert cloud.requests == []


def test_what_a_worker_has_rendered_is_no_template(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    with pytest.raises(TaskDeferred) as caught:
        in_dag(lambda: sensor(deferrable=True, registration_timeout=60)).execute(context())
    made = stored(caught.value.trigger)
    made.instance_id = "{{ conn.other.password }}"
    made.task_instance = SimpleNamespace(task=None, task_id="wait")
    made.template_fields = ("instance_id",)
    made.render_template_fields({})
    assert made.instance_id == "{{ conn.other.password }}"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "_retry_pause", lambda _: 0.0)


def statuses(cloud: CloudEmulator) -> list[int]:
    return [seen.status for seen in cloud.requests if seen.status != 401]


@starts
def test_first_poll_is_retried_like_that_of_a_task(
    cloud: CloudEmulator, quick: None, logged: Callable[[], str]
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=(503,))
    event = asyncio.run(fire(started(wait())))
    in_trigger = OceanBaseCloudError.from_dict(event["error"])
    assert statuses(cloud) == [503] * repeating.RETRY_ATTEMPTS
    assert "attempt 4 of 5, the next in" in logged()
    with pytest.raises(OceanBaseUnavailableError) as caught:
        sensor().execute(context())
    assert statuses(cloud) == [503] * repeating.RETRY_ATTEMPTS * 2
    in_trigger.request_id = caught.value.request_id
    assert str(in_trigger) == str(caught.value)


@starts
def test_first_poll_that_is_retried_with_success(cloud: CloudEmulator, quick: None) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=(503, 503, "DOING", "DONE"))
    assert asyncio.run(fire(started(wait())))["summary"]["status"] == "DONE"


@starts
def test_missing_connection_shows_at_once(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    event = asyncio.run(fire(started(wait(oceanbase_conn_id="none"))))
    with pytest.raises(OceanBaseCloudError) as caught:
        sensor(oceanbase_conn_id="none").execute(context())
    assert str(OceanBaseCloudError.from_dict(event["error"])) == str(caught.value)


@starts
def test_restarted_amid_an_outage(cloud: CloudEmulator) -> None:
    """A triggerer that takes over hours later keeps waiting, and keeps the beginning."""
    began = time.time() - FIRST_POLL_SECONDS - 1
    cloud.add_backup_set("ob-1", "bak-1", statuses=(503, 503, "DOING", "DONE"))
    event = asyncio.run(fire(started(wait(registration_timeout=60), began)))
    assert event["summary"]["status"] == "DONE"
    assert event["began"] == pytest.approx(began, abs=0.01)
    assert event["condition"]["registered_by"] == event["began"] + 60


@starts
def test_timeout_counts_from_the_beginning(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    event = asyncio.run(fire(started(wait(timeout=3600), time.time() - 3600)))
    assert event["timeout"].startswith("bak-1 still DOING after 1 h: timed out")
    assert statuses(cloud) == [200]


@starts
def test_unencrypted_connection_is_warned_of_once(
    cloud: CloudEmulator, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is on the loopback, which needs no encryption.
    monkeypatch.setattr(Endpoint, "warning", property(lambda _: "Unencrypted"))
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    # A worker has warned already.
    asyncio.run(fire(trigger()))
    assert "Unencrypted" not in logged()
    asyncio.run(fire(started(wait())))
    assert logged().count("Unencrypted") == 1


@pytest.mark.parametrize("zone", [UTC, None])
def test_beginning_of_a_wait(zone: Any) -> None:
    ends = datetime(2026, 1, 1, 1, tzinfo=zone)
    assert Start(timeout=3600).began(ends) == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert Start(timeout=3600).began(None) == pytest.approx(time.time(), abs=5)


def of_variable(xcoms: XComs, began: float | None = None, **values: Any) -> Any:
    """Return the trigger of a wait for the backup that a param names."""
    return started(wait(backup_task_id="{{ params.id }}"), began, xcoms=xcoms, **values)


async def until_polled(trigger: Any, cloud: CloudEmulator) -> None:
    """Run a trigger until it has polled; then its triggerer is killed."""
    running = asyncio.create_task(fire(trigger))
    while not any(seen.backup_status for seen in cloud.requests):
        assert not running.done(), running.result()
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


#: How another triggerer may find the wait.
TAKEOVERS: dict[str, Callable[[XComs, float], Any]] = {
    "as it was": lambda xcoms, began: of_variable(xcoms, began, params={"id": "bak-1"}),
    "another value": lambda xcoms, began: of_variable(xcoms, began, params={"id": "bak-2"}),
    "no value": lambda xcoms, began: of_variable(xcoms, began, params={}),
    "a DAG that has changed": lambda xcoms, began: of_variable(xcoms, began, rendered=False),
}


@starts
@pytest.mark.parametrize("how", TAKEOVERS)
def test_another_triggerer_waits_for_the_same(how: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DONE",))
    # Longer ago than the beginning may last.
    xcoms, began = XComs(), time.time() - 60
    first = of_variable(xcoms, began, params={"id": "bak-1"})
    asyncio.run(until_polled(first, cloud))
    second = TAKEOVERS[how](xcoms, began)
    cloud.set_status("ob-1", "bak-1", "DONE")
    event = asyncio.run(fire(second))
    assert event["summary"]["backupSetId"] == "bak-1"
    assert event["began"] == first.began
    assert {seen.path.rpartition("/")[2] for seen in cloud.requests if seen.status == 200} == {"bak-1"}


@starts
def test_a_cleared_task_begins_anew(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DONE",))
    xcoms = XComs()
    for began, name in ((time.time() - 50, "bak-1"), (time.time(), "bak-2")):
        event = asyncio.run(fire(of_variable(xcoms, began, params={"id": name})))
        assert event["summary"]["backupSetId"] == name
    assert xcoms.values == {
        "oceanbase_wait": {
            "began": event["began"],
            "arguments": {"backup_task_id": "bak-2"},
        }
    }


@starts
def test_no_template_is_sent(cloud: CloudEmulator) -> None:
    """The DAG was changed between the scheduler and the triggerer: nothing was rendered."""
    event = asyncio.run(fire(of_variable(XComs(), rendered=False)))
    assert event["error"]["what"] == "Templates not rendered in the triggerer: the DAG has changed"
    assert event["error"]["class"] == "OceanBaseUnavailableError"
    assert event["condition"] == {}
    assert cloud.requests == []


@starts
def test_what_airflow_does_not_keep_ends_the_wait(
    cloud: CloudEmulator, quick: None, logged: Callable[[], str]
) -> None:
    class Failing(XComs):
        async def asend(self, message: Any) -> Any:
            raise RuntimeError("secret")

    event = asyncio.run(fire(of_variable(Failing(), params={"id": "bak-1"})))
    error = OceanBaseCloudError.from_dict(event["error"])
    assert error.what == "Airflow does not read or write XComs in the triggerer (RuntimeError)"
    assert error.transient
    seen = logged()
    assert "secret" not in seen + str(error)
    assert seen.count("attempt") == repeating.RETRY_ATTEMPTS - 1
    assert cloud.requests == []


@starts
@pytest.mark.parametrize("tries", [1, 2])
def test_why_a_wait_cannot_begin_is_not_lost(tries: int, quick: None, cloud: CloudEmulator) -> None:
    class Failing(XComs):
        async def asend(self, message: Any) -> Any:
            raise RuntimeError("no database")

    event = asyncio.run(fire(of_variable(Failing(), tries=tries, params={"id": " "})))
    assert event["error"]["class"] == "OceanBaseInputError"
    assert event["error"]["what"] == "Unusable argument: backup_task_id is ' ', which is no ID"


@starts
def test_an_xcom_store_that_hangs_ends_the_wait(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(XComs):
        async def asend(self, message: Any) -> Any:
            await asyncio.Event().wait()

    monkeypatch.setattr(kept, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(repeating, "RETRY_SECONDS", 0.01)
    event = asyncio.run(fire(of_variable(Hanging(), params={"id": "bak-1"})))
    assert event["error"]["what"] == "Airflow does not read or write XComs in the triggerer (TimeoutError)"
    assert cloud.requests == []


@starts
def test_the_last_line_break_is_dropped_as_in_a_worker(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    for text in ("bak-1\n", "bak-1\r\n", "bak-1\r"):
        made = started(wait(backup_task_id=text))
        assert asyncio.run(fire(made))["summary"]["backupSetId"] == "bak-1"


@starts
def test_waits_that_begin_together_do_not_fail_each_other(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    """Those that find no place among the requests in flight in time have asked nothing yet."""
    monkeypatch.setattr(repeating, "RETRY_SECONDS", 0.01)
    real, lost = Lanes.take_free, 2

    def take_free(lanes: Lanes, doubtful: bool) -> Any:
        nonlocal lost
        if lost:
            lost -= 1
            raise NoFreeLaneError
        return real(lanes, doubtful)

    monkeypatch.setattr(Lanes, "take_free", take_free)
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    event = asyncio.run(fire(started(wait(poke_interval=0.1))))
    assert event["summary"]["backupSetId"] == "bak-1"
    assert lost == 0
    assert "Nothing sent" in logged()
    # The first that is sent is the first of the task.
    lost = 1
    cloud.fail(status=500)
    event = asyncio.run(fire(started(wait(poke_interval=0.1))))
    assert event["error"]["class"] == "OceanBaseUnavailableError"


@starts
def test_unusable_text_stays_out_of_the_event() -> None:
    event = asyncio.run(fire(of_variable(XComs(), params={"id": "bak-\ud800"})))
    assert event["error"]["class"] == "OceanBaseInputError"
    assert "oceanbase_conn_id" not in event
    json.dumps(event, ensure_ascii=False).encode()


@starts
def test_a_wait_does_not_hold_its_dag(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-2026-01-20", statuses=("DONE",))
    with DAG("d", **BEGIN) as dag:
        wait(backup_task_id="bak-{{ ds }}")
    made = inflated(dag)
    held: list[bool] = []

    class Watching(XComs):
        async def asend(self, message: Any) -> Any:
            held.append(bool(made.given_context) or made.task_instance.task is not None)
            return await super().asend(message)

    made.xcoms = Watching()
    assert asyncio.run(fire(made))["summary"]["backupSetId"] == "bak-2026-01-20"
    # Nor while it is kept what the templates made: many waits begin at once.
    assert len(held) > 0
    assert not any(held)
    assert made.task is None
    assert made.task_instance.task is None
    # The triggerer itself holds it for as long as the trigger runs.
    assert made.given_context == {}


@starts
@pytest.mark.parametrize("tries", [1, 2])
def test_a_cleared_task_has_no_former_result(tries: int, cloud: CloudEmulator) -> None:
    """Whatever ends this try, a task that follows must not take the result of the last one."""
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    xcoms = XComs()
    xcoms.values["return_value"] = {"status": "DONE"}
    asyncio.run(until_polled(started(wait(), xcoms=xcoms, tries=tries), cloud))
    # At a first try there is none: it is not asked for.
    assert ("return_value" in xcoms.values) == (tries == 1)


@starts
def test_another_triggerer_keeps_the_new_result(cloud: CloudEmulator) -> None:
    """It may be slow to take the wait over, which the first one ends meanwhile."""
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    xcoms, began = XComs(), time.time() - 60
    xcoms.values["return_value"] = "old"
    asyncio.run(until_polled(started(wait(), began, xcoms=xcoms, tries=2), cloud))
    assert "return_value" not in xcoms.values
    xcoms.values["return_value"] = "new"
    cloud.set_status("ob-1", "bak-1", "DONE")
    assert "summary" in asyncio.run(fire(started(wait(), began, xcoms=xcoms, tries=2)))
    assert xcoms.values["return_value"] == "new"


@starts
@pytest.mark.parametrize("values", [{}, {"id": " "}], ids=["not rendered", "unusable"])
def test_nor_if_the_wait_cannot_begin(values: Any, cloud: CloudEmulator) -> None:
    xcoms = XComs()
    xcoms.values["return_value"] = {"status": "DONE"}
    event = asyncio.run(fire(of_variable(xcoms, tries=2, params=values)))
    assert "error" in event
    assert xcoms.values == {}
    assert cloud.requests == []


@starts
@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_nor_if_no_trigger_ran(error: str, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No triggerer took the wait in its time, or the one that did cannot make the trigger."""
    from airflow.sdk.execution_time import task_runner

    supervisor = Mock()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    names = {"dag_id": "d", "task_id": "wait", "run_id": "r", "map_index": -1}
    given: Any = {"ti": SimpleNamespace(try_number=tries, **names)}
    with pytest.raises(Exception, match=r"timed out|Trigger failure"):
        in_dag().resume_execution("__fail__", {"error": error}, given)
    sent = [call.args[0].model_dump(exclude={"type"}) for call in supervisor.send.call_args_list]
    assert sent == [{"key": "return_value", **names}] * (tries - 1)
    # Why the try ends counts more.
    supervisor.send.side_effect = RuntimeError("no database")
    with pytest.raises(Exception, match=r"timed out|Trigger failure"):
        in_dag().resume_execution("__fail__", {"error": error}, given)


@starts
def test_an_xcom_backend_blocks_no_other_trigger(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may keep values in an object store that does not answer."""
    from airflow.sdk.bases.xcom import BaseXCom

    in_store, others_ran = threading.Event(), threading.Event()
    answered: list[bool] = []

    class Store(BaseXCom):
        @staticmethod
        def serialize_value(value: Any, **names: Any) -> Any:
            assert names["key"] == "oceanbase_wait"
            in_store.set()
            answered.append(others_ran.wait(10))
            return json.dumps(value)

        @staticmethod
        def deserialize_value(result: Any) -> Any:
            in_store.set()
            answered.append(others_ran.wait(10))
            return json.loads(result.value)

    async def beside(trigger: Any) -> Any:
        in_store.clear()
        others_ran.clear()
        running = asyncio.create_task(fire(trigger))
        while not in_store.is_set():
            await asyncio.sleep(0.01)
        others_ran.set()
        return await running

    monkeypatch.setattr(sdk, "XCom", Store, raising=False)
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    xcoms, began = XComs(), time.time() - 60
    for name in ("bak-1", "bak-2"):
        event = asyncio.run(beside(of_variable(xcoms, began, params={"id": name})))
        assert event["summary"]["backupSetId"] == "bak-1"
    assert answered == [True, True]


@starts
def test_another_triggerer_renders_nothing(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    xcoms, began = XComs(), time.time() - 60
    asyncio.run(fire(of_variable(xcoms, began, params={"id": "bak-1"})))
    rendered: list[None] = []
    second = of_variable(xcoms, began, params=SimpleNamespace(id=Rendering(rendered)))
    assert asyncio.run(fire(second))["summary"]["backupSetId"] == "bak-1"
    assert rendered == []


class Rendering:
    """Sees that a template reads it.

    :param seen: gets an item each time
    """

    def __init__(self, seen: list[None]) -> None:
        self.seen = seen

    def __str__(self) -> str:
        self.seen.append(None)
        return "bak-2"
