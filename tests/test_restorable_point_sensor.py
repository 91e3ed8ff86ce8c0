"""RestorablePointSensor, in all three modes, against the emulator."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from emulators import after_polls
from lists import COLLECTIONS
from modes import MODES, context, fire, sensor, stored, wait
from moved import AirflowSkipException, TaskDeferred

from airflow_provider_oceanbase.cloud.intervals import TenantList, read_tenant_list
from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import (
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
    PointNotRestorableError,
)
from airflow_provider_oceanbase.sensors import RestorablePointSensor
from airflow_provider_oceanbase.testing import CloudEmulator, Profile
from airflow_provider_oceanbase.triggers import RestorablePointTrigger
from airflow_provider_oceanbase.waiting import restorable
from airflow_provider_oceanbase.waiting.advice import NOT_LISTED

TIME = datetime(2026, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATH = "/api/v2/instances/ob-1/backup/restore/tenants"


def add(cloud: CloudEmulator, name: str, *intervals: tuple[float, float], **fields: Any) -> None:
    """Add a tenant that can be restored from and to so many hours after midnight."""
    times = [(TIME + HOUR * begin, TIME + HOUR * end) for begin, end in intervals]
    cloud.add_restorable_tenant("ob-1", name, intervals=times, **fields)


def wait_for(mode: str, **options: Any) -> Any:
    return wait(mode, **{"restore_time": TIME.isoformat()} | options)


@pytest.mark.parametrize("mode", MODES)
def test_waits_until_the_log_is_archived(mode: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    add(cloud, "orders", (-9, -1))
    add(cloud, "billing", (-9, 1))
    after_polls(cloud, 2, lambda: add(cloud, "orders", (-9, 0)))
    assert wait_for(mode) == {
        "instanceId": "ob-1",
        "restoreTime": "2026-01-20T00:00:00+00:00",
        "tenantCount": 2,
        "tenants": [
            {
                "tenantId": f"id-of-{name}",
                "tenantName": name,
                "startTime": "2026-01-19T15:00:00Z",
                "endTime": f"2026-01-20T0{end}:00:00Z",
                "storageType": "OSS",
            }
            for name, end in (("orders", 0), ("billing", 1))
        ],
    }
    text = logged()
    assert "1 of 2 tenants restorable; orders restorable up to 2026-01-19 23:00 UTC, 1 h to go" in text
    assert (
        "2 tenants restorable to 2026-01-20T00:00:00+00:00; orders up to 2026-01-20T00:00:00Z, billing"
        in text
    )
    assert {request.path for request in cloud.requests} == {PATH}


@pytest.mark.parametrize("mode", MODES)
def test_the_end_moves_on_with_the_clock(mode: str, cloud: CloudEmulator) -> None:
    now = datetime.now(UTC)
    cloud.add_restorable_tenant("ob-1", "orders", intervals=[(now - HOUR, None)], lag=timedelta(seconds=1))
    assert wait_for(mode, restore_time=now, tenants=["orders"], poke_interval=0.1)["tenantCount"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_before_every_interval(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "orders", (-9, -1))
    after_polls(cloud, 1, lambda: add(cloud, "orders", (1, 2)))
    text = (
        r"^Never restorable to 2026-01-20T00:00:00\+00:00: tenant 'orders' .* only from 2026-01-20T01:00:00Z"
    )
    with pytest.raises(PointNotRestorableError, match=text):
        wait_for(mode)
    with pytest.raises(AirflowSkipException):
        wait_for(mode, soft_fail=True)


@pytest.mark.parametrize("mode", MODES)
def test_before_every_interval_and_told_to_wait(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "orders", (1, 2))
    after_polls(cloud, 2, lambda: add(cloud, "orders", (-1, 2)))
    assert wait_for(mode, fail_if_unreachable=False)["tenantCount"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_local_times_that_count_as_utc(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "orders", (-9, -1))
    ahead = datetime.now(UTC) + 8 * HOUR
    begin = TIME - 9 * HOUR
    after_polls(cloud, 1, lambda: cloud.add_restorable_tenant("ob-1", "orders", intervals=[(begin, ahead)]))
    with pytest.raises(OceanBaseMalformedResponseError, match=r"^Interval ends in the future \(") as caught:
        wait_for(mode)
    # As any other error of a request.
    assert (caught.value.conn_id, caught.value.host) == ("oceanbase_default", cloud.url)


@pytest.mark.parametrize("mode", MODES)
def test_timeout(mode: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    add(cloud, "orders", (-9, -1))
    with pytest.raises(AirflowSensorTimeout) as caught:
        wait_for(mode, timeout=0.3, tenants=["orders", "billing"])
    text = str(caught.value)
    assert text.startswith("ob-1 still not restorable to that time after ")
    assert (
        "The last poll found: 0 of 2 tenants restorable; billing not listed; orders restorable up to" in text
    )
    assert text.endswith(NOT_LISTED)
    assert "No tenant 'billing' is listed" in logged()


@pytest.mark.parametrize("mode", MODES)
def test_failures_during_the_wait(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "orders", (-9, -1))

    def act() -> None:
        cloud.fail(status=503)
        cloud.fail(status=200, body=b'{"success": true, "data": "x", "requestId": "r"}')
        add(cloud, "orders", (-9, 1))

    after_polls(cloud, 1, act)
    assert wait_for(mode)["tenantCount"] == 1


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("mode", MODES)
def test_failures_of_the_first_poll(mode: str, cloud: CloudEmulator) -> None:
    cloud.fail(status=400)
    with pytest.raises(OceanBaseRefusedError, match=": the restorable tenants of instance 'ob-1'"):
        wait_for(mode)
    cloud.fail(status=200, times=9, body=b'{"success": true, "data": "x", "requestId": "r"}')
    with pytest.raises(OceanBaseMalformedResponseError, match="data are no list"):
        wait_for(mode)


@pytest.mark.parametrize("mode", MODES)
def test_the_older_request(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(profile=Profile(restore_requires=("openRequest",))) as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
        add(cloud, "orders", (-9, -1))
        after_polls(cloud, 1, lambda: add(cloud, "orders", (-9, 1)))
        assert wait_for(mode, query_parameters={"openRequest": "true"})["tenantCount"] == 1


def test_waits_that_share_an_answer_read_it_once(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def read(data: object) -> TenantList:
        nonlocal reads
        reads += 1
        return read_tenant_list(data)

    monkeypatch.setattr(restorable, "read_tenant_list", read)
    names = [f"n{number}" for number in range(40)]
    for name in names:
        add(cloud, name, (-9, -1))
    after_polls(cloud, 3, lambda: [add(cloud, name, (-9, 1)) for name in names])
    triggers = [
        RestorablePointTrigger(
            schedule={"poke_interval": 0.5, "timeout": 60},
            oceanbase_conn_id="oceanbase_default",
            began=time.time(),
            instance_id="ob-1",
            restore_time=TIME.isoformat(),
            tenants=[name],
        )
        for name in names
    ]

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(fire, triggers))

    events = asyncio.run(all_of_them())
    assert [event["summary"]["tenants"][0]["tenantName"] for event in events] == names
    # The last wait that is left shares nothing.
    assert 3 < reads == sum(request.status == 200 for request in cloud.requests) < len(names)


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_tenants_in_any_collection(kind: str, cloud: CloudEmulator) -> None:
    add(cloud, "orders", (-9, 1))
    add(cloud, "billing", (-9, 1))
    add(cloud, "new", (3, 4))
    found = wait_for("poke", tenants=COLLECTIONS[kind])
    assert {one["tenantName"] for one in found["tenants"]} == {"orders", "billing"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"restore_time": "None"}, "restore_time is 'None'"),
        ({"restore_time": "2026-01-20T00:00:00"}, "which is no time in ISO 8601 with a time zone"),
        ({"tenants": "['orders']"}, "tenants is \"['orders']\"; it must be a list of names"),
        ({"tenants": [None]}, "an entry of tenants is None"),
        ({"query_parameters": "{}"}, "query_parameters is '{}'; it must be a dict of texts"),
        ({"instance_id": "None"}, "instance_id is 'None'"),
    ],
)
def test_templates_without_a_value(options: dict[str, Any], says: str, cloud: CloudEmulator) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        wait_for("poke", **options)
    assert says in str(caught.value)
    assert cloud.requests == []


def test_a_template_that_finds_no_tenants(cloud: CloudEmulator) -> None:
    task = sensor(restore_time=TIME, tenants="{{ none }}")
    task.tenants = []
    with pytest.raises(OceanBaseInputError, match="which names none"):
        task.execute(context())
    assert cloud.requests == []


def test_arguments_of_other_sensors_are_refused() -> None:
    # Airflow 2 raises the second one.
    with pytest.raises((TypeError, AirflowException), match="success_statuses"):
        sensor(restore_time=TIME, success_statuses=("DONE",))
    assert RestorablePointSensor.template_fields[:3] == ("instance_id", "restore_time", "tenants")


def test_the_event_is_plain(cloud: CloudEmulator) -> None:
    add(cloud, "orders", (-9, -1))
    task = sensor(restore_time=TIME, deferrable=True, tenants={"orders"})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    add(cloud, "orders", (1, 2))
    event = asyncio.run(fire(stored(deferred.value.trigger)))
    assert json.dumps(event)
    with pytest.raises(PointNotRestorableError) as caught:
        task.resume_execution("execute_complete", {"event": event}, context())
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
