"""Runs one cell of the table of faults: who receives which fault, over real sockets, and what comes of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import unquote

import pytest
from certificates import make_certificate
from conftest import set_connection, unset_network
from digest_server import KEY, SECRET, refuse
from faults.answers import COLUMNS, FAULTS, Fault
from faults.server import Behaviour, Exchange, RawServer, found, serve, tunnel
from modes import context, fire, sensor, stored, wait
from moved import TaskDeferred
from starts import Task
from watches import trigger

from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError
from airflow_provider_oceanbase.operators import GetBackupSetOperator

PROXY_PASSWORD = "hu%2Fsh%3A%25"
PROXY_USER = f"user:{PROXY_PASSWORD}"
_NAME = "localhost"


@dataclass
class Cell:
    """What came of a fault.

    :param result: what was returned
    :param error: what was raised instead
    :param text: all that a user can read of it: error with traceback, events, trigger arguments, log
    :param servers: who responded
    :param plays: how often the fault was played
    """

    result: Any = None
    error: Exception | None = None
    text: str = ""
    seconds: float = 0.0
    plays: int = 0
    servers: list[RawServer] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(len(server.requests) for server in self.servers)

    @property
    def secrets(self) -> set[str]:
        """The secrets of the connection, and all that was made of them."""
        heads = "".join(head for server in self.servers for _, head in server.requests)
        credentials = re.findall(r"(?im)^(?:proxy-)?authorization: (.*?)\r$", heads)
        responses = re.findall(r'response="(\w+)"', heads)
        basic = base64.b64encode(unquote(PROXY_USER).encode()).decode()
        return {SECRET, PROXY_PASSWORD, unquote(PROXY_PASSWORD), basic, *credentials, *responses}


def run(name: str, column: str, logged: Callable[[], str], *, proxied: bool = False) -> Cell:
    """Let the fault begin, after one poll of a wait, and pass, unless no request can succeed after it.

    :param logged: returns what has been logged since the last call
    :param proxied: whether a proxy with a password is between, where the row has none
    """
    fault, cell = FAULTS[name], Cell()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        unset_network(patch)
        patch.setattr("airflow_provider_oceanbase.cloud.protocol.MAX_BODY_BYTES", 2**20)
        patch.setattr("airflow_provider_oceanbase.cloud.protocol.BODY_TIMEOUTS", 2)
        patch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
        set_connection(patch, login=KEY, password=SECRET, **_network(fault, column, cell, stack, proxied))
        logged()
        began = time.monotonic()
        told: list[Any] = []
        try:
            cell.result = _RECEIVERS[column](told)
        except Exception as error:
            cell.error = error
            told += traceback.format_exception(error)
        cell.seconds = time.monotonic() - began
        cell.text = "\n".join(map(str, told)) + logged()
    return cell


def problems(name: str, column: str, cell: Cell) -> list[str]:
    """Return how a cell differs from what its row demands."""
    fault = FAULTS[name]
    expected = fault.raised(column)
    found_problems = []
    if type(cell.error) is not (expected or type(None)):
        wanted = expected.__name__ if expected else "success"
        found_problems.append(f"{wanted} expected, not {cell.error or cell.result!r}")
    if fault.error is None and ("polling continues" in cell.text or "attempt 1 of" in cell.text):
        found_problems.append(f"a good response failed: {cell.text}")
    if fault.says not in cell.text:
        found_problems.append(f"nothing says {fault.says!r}: {cell.text}")
    if cell.error and fault.error and not fault.error.outdated and column != "watch" and cell.plays > 1:
        found_problems.append(f"sent {cell.plays} times, though no request can succeed after it")
    found_problems += [f"shows {secret!r}" for secret in cell.secrets if secret in cell.text]
    return found_problems


def _network(fault: Fault, column: str, cell: Cell, stack: ExitStack, proxied: bool) -> dict[str, Any]:
    """Start what the row needs; return the fields of the connection to it."""
    before, after = _good(fault, column)

    def bad(exchange: Exchange) -> bool:
        cell.plays += 1
        return fault.behaviour(exchange)

    def opened(*behaviours: Behaviour, context: ssl.SSLContext | None = None) -> RawServer:
        server = stack.enter_context(serve(*behaviours, context=context))
        cell.servers.append(server)
        return server

    bads = [bad] * _plays(fault, column)
    extra: dict[str, Any] = {"timeout": fault.timeout}
    if fault.via in ("", "proxy"):
        script = (_scripted if fault.is_challenge else authorized)(*before, *bads, *after)
        server = opened(script)
        if not fault.via and not proxied:
            return {"host": server.origin, "extra": extra}
        return {"host": "http://api.example", "extra": extra | {"proxy": _with_password(server)}}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    right, wrong = folder / "right.pem", folder / "wrong.pem"
    context = make_certificate(right, host=_NAME)
    extra["verify"] = str(right)
    api = opened(authorized(*before, *after), context=context)
    if fault.via == "tunnel":
        open_ = tunnel(api.port)
        proxy = opened(*[open_] * len(before), *bads, *[open_] * bool(after))
        extra["proxy"] = _with_password(proxy)
    else:
        spoilt = make_certificate(wrong, host=None, common_name=_NAME)
        with right.open("a") as bundle:
            bundle.write(wrong.read_text())
        contexts = chain([context] * len(before), [spoilt] * len(bads), repeat(context))

        def choose(connection: ssl.SSLObject, *_: object) -> None:
            connection.context = next(contexts)
            cell.plays += connection.context is spoilt

        context.sni_callback = choose  # type: ignore[assignment]
    return {"host": f"https://{_NAME}:{api.port}", "extra": extra}


def _good(fault: Fault, column: str) -> tuple[list[Behaviour], list[Behaviour]]:
    """Return the responses before the fault and after it."""
    # A connection that is kept would need no other tunnel, and no other handshake.
    headers = {"Connection": "close"} if fault.via in ("tunnel", "tls") else {}
    before = [] if column in ("operator", "start") else [found(headers, status="DOING")]
    stays = fault.error is not None and fault.raised(column) is not None
    return before, [] if stays else [found()]


def _plays(fault: Fault, column: str) -> int:
    if fault.raised(column) is not None:
        return 1
    # aiohttp repeats a request whose connection breaks, and after HTTP 401 the connection is read again.
    return 4 if fault.error is OceanBaseAuthenticationError else 2


def _scripted(*behaviours: Behaviour) -> Behaviour:
    """Answer requests one after another; the last answer stays."""
    left = list(behaviours)
    return lambda exchange: (left.pop(0) if len(left) > 1 else left[0])(exchange)


def authorized(*behaviours: Behaviour) -> Behaviour:
    """Challenge requests without credentials, and answer the others."""
    script = _scripted(*behaviours)

    def behave(exchange: Exchange) -> bool:
        if "authorization: digest " in exchange.head.lower():
            return script(exchange)
        return refuse('Digest realm="r", nonce="n", qop="auth"')(exchange)

    return behave


def _with_password(proxy: RawServer) -> str:
    return proxy.origin.replace("//", f"//{PROXY_USER}@")


def _operator(told: list[Any]) -> Any:
    task = GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id="bak-1")
    ti = MagicMock()
    returned = task.execute({"ti": ti})  # type: ignore[typeddict-item]
    told += [returned, ti.xcom_push.call_args]
    return returned


def _deferred(told: list[Any]) -> Any:
    try:
        return sensor(deferrable=True).execute(context())
    except TaskDeferred as deferral:
        told.append(deferral.trigger.serialize())
        event = asyncio.run(fire(stored(deferral.trigger)))
        _check_event(event)
        told.append(event)
        resumed = sensor(deferrable=True)
        return resumed.resume_execution(deferral.method_name, {"event": event}, context())


def _watch(told: list[Any]) -> Any:
    return asyncio.run(_first_event(told))


async def _first_event(told: list[Any]) -> Any:
    watching = trigger(poke_interval=0.02)
    told.append(watching.serialize())
    async with asyncio.timeout(30), aclosing(watching.run()) as stream:  # type: ignore[type-var]
        event = await anext(stream)
    _check_event(event.payload)
    told.append(event.payload)
    return event.payload


def _check_event(event: Any) -> None:
    """What msgpack refuses would end the triggerer, with every trigger in it."""
    try:
        from msgspec import msgpack
    except ImportError:
        # Airflow 2 has JSON alone.
        json.dumps(event, allow_nan=False)
    else:
        msgpack.encode(event)


_RECEIVERS: dict[str, Callable[[list[Any]], Any]] = {
    "operator": _operator,
    "poke": lambda told: wait("poke"),
    "reschedule": lambda told: wait("reschedule"),
    "deferred": _deferred,
    "watch": _watch,
    "start": lambda told: Task().run(),
}
assert tuple(_RECEIVERS) == COLUMNS
#: Row and column of each cell that the table has.
CELLS = [(name, column) for name, fault in FAULTS.items() for column in fault.columns]
