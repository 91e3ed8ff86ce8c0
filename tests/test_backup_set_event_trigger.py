from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import set_connection
from watches import NOW, trigger, until

from airflow_provider_oceanbase.compat.sdk import read_connection
from airflow_provider_oceanbase.exceptions import OceanBaseNotFoundError, OceanBaseUnavailableError
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.triggers import BackupSetEventTrigger
from airflow_provider_oceanbase.waiting.arguments import POKE_INTERVAL
from airflow_provider_oceanbase.waiting.outage import Outage
from airflow_provider_oceanbase.watching.listings import BackupSetLister, _usable
from airflow_provider_oceanbase.watching.names import Watch


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def events(watch: BackupSetEventTrigger, count: int) -> list[Any]:
    """Run a trigger until it has fired that many events; return them as Airflow stores them."""
    found: list[Any] = []
    async with asyncio.timeout(60), aclosing(watch.run()) as stream:  # type: ignore[type-var]
        async for event in stream:
            found.append(json.loads(json.dumps(event.payload)))
            if len(found) == count:
                break
    return found


def fired(count: int, **options: Any) -> list[list[str]]:
    """Run a trigger; return the IDs of the backup sets of each event."""
    payloads = asyncio.run(events(trigger(**options), count))
    return [[one["backupSetId"] for one in payload["backup_sets"]] for payload in payloads]


