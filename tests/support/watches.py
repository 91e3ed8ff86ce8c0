"""What tests of BackupSetEventTrigger share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

NOW = datetime.now(UTC)
#: Where the state of an asset has the record of the trigger.
KEY = "oceanbase_backup_sets/oceanbase_default/ob-1"


def trigger(**options: Any) -> BackupSetEventTrigger:
    """Return a trigger as the triggerer builds it from the database."""
    path, arguments = BackupSetEventTrigger(
        **{"instance_id": "ob-1", "poke_interval": 0.05} | options
    ).serialize()
    assert path == "airflow_provider_oceanbase.triggers.BackupSetEventTrigger"
    return BackupSetEventTrigger(**json.loads(json.dumps(arguments)))


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


class Store:
    """The state of one asset, as JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.error: Exception | None = None
        self.hangs = False
        self.calls = 0

    async def aget(self, key: str) -> Any:
        await self._call()
        return json.loads(self.values[key]) if key in self.values else None

    async def aset(self, key: str, value: Any) -> None:
        await self._call()
        self.values[key] = json.dumps(value)

    async def _call(self) -> None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
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

    def persist(self, count: int | None = None) -> None:
        """Confirm that the events are in the database: all, or so many."""
        confirmed = self._unconfirmed[:count]
        del self._unconfirmed[: len(confirmed)]
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


def listings(cloud: CloudEmulator) -> int:
    return sum(request.status == 200 and request.query["pageNumber"] == "1" for request in cloud.requests)
