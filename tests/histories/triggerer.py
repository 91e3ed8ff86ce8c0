"""Airflow's triggerer, simulated: it runs what is stored, shares streams, and may be killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from airflow.triggers.shared_stream import SharedStreamManager
from histories.clock import Kill, Killed, Loop, Process
from histories.world import Store, World

from airflow_provider_oceanbase.triggers import (
    BackupCheckpointTrigger,
    BackupSetEventTrigger,
    BackupSetTrigger,
    RestorablePointTrigger,
)

#: Seconds from an event to the database, and from there to the confirmation.
_STORED_AFTER = 1.0
_CONFIRMED_AFTER = 1.0


@dataclass(eq=False)
class Stored:
    """A trigger in Airflow's database.

    :param fired: called with each event that is in the database
    :param store: the state of the asset that it watches, None for the trigger of a task
    :param prepare: called with the trigger, if no worker has begun its wait
    """

    path: str
    arguments: str
    fired: Callable[[Any], object]
    store: Store | None = None
    prepare: Callable[[Any], object] | None = None

    @classmethod
    def of(cls, trigger: Any, fired: Callable[[Any], object], store: Store | None = None) -> Stored:
        path, arguments = trigger.serialize()
        return cls(path, json.dumps(arguments), fired, store)

    def build(self) -> Any:
        classes = (
            BackupSetTrigger,
            BackupCheckpointTrigger,
            RestorablePointTrigger,
            BackupSetEventTrigger,
        )
        (found,) = (one for one in classes if self.path == f"{one.__module__}.{one.__qualname__}")
        trigger = found(**json.loads(self.arguments))
        if self.store is not None:
            trigger.asset_state_store = self.store
        if self.prepare is not None:
            self.prepare(trigger)
        return trigger


class Triggerer:
    """Runs the triggers of a database."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stored: list[Stored] = []
        self._tasks: dict[Stored, asyncio.Task[None]] = {}
        self._loop: Loop | None = None
        self._manager: SharedStreamManager | None = None
        #: What ended a trigger, which Airflow does not restart.
        self.failed: list[Exception] = []
        #: When it was last started or stopped.
        self.changed = 0.0

    @property
    def is_running(self) -> bool:
        return self._loop is not None

    def add(self, stored: Stored) -> None:
        self._stored.append(stored)
        if self._loop is not None:
            self._tasks[stored] = self._loop.create_task(self._run(stored))

    def remove(self, stored: Stored) -> None:
        """Cancel a trigger that is wanted no more."""
        if stored in self._stored:
            self._stored.remove(stored)
        if (task := self._tasks.pop(stored, None)) is not None:
            task.cancel()

    def start(self, kill: Kill | None = None) -> None:
        """Start it; it is killed, if that is given."""
        self.changed = self._world.clock.now
        process = self._world.triggerer = Process(
            "triggerer", kill=kill, died=lambda: self._world.clock.later(0.0, self._clean_up)
        )
        self._loop = Loop(self._world.clock, spins=lambda: self._world.floods(process))
        self._world.clock.loop = self._loop
        self._manager = SharedStreamManager(_now=self._world.clock.monotonic)
        for stored in list(self._stored):
            self._tasks[stored] = self._loop.create_task(self._run(stored))

    def kill(self) -> None:
        """Kill it like SIGKILL."""
        if self._world.triggerer is not None:
            self._world.triggerer.kill()

    def _clean_up(self) -> None:
        """Remove what is left of a dead process; nothing in here has an effect outside."""
        loop = self._loop
        assert loop is not None
        self.changed = self._world.clock.now
        self._loop = self._manager = self._world.clock.loop = None
        self._tasks.clear()
        for _ in range(20):
            if not (left := asyncio.all_tasks(loop)):
                break
            for task in left:
                task.cancel()
            loop.run_until(self._world.clock.now)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        self._world.triggerer = None

    async def _run(self, stored: Stored) -> None:
        trigger = stored.build()
        try:
            if stored.store is not None:
                await self._watch(stored, trigger)
                raise AssertionError("the watch ended")
            async with aclosing(trigger.run()) as events:
                async for event in events:
                    self._persist(stored, event, None)
                    return
            raise AssertionError("the trigger ended without an event")
        except Exception as error:
            process = self._world.triggerer
            if process is not None and not process.dead:
                self.failed.append(error)

    async def _watch(self, stored: Stored, trigger: Any) -> None:
        assert self._manager is not None
        manager, number, key = self._manager, id(stored), trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                self._persist(stored, event, manager.bind_pending_event(trigger_id=number, key=key))
        finally:
            await manager.unsubscribe(number, key)

    def _persist(self, stored: Stored, event: Any, sequence: int | None) -> None:
        payload = json.dumps(event.payload)
        process, manager = self._world.triggerer, self._manager
        assert process is not None

        def store() -> None:
            # The triggerer sends it; one that is dead does not, or is killed just before.
            try:
                process.effect("event")
            except Killed:
                return
            if stored not in self._stored:
                return
            if sequence is None:
                self.remove(stored)
            else:
                self._world.clock.later(_CONFIRMED_AFTER, confirm)
            stored.fired(json.loads(payload))

        def confirm() -> None:
            if not process.dead and manager is not None:
                manager.confirm_persisted([sequence])

        self._world.clock.later(_STORED_AFTER, store)
