"""Triggers that share polls and store their state, as Airflow 3.3 runs them."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any
from unittest.mock import AsyncMock

import pytest
from watches import KEY, NOW, Store, listings, running, trigger, until

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.triggers import BackupSetEventTrigger
from airflow_provider_oceanbase.watching.cursor import Cursor
from airflow_provider_oceanbase.watching.listings import BackupSetLister

# Skips each test, not the file: pytest fails if it has no tests. Imports that need Airflow 3.3 are where they
# are used.
pytestmark = pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="Airflow shares polls from 3.3 on"
)


@pytest.fixture
def cancelled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time within which Airflow cancels replaced triggers."""
    monkeypatch.setattr("airflow_provider_oceanbase.watching.stream.CANCELLED_WITHIN", 0.05)


def test_triggers_share_a_poll_and_apply_their_own_criteria(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"), validity="INVALID")
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DOING", "DOING", "DOING", "DONE"))

    async def watch() -> None:
        stores = [Store() for _ in range(10)]
        async with running() as triggerer:
            fired = [
                triggerer.run(trigger(require_valid=bool(n % 2)), store) for n, store in enumerate(stores)
            ]
            await until(lambda: all("bak-2" in store.reported for store in stores))
            for number, events in enumerate(fired):
                assert events == ([["bak-2"]] if number % 2 else [["bak-1"], ["bak-2"]])
            assert len({trigger().shared_stream_key(), trigger(require_valid=False).shared_stream_key()}) == 1
            # Ten triggers send as many requests as one.
            assert cloud.polls("ob-1", "bak-2") == listings(cloud)

    asyncio.run(watch())


@pytest.mark.parametrize(
    "other", [{"instance_id": "ob-2"}, {"oceanbase_conn_id": "other"}, {"poke_interval": 0.06}]
)
def test_different_triggers_share_no_poll(other: dict[str, Any]) -> None:
    assert trigger().shared_stream_key() != trigger(**other).shared_stream_key()


def test_restart_leaves_neither_gaps_nor_duplicates(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    cloud.add_backup_set("ob-1", "bak-long", statuses=("DOING",), start_time=NOW - timedelta(days=5))
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    store = Store()

    async def watch(*expected: list[str]) -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: len(fired) == len(expected) and set(expected[-1]) <= store.reported)
            assert fired == list(expected)

    asyncio.run(watch(["bak-1"]))
    cloud.set_status("ob-1", "bak-long", "DONE")
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DONE",), end_time=NOW - timedelta(hours=1))
    asyncio.run(watch(["bak-2", "bak-long"]))


def test_first_start_is_saved_at_once(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    store = Store()

    async def killed() -> None:
        async with running() as triggerer:
            triggerer.run(trigger(poke_interval=1000), store)
            await until(lambda: store.calls == 2)

    async def restarted() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(poke_interval=1000), store)
            await until(lambda: bool(fired))
            assert fired == [["bak-new"]]

    asyncio.run(killed())
    # Long before the time within which an event's trigger would be cancelled.
    assert store.reported == {"bak-old"}
    cloud.add_backup_set("ob-1", "bak-new", statuses=("DONE",))
    asyncio.run(restarted())


def test_nothing_is_saved_before_the_event_is_in_the_database(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    store = Store()

    async def killed() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(), store)
            await until(lambda: bool(fired))
            polls = listings(cloud)
            await until(lambda: listings(cloud) > polls + 3)
            assert fired == [["bak-1"]]
            assert store.reported == set()

    async def restarted() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]

    asyncio.run(killed())
    asyncio.run(restarted())


# The interval ends before the cancellation, in the middle of it, and never.
@pytest.mark.parametrize("poke_interval", [0.05, 0.3, 1000])
def test_event_that_no_asset_received_is_not_saved(poke_interval: float, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(datetime.now(UTC)).to_json())

    async def changed_dag() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(poke_interval=poke_interval), store)
            await until(lambda: fired == [["bak-1"]])
            # The DAG has another trigger now: Airflow confirms this one's event, but drops it. It creates the
            # other trigger first, which takes as long as an import, and then cancels this one.
            triggerer.persist()
            await asyncio.sleep(0.5)
            await triggerer.cancel()

    async def other_trigger() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(poke_interval=1001), store)
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]

    asyncio.run(changed_dag())
    assert store.reported == set()
    asyncio.run(other_trigger())


