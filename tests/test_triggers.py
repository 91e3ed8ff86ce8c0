from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import SECRET, set_connection
from modes import fire, trigger

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import shared_poll
from airflow_provider_oceanbase.triggers import BackupSetTrigger


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudEmulator]:
    with CloudEmulator() as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
        yield cloud
    assert shared_poll._clients == {}


def outcome(**options: Any) -> Any:
    event = asyncio.run(fire(trigger(**options)))
    event.pop("began")
    event.pop("condition")
    # A worker goes on with the same connection.
    assert event.pop("oceanbase_conn_id") == "oceanbase_default"
    return event


def test_constructor_validates_nothing() -> None:
    BackupSetTrigger(schedule={}, oceanbase_conn_id="", began=-1, status=None, nonsense=None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nonsense": 1}, "Wait stopped unexpectedly in the triggerer (TypeError)"),
        ({"instance_id": ".."}, "instance_id is '..', which is no ID"),
    ],
)
def test_any_error_becomes_the_event(options: dict[str, Any], says: str) -> None:
    assert says in outcome(**options)["error"]["what"]


def test_logs_show_only_changes(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", 503, 503, "CANCELING", "DOING", "DONE"))
    assert outcome()["summary"]["status"] == "DONE"
    lines = [line.partition("] ")[2] or line for line in logged().splitlines() if "BackupSetTrigger" in line]
    expected = [
        "bak-1: waiting in the triggerer, last seen: DOING. Polling every 0.05 s, times out at ",
        "; polling continues",
        "OceanBase Cloud answers again",
        "bak-1: CANCELING (instance 'ob-1', requestId ",
        "bak-1: DOING (instance 'ob-1', requestId ",
        "bak-1: DONE; the backup took ",
    ]
    assert len(lines) == len(expected)
    assert all(text in line for line, text in zip(lines, expected, strict=True))


def test_rotated_key_is_read_again(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))

    def rotate(seen: Any) -> None:
        if seen.backup_status and len([one for one in cloud.requests if one.status == 200]) == 2:
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)

    cloud._on_request = rotate
    assert outcome()["summary"]["status"] == "DONE"
    # The old key fails twice, with its nonce and a new one; the new key starts with a challenge.
    assert [request.status for request in cloud.requests] == [401, 200, 200, 401, 401, 401, 200]


def test_key_that_stays_refused_ends_the_wait(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    cloud._on_request = lambda seen: seen.backup_status and cloud.rotate_key("another", "key")
    assert outcome()["error"]["class"] == "OceanBaseAuthenticationError"
    assert [request.status for request in cloud.requests] == [401, 200, 401, 401, 401, 401]


def test_restarted_trigger_keeps_its_deadline(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    event = outcome(began=time.time() - 100, timeout=50)
    assert event["timeout"].startswith(
        "bak-1 still DOING after 1 min 40 s: timed out (instance 'ob-1', timeout 50 s)"
    )
    assert len([request for request in cloud.requests if request.status == 200]) == 1


def test_timeout_reports_an_outage(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=(503,))
    event = outcome(timeout=0.2)
    says = r"bak-1 last seen DOING, no answer for 0\.\d s: timed out after .*\. The last poll failed: "
    assert re.match(says, event["timeout"])


def test_clock_that_was_set_back(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    assert "timeout" in outcome(began=time.time() + 10_000, timeout=0.2)


def test_first_polls_are_spread(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"bak-{index}" for index in range(100)]
    for name in names:
        cloud.add_backup_set("ob-1", name, statuses=("DONE",))
    pauses = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        # Record the pauses: on a busy machine the polls themselves are late, and closer together.
        pauses.append(seconds)
        await sleep(0)

    async def all_at_once() -> None:
        waits = (trigger(backup_task_id=name, poke_interval=60, timeout=600) for name in names)
        await asyncio.gather(*map(fire, waits))

    monkeypatch.setattr("airflow_provider_oceanbase.waiting.trigger.asyncio.sleep", note)
    asyncio.run(all_at_once())
    assert [request.status for request in cloud.requests].count(200) == len(pauses) == 100
    pauses.sort()
    assert 0 <= pauses[0] <= pauses[-1] < 60
    # About half of them are in half the interval.
    assert pauses[75] - pauses[0] > 30
    assert pauses[-1] - pauses[25] > 30


def test_cancelled_trigger_closes_what_it_opened(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def cancel_during_the_wait() -> None:
        waits = [asyncio.create_task(fire(trigger())) for _ in range(3)]
        while len(cloud.requests) < 10:
            await asyncio.sleep(0.01)
        for wait in waits:
            wait.cancel()
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 3
        assert shared_poll._clients == {}

    asyncio.run(cancel_during_the_wait())


def test_loop_is_never_blocked(cloud: CloudEmulator, caplog: pytest.LogCaptureFixture) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", 503, "DOING", "DONE"))
    # A synchronous request would block the loop for this long.
    cloud._on_request = lambda seen: threading.Event().wait(0.5)

    async def watched() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.4
        await asyncio.gather(*(fire(trigger()) for _ in range(20)))

    caplog.set_level(logging.WARNING, "asyncio")
    # Garbage of earlier tests must not slow the loop.
    gc.collect()
    gc.disable()
    try:
        asyncio.run(watched(), debug=True)
    finally:
        gc.enable()
    slow = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    # How long asyncio.run() takes to end its own threads is the machine's affair.
    assert [message for message in slow if "shutdown_default_executor" not in message] == []


def test_events_and_arguments_contain_no_secret(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    set_connection(monkeypatch, login="emulator-key", host=cloud.url)
    waiting = trigger()
    text = f"{outcome()} {waiting.serialize()} {waiting!r} {vars(waiting)}"
    assert "OceanBaseAuthenticationError" in text
    for secret in (SECRET, "Authorization", *cloud.seen_digest_responses):
        assert secret not in text
