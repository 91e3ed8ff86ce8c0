"""Triggers that share polls and store their state, as Airflow 3.3 runs them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

import pytest
from watches import NOW, trigger, until

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.triggers import BackupSetEventTrigger
from airflow_provider_oceanbase.watching.cursor import Cursor

# Skips each test, not the file: pytest fails if it has no tests. Imports that need Airflow 3.3 are where they
# are used.
pytestmark = pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="Airflow shares polls from 3.3 on"
)
KEY = "oceanbase_backup_sets/oceanbase_default/ob-1"


class Store:
    """The state of one asset, as JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.error: Exception | None = None
        self.calls = 0

    async def aget(self, key: str) -> Any:
        self._call()
        return json.loads(self.values[key]) if key in self.values else None

    async def aset(self, key: str, value: Any) -> None:
        self._call()
        self.values[key] = json.dumps(value)

    def _call(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    @property
    def reported(self) -> set[str]:
        return set(json.loads(self.values[KEY])["reported"]) if KEY in self.values else set()


class Triggerer:
    """Runs triggers that share polls as Airflow's triggerer does; tests decide when it persists events."""

    def __init__(self) -> None:
        from airflow.triggers.shared_stream import SharedStreamManager

        self.manager = SharedStreamManager()
        #: IDs of the backup sets of each event, by trigger.
        self.fired: dict[int, list[list[str]]] = {}
        self.persists = True
        self._unconfirmed: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, watch: BackupSetEventTrigger, store: Any) -> list[list[str]]:
        """Run a trigger; return the growing list of its events."""
        number = len(self.fired)
        watch.asset_state_store = store
        self.fired[number] = []
        self._tasks.append(asyncio.create_task(self._run(number, watch)))
        return self.fired[number]

    async def _run(self, number: int, watch: BackupSetEventTrigger) -> None:
        key = watch.shared_stream_key()
        stream = self.manager.subscribe(trigger_id=number, trigger=watch, key=key)
        try:
            async for event in watch.filter_shared_stream(stream):
                seq = self.manager.bind_pending_event(trigger_id=number, key=key)
                assert seq is not None
                self.fired[number].append([one["backupSetId"] for one in event.payload["backup_sets"]])
                self._unconfirmed.append(seq)
                if self.persists:
                    asyncio.get_running_loop().call_soon(self.persist)
        finally:
            await self.manager.unsubscribe(number, key)

    def persist(self) -> None:
        """Confirm that the events are in the database."""
        confirmed, self._unconfirmed = self._unconfirmed, []
        self.manager.confirm_persisted(confirmed)

    async def cancel(self) -> None:
        """Cancel the triggers; others can run after that."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def stop(self) -> None:
        assert not any(task.done() for task in self._tasks)
        if self._tasks:
            await self.cancel()
        await self.manager.stop_all()


@asynccontextmanager
async def running() -> AsyncIterator[Triggerer]:
    triggerer = Triggerer()
    try:
        yield triggerer
    finally:
        await triggerer.stop()


@pytest.fixture
def cancelled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time within which Airflow cancels replaced triggers."""
    monkeypatch.setattr("airflow_provider_oceanbase.watching.stream.CANCELLED_WITHIN", 0.05)


def listings(cloud: CloudEmulator) -> int:
    return sum(request.status == 200 and request.query["pageNumber"] == "1" for request in cloud.requests)


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


def test_first_start_is_saved_soon(cloud: CloudEmulator, cancelled_soon: None) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            # Without a second poll.
            triggerer.run(trigger(poke_interval=1000), store)
            await until(lambda: store.reported == {"bak-old"})

    asyncio.run(watch())


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


def test_event_that_no_asset_received_is_not_saved(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(datetime.now(UTC)).to_json())

    async def changed_dag() -> None:
        async with running() as triggerer:
            triggerer.persists = False
            fired = triggerer.run(trigger(poke_interval=1000), store)
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


def test_store_that_cannot_be_read_is_read_again(
    cloud: CloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(datetime.now(UTC)).to_json())
    store.error = ConnectionError("the API server is away")

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.calls >= 3)
            assert fired == []
            store.error = None
            await until(lambda: store.reported == {"bak-1"})
            # A first start would not report it.
            assert fired == [["bak-1"]]

    asyncio.run(watch())


def test_store_that_cannot_be_written_is_written_again(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: KEY in store.values)
            store.error = ConnectionError("the API server is away")
            await until(lambda: bool(fired))
            calls = store.calls
            await until(lambda: store.calls >= calls + 2)
            store.error = None
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]

    asyncio.run(watch())


def test_state_is_written_only_when_it_changes(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            triggerer.run(trigger(), store)
            await until(lambda: listings(cloud) >= 10)

    asyncio.run(watch())
    # Read once, written once.
    assert store.calls == 2


def test_unreadable_state_is_replaced(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    store = Store()
    store.values[KEY] = '"nonsense"'

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.values[KEY] != '"nonsense"')
            assert store.reported == {"bak-old"}
            assert fired == []

    asyncio.run(watch())
    assert "cannot be understood; the watch starts over" in logged()


def test_assets_with_equal_triggers_are_logged(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    # The real class: it has no accessor for one of several assets.
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    store = AssetStateStoreAccessors([Asset("one"), Asset("other")])

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: fired == [["bak-1"]])

    asyncio.run(watch())
    assert "several assets have equal triggers" in logged()
