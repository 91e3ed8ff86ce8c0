"""A connection that is wrong, or that nobody can read, and is put right while a wait or a watch runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import digest_server
import modes
import pytest
import starts
import watches
from certificates import make_certificate
from conftest import CONN_ID, set_connection
from digest_server import CHALLENGE, SECRET, Digest, guard, refuse
from faults.server import Behaviour, Exchange, RawServer, answer, found, reset, serve

from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException, AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import OceanBaseInputError
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.transport import known_connection, shared_poll, trigger_connection
from airflow_provider_oceanbase.waiting.outage import Outage
from airflow_provider_oceanbase.waiting.tasks import summary_in

VARIABLE = f"AIRFLOW_CONN_{CONN_ID.upper()}"
DIGEST = Digest()
FOREIGN = "text of a secrets backend: s.3cr3t"


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a connection, and what makes it right.

    :param bad: how the server of the connection responds from when it is wrong
    :param spoil: what else happens then
    :param ends: whether the failure ends a wait, unless the connection is right by then
    """

    bad: Behaviour
    spoil: Callable[[World], None] = lambda world: None
    fix: Callable[[World], None] = lambda world: world.connect(world.new)
    ends: bool = False


class World:
    """The API, which moves while a wait runs, and the connection to it.

    ``old`` answers DOING twice; then it goes bad. It goes on at ``new``, where the set is DONE.
    """

    def __init__(self, wrong: Wrong, patch: pytest.MonkeyPatch, stack: ExitStack, folder: Path) -> None:
        self.wrong, self.patch = wrong, patch
        self.answers = 0
        self.is_bad = self.is_fixed = self.is_watched = False
        self.failures = 0
        self.certificate = folder / "certificate.pem"
        context: ssl.SSLContext | None = None
        if wrong is WRONG["schema"]:
            context = make_certificate(self.certificate)
        self.old = stack.enter_context(serve(self._respond))
        self.new = stack.enter_context(serve(guard(DIGEST, CHALLENGE, accepted=found()), context=context))
        proxied = wrong in (WRONG["proxy"], WRONG["proxy's password"])
        extra = {"proxy": self.old.origin} if proxied else {"project_id": "p-1"}
        self.connect(self.new if proxied else self.old, **extra)
        failed = Outage.failed

        def count(outage: Outage, *arguments: Any) -> None:
            failed(outage, *arguments)
            self.failures += 1
            if self.failures == 2:
                self.fix()

        patch.setattr(Outage, "failed", count)

    def connect(self, server: RawServer, **extra: Any) -> None:
        host = {"host": "127.0.0.1", "schema": server.origin.partition(":")[0], "port": server.port}
        set_connection(self.patch, login=digest_server.KEY, password=SECRET, **host, extra=extra)

    def spoil(self, *, ends_waits: bool = True) -> None:
        self.is_bad = True
        self.wrong.spoil(self)
        if self.wrong.ends and ends_waits:
            # What would end a wait has to be right before the wait fails.
            self.fix()

    def fix(self) -> None:
        if not self.is_fixed:
            self.is_fixed = True
            self.wrong.fix(self)

    def _respond(self, exchange: Exchange) -> bool:
        if not self.is_bad:
            return guard(DIGEST, CHALLENGE, accepted=self._doing)(exchange)
        return self.wrong.bad(exchange)

    def _doing(self, exchange: Exchange) -> bool:
        self.answers += 1
        if self.answers == 2:
            self.spoil(ends_waits=not self.is_watched)
        return found(status="DOING")(exchange)


def unless(header: str, bad: Behaviour) -> Behaviour:
    """The server goes on with whoever sends the header."""
    good = guard(DIGEST, CHALLENGE, accepted=found())
    return lambda exchange: (good if header in exchange.head else bad)(exchange)


def of_key(exchange: Exchange) -> bool:
    return guard(DIGEST, CHALLENGE, accepted=found())(exchange)


