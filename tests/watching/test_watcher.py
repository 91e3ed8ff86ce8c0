"""What a watcher remembers, and what comes of it if the store of Airflow 3.3 fails."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import pytest
from conftest import backup_set
from hypothesis import given, settings
from hypothesis import strategies as st
from watches import KEY, NOW, Store, listings, running, trigger, until

from airflow_provider_oceanbase.cloud.backup_set import BackupSet
from airflow_provider_oceanbase.compat.sdk import is_shared_state
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.watching.cursor import Criteria, Cursor
from airflow_provider_oceanbase.watching.listings import Listing
from airflow_provider_oceanbase.watching.watcher import Watcher

# As in test_stream.py.
pytestmark = pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="Airflow shares polls from 3.3 on"
)


class ValidationError(ValueError):
    """Stands for that of pydantic, which not each Airflow brings."""


#: Some are ValueErrors, as Airflow's is if several assets share a trigger.
ERRORS = [
    ConnectionError("the API server is away"),
    RuntimeError(""),
    TimeoutError(),
    ValueError("Cannot set value as None"),
    json.JSONDecodeError("no JSON", "", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ValidationError("1 validation error"),
]
errors = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@pytest.fixture(autouse=True)
def cancelled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time within which Airflow cancels replaced triggers."""
    monkeypatch.setattr("airflow_provider_oceanbase.watching.stream.CANCELLED_WITHIN", 0.05)


@pytest.fixture
def store_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_oceanbase.watching.watcher._STORE_SECONDS", 0.1)


def known() -> Store:
    """Return a store with the record of a watch that has reported nothing."""
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(datetime.now(UTC)).to_json())
    return store


def failures(text: str) -> list[str]:
    """Return the log lines about the store."""
    lines = [line for line in text.splitlines() if "The record of reported backup sets " in line]
    names = "watch of instance 'ob-1', connection 'oceanbase_default'"
    assert all(names in line for line in lines)
    return lines


@errors
def test_store_that_cannot_be_read_is_read_again(
    error: Exception, cloud: CloudEmulator, logged: Callable[[], str]
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = known()
    store.error = error

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
    text = logged()
    line, over = failures(text)
    assert "sets is read again after " in over
    # The text of the error may hold the password of the store.
    assert f"cannot be read; each poll tries again ({type(error).__name__})" in line
    assert not str(error) or str(error) not in text


def test_set_that_completes_while_the_first_start_cannot_read_is_reported(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-old", statuses=("DONE",))
    store = Store()
    store.error = ConnectionError("the API server is away")

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.calls >= 2)
            cloud.add_backup_set("ob-1", "bak-new", statuses=("DONE",))
            calls = store.calls
            await until(lambda: store.calls >= calls + 2)
            store.error = None
            await until(lambda: store.reported == {"bak-old", "bak-new"})
            assert fired == [["bak-new"]]

    asyncio.run(watch())


def test_watch_that_began_by_a_clock_days_ahead_reports_sets(cloud: CloudEmulator) -> None:
    store = Store()
    store.values[KEY] = json.dumps(Cursor.start(NOW + timedelta(days=30)).to_json())

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            count = listings(cloud)
            await until(lambda: listings(cloud) >= count + 2)
            # Nothing to report changes nothing: if it is this clock that is wrong, the record was right.
            assert datetime.fromisoformat(json.loads(store.values[KEY])["since"]) > NOW
            cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]
            assert datetime.fromisoformat(json.loads(store.values[KEY])["since"]) < NOW

    asyncio.run(watch())


@errors
def test_store_that_cannot_be_written_is_written_again(
    error: Exception, cloud: CloudEmulator, logged: Callable[[], str]
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: KEY in store.values)
            store.error = error
            await until(lambda: bool(fired))
            calls = store.calls
            await until(lambda: store.calls >= calls + 2)
            store.error = None
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]

    asyncio.run(watch())
    line, over = failures(logged())
    assert "cannot be saved; each poll tries again" in line
    assert f"key {KEY!r}." in line
    assert "sets is saved again after " in over


def test_store_that_hangs_is_used_again(cloud: CloudEmulator, store_times_out: None) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    store = known()
    store.hangs = True

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.calls >= 2)
            store.hangs = False
            await until(lambda: bool(fired))
            store.hangs = True
            calls = store.calls
            await until(lambda: store.calls >= calls + 2)
            store.hangs = False
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]

    asyncio.run(watch())


