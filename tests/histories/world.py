"""What surrounds the tasks of a history: Airflow's connection and stores, OceanBase Cloud, the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from histories.clock import Clock, Process, current_worker, simulated
from histories.cloud import ADDRESS, Backup, Cloud
from histories.wire import connected

from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException, BaseHook, Connection

CONN_ID = "oceanbase_default"
#: The most effects that a process may have within a minute.
_MOST_EFFECTS = 600
#: States of the connection: right, or wrong in one way.
CONNECTIONS = ("right", "wrong host", "wrong key", "wrong project", "other project", "missing", "unreadable")
#: What a store, or the place where connections are kept, may raise while it is away.
ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("API_SERVER_ERROR"),
    lambda: ValueError("Expecting value: line 1 column 1 (char 0)"),
    lambda: OSError("no route"),
    lambda: TimeoutError(),
)


class World:
    """The surroundings; use it with :meth:`running`."""

    def __init__(self, *, started: Callable[[Backup, dict[str, Any]], None]) -> None:
        self.clock = Clock()
        self.cloud = Cloud(self.clock, self.effect, started, self.trouble)
        self.connection = "right"
        #: When the connection was last changed.
        self.connection_changed = 0.0
        #: Where the connection has led, each a port and a project, and until when.
        self._endpoints: dict[tuple[int, str], float] = {}
        #: When something was last in trouble, by what.
        self.troubles: dict[str, float] = {}
        self.error = ERRORS[0]
        #: The process of the triggerer, None while there is none.
        self.triggerer: Process | None = None
        #: The process that had too many effects within a minute.
        self.flooding: str | None = None
        self._minute = 0
        self._effects: dict[Process, int] = {}
        #: Seconds that the connection gives a server to answer.
        self.timeout = 30.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the provider meet these surroundings."""

        async def read_connection_soon(conn_id: str) -> Connection:
            return self._read_connection(conn_id)

        from airflow.models.connection import Connection as DatabaseConnection

        with (
            simulated(self.clock),
            connected(self.cloud, self._sleep),
            patch.object(BaseHook, "get_connection", self._read_connection),
            patch.object(BaseHook, "aget_connection", read_connection_soon),
            # Outside Airflow's own processes, the hook looks there for a connection that is missing.
            patch.object(DatabaseConnection, "get_connection_from_secrets", self._read_connection),
        ):
            yield

    def effect(self, kind: str = "") -> None:
        """Count an effect of the process that runs; it may be killed here."""
        process: Process | None = current_worker() or self.triggerer
        if process is not None:
            self._count_effects(process)
            process.effect(kind)

    def _count_effects(self, process: Process) -> None:
        minute = int(self.clock.now // 60)
        if minute != self._minute:
            self._minute, self._effects = minute, {}
        self._effects[process] = self._effects.get(process, 0) + 1
        if self._effects[process] > _MOST_EFFECTS:
            self.floods(process)

    def floods(self, process: Process) -> None:
        """Take note of a process that does too much, and end it."""
        self.flooding = process.name
        process.kill()

    def change_connection(self, state: str) -> None:
        self._endpoints[self.endpoint] = self.clock.now
        self.connection = state
        self.connection_changed = self.clock.now

    def jump(self, seconds: float) -> None:
        """Set Airflow's clock wrong, by seconds; 0 sets it right."""
        self.clock.error = seconds
        self.trouble("clock")

    def trouble(self, what: str) -> None:
        # Whoever still uses a connection that has been fixed is to blame.
        if what != "connection" or self.connection != "right":
            self.troubles[what] = self.clock.now

    def troubled_since(self, moment: float, *kinds: str) -> bool:
        """Return whether there was trouble, of some kinds or any, at a time or later."""
        return any(at >= moment for kind, at in self.troubles.items() if not kinds or kind in kinds)

    @property
    def endpoint(self) -> tuple[int, str]:
        """Port and project of the connection."""
        _, port = ADDRESS
        project = {"wrong project": "no-such", "other project": "p2"}.get(self.connection, "p1")
        return port + 1 if self.connection == "wrong host" else port, project

    def endpoints_since(self, moment: float) -> set[tuple[int, str]]:
        """Return where the connection has led since a time."""
        return {self.endpoint} | {one for one, until in self._endpoints.items() if until >= moment}

    def projects_since(self, moment: float) -> set[str]:
        """Return the projects that the connection has named since a time."""
        return {project for _, project in self.endpoints_since(moment)}

    def _sleep(self, seconds: float) -> None:
        worker = current_worker()
        assert worker is not None
        worker.sleep(seconds)

    def _read_connection(self, conn_id: str) -> Connection:
        self.effect()
        state = self.connection
        if state == "unreadable":
            self.trouble("away")
            raise self.error()
        if state == "missing":
            self.trouble("connection")
            raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")
        host, _ = ADDRESS
        port, project = self.endpoint
        extra = {"project_id": project, "timeout": self.timeout, "verify": False}
        return Connection(
            conn_id=conn_id,
            conn_type="oceanbase",
            host=f"http://{host}",
            port=port,
            login="key-0" if state == "wrong key" else self.cloud.key,
            password="the-secret",
            extra=json.dumps(extra),
        )


class Store:
    """The state that Airflow keeps for a task or an asset; it may be away."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._values: dict[str, str] = {}
        #: How many of the next uses fail.
        self.failures = 0
        #: When a value was first read, and when one was first stored.
        self.read: float | None = None
        self.stored: float | None = None

    def wipe(self) -> None:
        """Be the store of another task instance."""
        self._values.clear()

    def _use(self) -> None:
        self._world.effect("store")
        if self.failures:
            self.failures -= 1
            self._world.trouble("store")
            raise self._world.error()

    def get(self, key: str, default: Any = None) -> Any:
        self._use()
        self.read = self._world.clock.now if self.read is None else self.read
        return json.loads(self._values[key]) if key in self._values else default

    def set(self, key: str, value: Any, **_: Any) -> None:
        self._use()
        self._values[key] = json.dumps(value)
        self.stored = self._world.clock.now if self.stored is None else self.stored

    def delete(self, key: str) -> None:
        self._use()
        self._values.pop(key, None)

    def clear(self) -> None:
        self._use()
        self._values.clear()

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.set(key, value)

    async def adelete(self, key: str) -> None:
        self.delete(key)

    async def aclear(self) -> None:
        self.clear()