def reports(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the level of each log line about an outage or its end, and what shows that it is one."""
    records = [one for one in caplog.records if one.name == "airflow_provider_oceanbase.watching.listings"]
    phrases = ("polling continues", "OceanBase Cloud answers again")
    return [
        (record.levelname, phrase)
        for record in records
        for phrase in phrases
        if phrase in record.getMessage()
    ]


def test_each_set_that_completes_is_reported_once(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    cloud.add_backup_set("ob-1", "bak-new", statuses=("DOING", "DOING", "DONE"))
    cloud.add_backup_set("ob-1", "bak-late", statuses=(None, None, None, "DOING", "DOING", "DONE"))
    cloud.add_backup_set("ob-1", "bak-failed", statuses=("DOING", "FAILED"))
    cloud.add_backup_set("ob-2", "bak-other", statuses=("DOING", "DONE"))
    assert fired(2) == [["bak-new"], ["bak-late"]]


def test_many_sets_are_reported_by_several_events(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    for number in range(230):
        statuses = ("DOING", "DONE")
        cloud.add_backup_set("ob-1", f"bak-{number:03}", statuses=statuses, polls_per_status=2, tenants=None)
    found = fired(3)
    assert [len(ids) for ids in found] == [100, 100, 30]
    assert len({name for ids in found for name in ids}) == 230
    (line,) = [line for line in logged().splitlines() if "New backup sets" in line]
    assert "New backup sets of instance 'ob-1': 230 (bak-" in line
    assert len(line) < 400


def test_payload_has_the_summaries(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), tenants=("orders", "billing"))
    (payload,) = asyncio.run(events(trigger(), 1))
    assert payload["instance_id"] == "ob-1"
    (summary,) = payload["backup_sets"]
    assert (summary["status"], summary["validity"], summary["tenantCount"]) == ("DONE", "VALID", 2)


def test_sets_of_one_poll_are_one_event_in_order_of_their_end(cloud: CloudEmulator) -> None:
    for name, minutes in {"bak-b": 20, "bak-c": 10, "bak-a": 30}.items():
        end = NOW - timedelta(minutes=minutes)
        start = NOW - timedelta(hours=minutes)
        cloud.add_backup_set("ob-1", name, statuses=("DOING", "DONE"), start_time=start, end_time=end)
    assert fired(1) == [["bak-a", "bak-b", "bak-c"]]


def test_every_page_is_read(cloud: CloudEmulator) -> None:
    names = [f"bak-{number:02}" for number in range(45)]
    for name in names:
        cloud.add_backup_set("ob-1", name, statuses=("DOING", "DONE"), start_time=NOW, end_time=NOW)
    assert fired(1) == [names]


def test_only_valid_sets_count_by_default(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-invalid", statuses=("DOING", "DONE"), validity="INVALID")
    cloud.add_backup_set("ob-1", "bak-valid", statuses=("DOING", "DOING", "DONE"))
    cloud.add_backup_set("ob-1", "bak-odd", statuses=("DOING", "DOING", "DOING", "COMPLETED"))
    assert fired(1) == [["bak-valid"]]


def test_criteria_are_parameters(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-invalid", statuses=("DOING", "DONE"), validity="INVALID")
    cloud.add_backup_set("ob-1", "bak-odd", statuses=("DOING", "DOING", "COMPLETED"))
    assert fired(2, success_statuses=("DONE", "COMPLETED"), require_valid=False) == [
        ["bak-invalid"],
        ["bak-odd"],
    ]


def test_sets_of_the_last_days_are_listed(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), start_time=NOW - timedelta(days=6))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DOING", "DONE"), start_time=NOW - timedelta(days=9))
    assert fired(1) == [["bak-1"]]
    starts = {request.query["startTime"] for request in cloud.requests}
    assert starts <= {f"{(datetime.now(UTC) - timedelta(days=days)).date()}T00:00:00Z" for days in (7, 8)}


def test_outage_does_not_end_the_watch(cloud: CloudEmulator, caplog: pytest.LogCaptureFixture) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    cloud.fail(status=503, times=2)
    cloud.fail(drop=True)
    cloud.fail(status=200, body=b"<html>")
    assert fired(1) == [["bak-1"]]
    assert reports(caplog) == [("WARNING", "polling continues"), ("INFO", "OceanBase Cloud answers again")]


def test_rotated_key_is_read_again(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))

    def rotate(_: Any) -> None:
        if len(cloud.requests) == 2:
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)

    cloud._on_request = rotate
    assert fired(1) == [["bak-1"]]
    assert [request.status for request in cloud.requests] == [401, 200, 401, 401, 401, 200, 200]


async def recovers(failed: Callable[[], bool], repair: Callable[[], None]) -> list[Any]:
    """Run a trigger that fails, repair the cause, and return its first event."""
    running = asyncio.create_task(events(trigger(), 1))
    await until(failed)
    repair()
    return await asyncio.wait_for(running, 30)


def test_wrong_key_is_logged_once_and_polling_continues(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    set_connection(monkeypatch, login="emulator-key", host=cloud.url)

    def repair() -> None:
        assert {request.status for request in cloud.requests} == {401}
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)

    assert asyncio.run(recovers(lambda: len(cloud.requests) >= 12, repair))
    assert reports(caplog) == [("ERROR", "polling continues"), ("INFO", "OceanBase Cloud answers again")]
    assert "AccessKey refused" in caplog.text


def test_missing_connection_is_logged_once_and_polling_continues(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    uri = cloud.connection_uri
    monkeypatch.delenv("AIRFLOW_CONN_OCEANBASE_DEFAULT")
    reads = 0

    async def count(conn_id: str) -> Any:
        nonlocal reads
        reads += 1
        return await read_connection(conn_id)

    monkeypatch.setattr("airflow_provider_oceanbase.transport.trigger_connection.read_connection", count)

    def repair() -> None:
        assert cloud.requests == []
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", uri)

    assert asyncio.run(recovers(lambda: reads >= 3, repair))
    assert reports(caplog) == [("ERROR", "polling continues"), ("INFO", "OceanBase Cloud answers again")]
    assert "oceanbase_default" in caplog.text


def test_outage_that_becomes_permanent_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logging.getLogger("tests.outage"), Watch("ob-1", "oceanbase_default"))
    for error in (OceanBaseUnavailableError("down"), OceanBaseNotFoundError("gone")) * 2:
        outage.failed(error)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_retry_after_lengthens_the_pause(cloud: CloudEmulator) -> None:
    cloud.fail(status=429, headers={"Retry-After": "1000"})

    async def due() -> float:
        async with BackupSetLister(
            instance_id="ob-1", oceanbase_conn_id="oceanbase_default", poke_interval=0.05
        ) as lister:
            waiting = asyncio.create_task(lister.next())
            await until(lambda: lister.due > 0)
            waiting.cancel()
            return lister.due - asyncio.get_running_loop().time()

    assert asyncio.run(due()) > 900


@pytest.mark.parametrize("poke_interval", [0, -1, None, "x", math.nan, math.inf])
def test_invalid_interval_is_replaced(poke_interval: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert _usable(poke_interval) == POKE_INTERVAL
    assert f"poke_interval is {poke_interval!r}" in caplog.text


@pytest.mark.parametrize("instance_id", ["..", "None", None, 7.5])
def test_invalid_instance_is_logged_and_polling_continues(
    instance_id: Any, cloud: CloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        running = asyncio.create_task(events(trigger(instance_id=instance_id), 1))
        await until(lambda: "which is no ID" in caplog.text)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert cloud.requests == []


def test_constructor_validates_nothing() -> None:
    odd: Any = None
    BackupSetEventTrigger(
        odd, oceanbase_conn_id=odd, poke_interval=odd, success_statuses=odd, require_valid=odd
    )


@pytest.mark.parametrize("statuses", ["DONE", None, [7]])
def test_invalid_statuses_fail_the_dag_file(statuses: Any) -> None:
    with pytest.raises(TypeError):
        BackupSetEventTrigger("ob-1", success_statuses=statuses).serialize()


def test_arguments_are_the_same_in_any_order() -> None:
    one, other = (trigger(success_statuses=statuses).serialize() for statuses in (("b", "a"), {"a", "b"}))
    assert one == other


def test_cancelled_trigger_closes_what_it_opened(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def cancel_during_the_watch() -> None:
        watches = [asyncio.create_task(events(trigger(), 1)) for _ in range(3)]
        await until(lambda: len(cloud.requests) >= 10)
        for watch in watches:
            watch.cancel()
        results = await asyncio.gather(*watches, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 3

    asyncio.run(cancel_during_the_watch())


def test_events_arguments_and_logs_contain_no_secret(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    cloud.fail(status=503)
    watch = trigger()
    text = f"{asyncio.run(events(watch, 1))} {watch.serialize()} {watch!r} {vars(watch)} {logged()}"
    assert "bak-1" in text
    for secret in (cloud.connection["password"], "Authorization", *cloud.seen_digest_responses):
        assert secret not in text


def test_unencrypted_watch_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_connection(monkeypatch, host="http://no-such-host.invalid")

    async def watch() -> None:
        async with BackupSetLister(
            instance_id="ob-1", oceanbase_conn_id="oceanbase_default", poke_interval=0.01
        ) as lister:
            listing = asyncio.create_task(lister.next())
            await until(lambda: lister.due > asyncio.get_running_loop().time() - 1 and bool(reports(caplog)))
            await asyncio.sleep(0.05)
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    asyncio.run(watch())
    warnings = [
        line for line in caplog.messages if "Unencrypted: answers from http://no-such-host.invalid" in line
    ]
    assert len(warnings) == 1
