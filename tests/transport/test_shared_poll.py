"""Waits of one event loop with the same request share the responses."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from airflow.models import Connection
from modes import fire

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import shared_poll
from airflow_provider_oceanbase.triggers import BackupSetTrigger

WAITS = 30


def trigger(backup_task_id: str = "bak-1", *, timeout: float = 60, poke_interval: float = 0.2) -> Any:
    return BackupSetTrigger(
        instance_id="ob-1",
        backup_task_id=backup_task_id,
        schedule={"poke_interval": poke_interval, "timeout": timeout},
        oceanbase_conn_id="oceanbase_default",
        began=time.time(),
        status="DOING",
    )


def wait(*triggers: Any) -> list[Any]:
    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*map(fire, triggers))

    return asyncio.run(all_at_once())


def endpoint(cloud: CloudEmulator) -> Endpoint:
    connection = Connection(uri=cloud.connection_uri)
    return Endpoint.from_connection(connection, connection.extra_dejson)


def polls(cloud: CloudEmulator) -> list[float]:
    return [request.at for request in cloud.requests if request.status == 200]


def test_many_waits_for_one_set_send_one_request_per_interval(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), seconds_per_status=1)
    events = wait(*(trigger() for _ in range(WAITS)))
    assert [event["summary"]["status"] for event in events] == ["DONE"] * WAITS
    # A first poll, one that sets the common schedule, and five more; unshared, they would be 150.
    assert len(polls(cloud)) <= 15


def test_waits_for_other_sets_share_nothing(cloud: CloudEmulator) -> None:
    for name in ("bak-1", "bak-2"):
        cloud.add_backup_set("ob-1", name, statuses=("DOING", "DONE"))
    events = wait(trigger("bak-1"), trigger("bak-2"))
    assert [event["summary"]["status"] for event in events] == ["DONE", "DONE"]
    assert len(polls(cloud)) == 4


def test_the_shortest_interval_sets_the_schedule(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), seconds_per_status=1)
    intervals = [0.2] + [0.4] * WAITS
    events = wait(*(trigger(poke_interval=interval) for interval in intervals))
    assert [event["summary"]["status"] for event in events] == ["DONE"] * (WAITS + 1)
    # The slow ones may poll before the fast one begins, and poll once after it ends.
    assert len(polls(cloud)) <= 9


def test_a_cancelled_wait_does_not_affect_others(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))

    async def cancel_most() -> list[Any]:
        tasks = [asyncio.create_task(fire(trigger())) for _ in range(WAITS)]
        waiting = asyncio.Event()
        loop = asyncio.get_running_loop()
        # During the second request, which is the first shared one.
        cloud._on_request = lambda seen: len(polls(cloud)) == 2 and loop.call_soon_threadsafe(waiting.set)
        await waiting.wait()
        for task in tasks[1:]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(cancel_most())
    assert first["summary"]["status"] == "DONE"
    assert {type(other) for other in others} == {asyncio.CancelledError}


def test_an_outage_is_shared_and_does_not_end_the_waits(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", 503, "DONE"), seconds_per_status=0.5)
    events = wait(*(trigger() for _ in range(WAITS)))
    assert [event["summary"]["status"] for event in events] == ["DONE"] * WAITS
    assert len([request for request in cloud.requests if request.status == 503]) in (1, 2, 3)


def test_all_waits_read_a_rotated_key_again(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DOING", "DONE"))

    def rotate(seen: Any) -> None:
        if seen.backup_status and len(polls(cloud)) == 3:
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)

    cloud._on_request = rotate
    events = wait(*(trigger() for _ in range(WAITS)))
    assert [event["summary"]["status"] for event in events] == ["DONE"] * WAITS
    # A few of them may poll unshared, but not all.
    assert len(polls(cloud)) < 3 + WAITS / 3


def test_max_age_limits_an_old_answer(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))

    async def poll() -> list[str]:
        polls = [shared_poll.join(endpoint(cloud), backup_set_request("ob-1", "bak-1")) for _ in range(2)]
        assert polls[0] is polls[1]
        answers = [await polls[0].fetch(max_age=age) for age in (60, 60, 0)]
        for one in polls:
            await one.leave()
        return [answer.data["status"] for answer in answers if answer.data]

    assert asyncio.run(poll()) == ["DOING", "DOING", "DONE"]


def test_equal_endpoints_share_a_client_until_its_last_poll(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def scenario() -> None:
        target, (one, other) = endpoint(cloud), (backup_set_request("ob-1", name) for name in ("bak-1", "b"))
        first = shared_poll.join(target, one)
        second = shared_poll.join(replace(target), other)
        elsewhere = shared_poll.join(replace(target, access_key_secret="another"), one)
        assert first.client is second.client
        assert first.client is not elsewhere.client
        assert len(shared_poll._clients) == 2
        await elsewhere.leave()
        await second.leave()
        await first.fetch()
        await first.leave()
        assert shared_poll._clients == {}
        later = shared_poll.join(target, one)
        assert later.client is not first.client
        await later.fetch()
        await later.leave()

    # In debug mode asyncio and aiohttp warn about unclosed resources, and warnings are errors.
    asyncio.run(scenario(), debug=True)
    assert [request.status for request in cloud.requests] == [401, 200] * 2


def test_answers_are_kept_only_while_shared(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def watch() -> None:
        tasks = [asyncio.create_task(fire(trigger(poke_interval=0.1))) for _ in range(2)]
        while not any(
            poll._task and poll._task.done()
            for _, polls in shared_poll._clients.values()
            for poll in polls.values()
        ):
            await asyncio.sleep(0.01)
        ((_, polls),) = shared_poll._clients.values()
        (poll,) = polls.values()
        assert poll.users == 2
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert (poll.users, poll._task) == (1, None)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert polls == {}

    asyncio.run(watch())
