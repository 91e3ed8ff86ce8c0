"""How often a connection is read in the triggerer, and what a change of it leaves open."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import CONN_ID, set_connection
from modes import fire, trigger
from watches import until

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseUnavailableError
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import shared_poll, trigger_connection
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.trigger_connection import SharedConnection, TriggerConnection

QUERY = backup_set_request("ob-1", "bak-1")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each reading of the connection began, by the clock that the next one is measured against.

    A time that is taken a moment later makes the pause after it look too short.
    """
    times: list[float] = []
    read = SharedConnection._read

    async def note(self: SharedConnection) -> None:
        await read(self)
        times.append(self.known.read_at)

    monkeypatch.setattr(SharedConnection, "_read", note)
    return times


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[AiohttpClient]:
    """All clients that a test opens."""
    made: list[AiohttpClient] = []

    class Recorded(AiohttpClient):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(shared_poll, "AiohttpClient", Recorded)
    return made


def test_waits_of_a_connection_read_it_once_an_interval(
    cloud: CloudEmulator, reads: list[float], clients: list[AiohttpClient]
) -> None:
    names = [f"bak-{number}" for number in range(100)]
    for name in names:
        cloud.add_backup_set("ob-1", name, statuses=("DOING", *[503] * 4, "DONE"))
    interval = 0.5

    async def all_at_once() -> list[Any]:
        # Waits near their timeout poll sooner, and so may read sooner: a slow machine must not come near it.
        options = {"poke_interval": interval, "timeout": 3600}
        return await asyncio.gather(*(fire(trigger(backup_task_id=name, **options)) for name in names))

    assert all("summary" in event for event in asyncio.run(all_at_once()))
    assert len([seen for seen in cloud.requests if seen.status == 503]) == 400
    # The first reading, and those of the polls that failed.
    assert len(reads) >= 2
    pauses = [later - earlier for earlier, later in itertools.pairwise(reads[1:])]
    assert all(pause >= interval for pause in pauses)
    # Nothing had changed.
    assert len(clients) == 1


def test_a_connection_that_cannot_be_read_is_read_once_an_interval(
    reads: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"AIRFLOW_CONN_{CONN_ID.upper()}")
    interval = 0.3

    async def all_at_once() -> None:
        waits = [asyncio.create_task(fire(trigger(poke_interval=interval))) for _ in range(100)]
        await until(lambda: len(reads) == 5)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(all_at_once())
    assert all(later - earlier >= interval for earlier, later in itertools.pairwise(reads))