class History:
    """A watcher that is killed again and again; its store, which may fail; Airflow's database."""

    def __init__(self) -> None:
        self.store = Store()
        self.sets: list[BackupSet] = []
        #: IDs of the sets that completed after the watch was first recorded.
        self.expected: set[str] = set()
        self.in_database: Counter[str] = Counter()
        self.polls = self.kills = 0
        self.start()

    def start(self) -> None:
        self.watcher = Watcher(
            instance_id="ob-1",
            oceanbase_conn_id="oceanbase_default",
            criteria=Criteria(("DONE",), require_valid=False),
            store=self.store,
            log=logging.getLogger("tests.history"),
        )
        #: Events on their way into the database, by the numbers of their listings.
        self.events: deque[tuple[int, list[str]]] = deque()
        self.stored = 0

    async def complete(self) -> None:
        name = f"bak-{len(self.sets)}"
        self.sets.append(backup_set(backupSetId=name, startTime=NOW.isoformat()))
        if self.store.values:
            self.expected.add(name)
        await self.poll()

    async def poll(self) -> None:
        self.polls += 1
        listing = Listing(self.polls, list(self.sets), NOW - timedelta(days=30), lambda _: None)
        new = await self.watcher.take(listing)
        self.events.append((self.polls, [one["backupSetId"] for one in new]))

    async def store_event(self) -> None:
        if self.events:
            self.stored, names = self.events.popleft()
            self.in_database.update(names)

    async def confirm(self) -> None:
        await self.watcher.save(self.stored)

    async def kill(self) -> None:
        self.kills += 1
        self.start()

    async def fail(self) -> None:
        self.store.error = ConnectionError("the API server is away")

    async def recover(self) -> None:
        self.store.error = None


STEPS = [History.complete, History.store_event, History.confirm]
STEPS += [History.kill, History.fail, History.recover]


@pytest.mark.thorough
# Short, and many: what loses a set takes about eight steps in their right order.
@settings(max_examples=1000)
@given(st.lists(st.sampled_from(STEPS), min_size=8, max_size=16))
def test_no_set_is_lost_in_any_history(steps: list[Callable[[History], Awaitable[None]]]) -> None:
    async def live() -> None:
        history = History()
        for step in [*steps, History.recover, History.poll]:
            await step(history)
        while history.events:
            await history.store_event()
        await history.confirm()
        assert history.expected <= history.in_database.keys()
        assert max(history.in_database.values(), default=0) <= 1 + history.kills

    asyncio.run(live())


def test_sets_that_run_for_too_long_are_logged(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    now = datetime.now(UTC)
    store = Store()
    store.values[KEY] = json.dumps(Cursor(now - timedelta(days=20)).to_json())
    for number in range(7):
        start = now - timedelta(days=19, minutes=-number)
        cloud.add_backup_set("ob-1", f"bak-long-{number}", statuses=("DOING",), start_time=start)
    cloud.add_backup_set("ob-1", "bak-failed", statuses=("FAILED",), start_time=now - timedelta(days=19))
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: store.reported == {"bak-1"})
            assert fired == [["bak-1"]]
            polls = listings(cloud)
            await until(lambda: listings(cloud) >= polls + 3)

    asyncio.run(watch())
    (line,) = [line for line in logged().splitlines() if "that no event will report" in line]
    assert "for more than 7 days" in line
    assert "7 (bak-long-6, bak-long-5, bak-long-4, bak-long-3, bak-long-2, …)" in line


def test_complete_sets_without_times_are_logged_once(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    for number, odd in enumerate(
        [{"startTime": None, "endTime": "soon"}, {"startTime": "9999-01-01T00:00:00Z"}]
    ):
        cloud.add_backup_set("ob-1", f"bak-{number}", statuses=("DOING", "DONE"), **odd)
    store = Store()

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: listings(cloud) >= 6)
            assert fired == []

    asyncio.run(watch())
    text = logged()
    assert text.count("Backup sets that no event reports: 2 (bak-") == 1
    assert text.count("Their startTime is missing, unreadable or in the future; that of the last one: ") == 1


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

    assert not is_shared_state(AssetStateStoreAccessors([Asset("one")]))
    assert not is_shared_state(Store())
    store = AssetStateStoreAccessors([Asset("one"), Asset("other")])

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: fired == [["bak-1"]])

    asyncio.run(watch())
    assert "several assets have equal triggers" in logged()