def rotate(world: World) -> None:
    # The server takes it from there.
    world.patch.setattr(digest_server, "KEY", "the-new-key")


def away(world: World) -> None:
    def unreadable(*_: object) -> Any:
        raise RuntimeError(FOREIGN)

    async def unreadable_async(*_: object) -> Any:
        unreadable()

    world.patch.setattr(OceanBaseHook, "get_connection", unreadable)
    world.patch.setattr(trigger_connection, "read_connection", unreadable_async)


def back(world: World) -> None:
    world.patch.setattr(OceanBaseHook, "get_connection", GET_CONNECTION)
    world.patch.setattr(trigger_connection, "read_connection", READ_CONNECTION)
    world.connect(world.new)


GET_CONNECTION, READ_CONNECTION = OceanBaseHook.get_connection, trigger_connection.read_connection
REFUSE = refuse(CHALLENGE)
WRONG = {
    "host": Wrong(answer(b"<html>Welcome</html>")),
    "port": Wrong(reset()),
    # As a server that speaks TLS answers plain HTTP.
    "schema": Wrong(
        lambda exchange: exchange.send(b"\x15\x03\x01\x00\x02\x02\x46") is not None,
        fix=lambda world: world.connect(world.new, verify=str(world.certificate)),
    ),
    "proxy": Wrong(reset()),
    "proxy's password": Wrong(answer(status=407), ends=True),
    "key": Wrong(of_key, spoil=rotate, fix=lambda world: world.connect(world.old), ends=True),
    "project": Wrong(
        unless("X-Ob-Project-Id: p-2", answer(status=404)),
        fix=lambda world: world.connect(world.old, project_id="p-2"),
        ends=True,
    ),
    "forbidden project": Wrong(
        unless("X-Ob-Project-Id: p-2", answer(status=403)),
        fix=lambda world: world.connect(world.old, project_id="p-2"),
        ends=True,
    ),
    "missing": Wrong(REFUSE, spoil=lambda world: world.patch.delenv(VARIABLE)),
    "field": Wrong(REFUSE, spoil=lambda world: set_connection(world.patch, password="")),
    "unreadable": Wrong(REFUSE, spoil=away, fix=back),
}


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(WRONG[request.param], monkeypatch, stack, tmp_path)
    assert (shared_poll._clients, trigger_connection._connections) == ({}, {})


def watched(world: World) -> Any:
    async def first_event() -> Any:
        watching = watches.trigger(poke_interval=0.02)
        async with asyncio.timeout(30), aclosing(watching.run()) as stream:  # type: ignore[type-var]
            return (await anext(stream)).payload["backup_sets"][0]

    world.is_watched = True
    return asyncio.run(first_event())


def taken_over(world: World) -> Any:
    world.spoil()
    return summary_in(asyncio.run(modes.fire(modes.trigger(poke_interval=0.02))))


def started(mode: str) -> Any:
    task = starts.waiting(mode, poke_interval=0.02)
    task.run()
    return task.xcoms["backup_set"]


WAITS: dict[str, Callable[[World], Any]] = {
    **{mode: lambda _, mode=mode: modes.wait(mode, poke_interval=0.02) for mode in modes.MODES},
    "takeover": taken_over,
    **{f"start, {mode}": lambda _, mode=mode: started(mode) for mode in starts.MODES},
    "watch": watched,
}


@pytest.mark.parametrize("waits", WAITS)
@pytest.mark.parametrize("world", WRONG, indirect=True)
def test_connection_that_is_put_right(waits: str, world: World, logged: Callable[[], str]) -> None:
    assert WAITS[waits](world)["status"] == "DONE"
    assert world.is_fixed
    assert FOREIGN not in logged()