def test_failures_at_the_same_time_share_a_reading(cloud: CloudEmulator, reads: list[float]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def at_the_same_time() -> list[Any]:
        connections = [TriggerConnection(CONN_ID, is_final=lambda _: True) for _ in range(50)]
        for connection in connections:
            await connection.fetch(QUERY, max_age=60)
        assert len(reads) == 1
        cloud.fail(status=404)
        failures = await asyncio.gather(
            *(connection.fetch(QUERY) for connection in connections), return_exceptions=True
        )
        for connection in connections:
            await connection.__aexit__()
        return failures

    failures = asyncio.run(at_the_same_time())
    assert {getattr(failure, "status_code", None) for failure in failures} == {404}
    assert len(reads) == 2


def test_no_failure_is_final_by_an_earlier_reading(
    cloud: CloudEmulator, reads: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def change() -> None:
        async with TriggerConnection(CONN_ID, is_final=lambda error: not error.transient) as connection:
            await connection.fetch(QUERY, read_age=60)
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
            await connection.fetch(QUERY, read_age=60)
            assert len(reads) == 2
            # What is not final can wait for the next poll.
            cloud.fail(status=503)
            with pytest.raises(OceanBaseUnavailableError):
                await connection.fetch(QUERY, read_age=60)
            assert len(reads) == 2

    asyncio.run(change())


def test_refusal_is_confirmed_by_a_request_of_its_own(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def refused_once() -> None:
        async with (
            TriggerConnection(CONN_ID, is_final=lambda _: True) as one,
            TriggerConnection(CONN_ID, is_final=lambda _: True) as other,
        ):
            await one.fetch(QUERY)
            await other.fetch(QUERY)
            max_age = 0.05
            await until(lambda: other.age > max_age)
            cloud.fail(status=403)
            # Else the answer to the first would do for the second.
            assert (await one.fetch(QUERY, max_age=max_age)).data["status"] == "DOING"

    asyncio.run(refused_once())


def test_changed_connection_is_used_by_all_and_the_former_client_closes(
    cloud: CloudEmulator, reads: list[float], clients: list[AiohttpClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))

    async def change() -> None:
        async with TriggerConnection(CONN_ID) as one, TriggerConnection(CONN_ID) as other:
            await one.fetch(QUERY)
            await other.fetch(QUERY)
            former = clients[0]
            cloud.rotate_key("new-key", "new-secret")
            monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
            before = len(cloud.requests)
            await one.fetch(QUERY)
            assert not former._closed
            refused = len([seen for seen in cloud.requests[before:] if not seen.authorized])
            await other.fetch(QUERY)
            # The other has learned of the new key without a refusal of the former.
            assert len([seen for seen in cloud.requests[before:] if not seen.authorized]) == refused
            assert former._closed
            assert [endpoint.access_key_id for _, endpoint in shared_poll._clients] == ["new-key"]
        assert (len(clients), len(reads)) == (2, 2)

    asyncio.run(change())
    assert trigger_connection._connections == {}


def test_reading_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_connection, "READ_SECONDS", 0.05)
    readings = []

    async def hang(conn_id: str) -> Any:
        readings.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(trigger_connection, "read_connection", hang)

    async def unread() -> None:
        async with TriggerConnection(CONN_ID) as connection:
            for _ in range(2):
                with pytest.raises(OceanBaseUnavailableError, match=r"not readable \(TimeoutError\)"):
                    await connection.fetch(QUERY)
            # It goes on, and is not begun a second time.
            assert len(readings) == 1
            assert readings[0] is not None
            assert not readings[0].done()

    asyncio.run(unread())


def test_cancelled_wait_leaves_the_reading_to_the_others(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    read = trigger_connection.read_connection

    async def cancelled() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(conn_id: str) -> Any:
            begun.set()
            await go_on.wait()
            return await read(conn_id)

        monkeypatch.setattr(trigger_connection, "read_connection", slow)
        async with TriggerConnection(CONN_ID) as one, TriggerConnection(CONN_ID) as other:
            fetches = [asyncio.create_task(connection.fetch(QUERY)) for connection in (one, other)]
            await begun.wait()
            fetches[0].cancel()
            await asyncio.wait(fetches[:1])
            go_on.set()
            assert (await fetches[1]).data["status"] == "DOING"

    asyncio.run(cancelled())
    assert not trigger_connection._readings


def test_watch_warns_of_each_connection_without_encryption(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    async def unencrypted() -> None:
        async with TriggerConnection(CONN_ID, logging.getLogger("tests")) as connection:
            for host in ("http://one.invalid", "http://one.invalid", "http://two.invalid"):
                set_connection(monkeypatch, host=host, extra={"timeout": 0.1})
                with pytest.raises(OceanBaseCloudError):
                    await connection.fetch(QUERY)

    asyncio.run(unencrypted())
    said = logged()
    assert [said.count(f"answers from http://{name}.invalid can be changed") for name in ("one", "two")] == [
        1,
        1,
    ]


def test_polls_make_no_timers_of_days(cloud: CloudEmulator) -> None:
    """The event loop may keep a timer that is cancelled for as long as it would have run."""
    for number in range(30):
        cloud.add_backup_set("ob-1", f"bak-{number}", statuses=("DOING",))

    async def scenario() -> int:
        loop, waits = asyncio.get_running_loop(), []
        loop.call_at = Mock(wraps=loop.call_at)  # type: ignore[method-assign]
        for number in range(30):
            wait = trigger(backup_task_id=f"bak-{number}", poke_interval=0.2, timeout=604800)
            waits.append(asyncio.create_task(fire(wait)))
            # The first one reads the connection, and has a timer until it knows how long its poll may take.
            await until(lambda sent=number: len(cloud.requests) > sent)
        await until(lambda: all(cloud.polls("ob-1", f"bak-{number}") > 2 for number in range(30)))
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return sum(call.args[0] - loop.time() > 3600 for call in loop.call_at.mock_calls)

    assert asyncio.run(scenario()) == 1