def test_blocked_event_loop_does_not_shorten_the_cancellation(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_oceanbase.watching.stream.CANCELLED_WITHIN", 0.4)
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(datetime.now(UTC)).to_json())

    async def changed_dag() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(), store)
            await until(lambda: fired == [["bak-1"]])
            triggerer.persist()
            # Until the listing is settled. Then Airflow imports the other trigger.
            await asyncio.sleep(0.05)
            time.sleep(0.6)
            await asyncio.sleep(0.05)
            await triggerer.cancel()

    asyncio.run(changed_dag())
    assert store.reported == set()


def test_only_events_that_are_in_the_database_are_saved(cloud: CloudEmulator, cancelled_soon: None) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DOING", "DOING", "DOING", "DONE"))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(), store)
            await until(lambda: fired == [["bak-1"], ["bak-2"]])
            triggerer.persist(1)
            await until(lambda: store.reported == {"bak-1"})
            polls = listings(cloud)
            await until(lambda: listings(cloud) > polls + 5)
            assert store.reported == {"bak-1"}
            triggerer.persist()
            await until(lambda: store.reported == {"bak-1", "bak-2"})

    asyncio.run(watch())


def test_outage_keeps_no_event_from_being_saved(cloud: CloudEmulator, cancelled_soon: None) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(), store)
            await until(lambda: fired == [["bak-1"]])
            cloud.fail(times=10_000)
            polls = len(cloud.requests)
            await until(lambda: len(cloud.requests) > polls + 3)
            triggerer.persist()
            await until(lambda: store.reported == {"bak-1"})

    asyncio.run(watch())
    assert cloud.requests[-1].status == 503


def test_bug_in_a_poll_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackupSetLister, "next", AsyncMock(side_effect=RuntimeError("a bug")))

    async def watch() -> None:
        producer = BackupSetEventTrigger.create_shared_stream_producer(trigger().serialize()[1])
        async with asyncio.timeout(30):
            await anext(producer.open_stream())

    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(watch())


def test_slow_database_delays_saving(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
    cloud.add_backup_set("ob-1", "bak-2", statuses=("DOING", "DOING", "DOING", "DONE"))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(), store)
            await until(lambda: len(fired) == 2)
            triggerer.persist()
            await until(lambda: store.reported == {"bak-1", "bak-2"})
            assert fired == [["bak-1"], ["bak-2"]]

    asyncio.run(watch())


def test_triggerer_that_was_down_for_weeks_catches_up(cloud: CloudEmulator, cancelled_soon: None) -> None:
    began = datetime.now(UTC) - timedelta(days=30)
    store = Store()
    store.values[KEY] = json.dumps(Cursor(began, {"bak-known": began}).to_json())
    for name, days in {"bak-known": 30, "bak-1": 29, "bak-2": 1}.items():
        start = datetime.now(UTC) - timedelta(days=days)
        cloud.add_backup_set("ob-1", name, statuses=("DONE",), start_time=start, end_time=start)

    async def watch() -> None:
        async with running() as triggerer:
            # Completed sets are reported without a pause.
            fired = triggerer.run(trigger(poke_interval=1000), store)
            await until(lambda: "bak-2" in store.reported)
            assert fired == [["bak-1", "bak-2"]]
            assert listings(cloud) == 2

    asyncio.run(watch())


def test_idle_instance_is_listed_since_its_last_backup(cloud: CloudEmulator) -> None:
    store = Store()
    idle = datetime.now(UTC) - timedelta(days=90)
    store.values[KEY] = json.dumps(Cursor(idle).to_json())

    async def watch() -> None:
        async with running() as triggerer:
            triggerer.run(trigger(), store)
            await until(lambda: listings(cloud) >= 6)

    asyncio.run(watch())
    since = [request.query["startTime"][:10] for request in cloud.requests if request.status == 200]
    assert since[1:] == [str(idle.date())] * (len(since) - 1)