@pytest.fixture
def gone_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection counts as gone for good within a second: looking for it may take half of one."""
    monkeypatch.setattr(known_connection, "GONE_SECONDS", 1.0)


@pytest.mark.parametrize("waits", sorted(set(WAITS) - {"reschedule", "watch"}))
@pytest.mark.parametrize(
    ("world", "says"),
    [
        ("missing", f"^Connection missing, or not readable now: connection '{CONN_ID}'"),
        ("field", rf"^Unusable field: password \(AccessKey secret\) is missing: connection '{CONN_ID}'"),
    ],
    indirect=["world"],
)
@pytest.mark.usefixtures("gone_soon")
def test_connection_that_is_gone_for_good_ends_a_wait(
    waits: str, says: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "fix", lambda: None)
    with pytest.raises(OceanBaseInputError, match=says):
        WAITS[waits](world)
    assert world.failures >= 2


@pytest.mark.parametrize("world", ["missing", "unreadable"], indirect=True)
@pytest.mark.parametrize("waits", ["takeover", "reschedule"])
def test_connection_that_cannot_be_read_until_the_timeout(
    waits: str, world: World, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(world, "fix", lambda: None)
    if waits == "takeover":
        world.spoil()
        said = asyncio.run(modes.fire(modes.trigger(timeout=0.3)))["timeout"]
    else:
        # It remembers nothing between two polls: the connection may have been missing for a moment.
        with pytest.raises(AirflowSensorTimeout):
            modes.wait("reschedule", poke_interval=0.02, timeout=0.5)
        said = logged()
    assert "Connection missing" in said or "Connection not readable" in said
    assert FOREIGN not in said


@pytest.mark.parametrize("world", ["missing", "unreadable", "field", "key", "project"], indirect=True)
@pytest.mark.usefixtures("gone_soon")
def test_nothing_ends_a_watch(
    world: World, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    fix = world.fix

    def late() -> None:
        world.failures = 0 if (repeated := len(rounds) < 20) else 2
        rounds.append(None)
        if not repeated:
            fix()

    rounds: list[None] = []
    monkeypatch.setattr(world, "fix", late)
    assert watched(world)["status"] == "DONE"
    said = logged()
    assert said.count("; polling continues") == 1
    assert said.count("OceanBase Cloud answers again") == 1


BEGINNINGS: dict[str, Callable[[], Any]] = {
    **{mode: lambda mode=mode: modes.wait(mode)["status"] for mode in modes.MODES},
    "start": lambda: starts.waiting("poke").run() and "DONE",
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
@pytest.mark.usefixtures("no_pauses")
def test_store_that_is_away_when_a_task_begins(
    begin: Callable[[], Any],
    cloud: CloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    starts.plan(cloud, "DONE")
    errors: list[Exception] = [RuntimeError(FOREIGN), AirflowNotFoundException(FOREIGN)]

    def get(conn_id: str) -> Any:
        if errors:
            raise errors.pop()
        return GET_CONNECTION(conn_id)

    monkeypatch.setattr(OceanBaseHook, "get_connection", staticmethod(get))
    assert begin() == "DONE"
    assert FOREIGN not in logged()


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
@pytest.mark.usefixtures("no_pauses")
def test_task_whose_connection_does_not_exist(
    begin: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(OceanBaseInputError, match=f"^Connection missing, .*: connection '{CONN_ID}'"):
        begin()


def test_form_tells_at_once_that_there_is_no_connection() -> None:
    works, says = OceanBaseHook("no_such_one").test_connection()
    assert (works, "connection 'no_such_one'" in says) == (False, True)


def test_airflow_does_not_tell_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object, **__: object) -> Any:
        raise ConnectionError(FOREIGN)

    backend = "airflow.secrets.environment_variables.EnvironmentVariablesBackend"
    for name in ("get_conn_value", "get_connection"):
        monkeypatch.setattr(f"{backend}.{name}", down)
    with pytest.raises(AirflowNotFoundException):
        GET_CONNECTION(CONN_ID)
    with pytest.raises(AirflowNotFoundException):
        asyncio.run(READ_CONNECTION(CONN_ID))
