"""A front between client and emulator, with proxies, that plays the table of faults of the tests."""

from __future__ import annotations

import http.client
import random
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, cycle, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from certificates import make_certificate
from faults.answers import FAULTS
from faults.server import Exchange, RawServer, hang, serve, tunnel

from benchmarks.measures import CONN_ID

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

_ROWS = {name: fault for name, fault in FAULTS.items() if "deferred" in fault.columns}
#: Faults that end a wait, whenever it meets them. Others pass: it polls again, or reads its connection again.
ENDING = {
    name: fault
    for name, fault in _ROWS.items()
    if fault.error and not fault.error.transient and not fault.error.outdated
}
PASSING = {name: fault for name, fault in _ROWS.items() if name not in ENDING}
#: How a wait reaches the API: over http, over http by a proxy, or over https through the proxy's tunnel.
DIRECT, PROXY, TUNNEL = CONN_ID, f"{CONN_ID}_proxy", f"{CONN_ID}_tunnel"
PROXY_PASSWORD = "proxy/secret"
_PROXY_USER = "user:proxy%2Fsecret"
_TLS_NAME = "localhost"
#: One tunnel in that many is refused, and one handshake has a bad certificate.
_BAD_TUNNELS = 3


class Front:
    """Relays requests to a port of this host, but for some; use it with ``with``.

    :param port: where to relay to
    :param share: which part of the requests to answer by a fault
    :param seed: random seed
    :param ends: the fault that each of some backups ends with, by the backup task ID
    :param is_complete: whether a backup is complete
    :param silences: when to answer nothing, on the monotonic clock: beginnings and ends
    """

    def __init__(
        self,
        port: int,
        share: float,
        seed: int,
        *,
        ends: Mapping[str, str],
        is_complete: Callable[[str], bool],
        silences: list[tuple[float, float]],
    ) -> None:
        self._target, self._share = port, share
        self._random = random.Random(seed)
        self._ends, self._is_complete, self._silences = ends, is_complete, silences
        self._lock = threading.Lock()
        self._relays = threading.local()
        self._bag = self._shuffled()
        self._bad_tunnels = cycle(name for name, fault in PASSING.items() if fault.via == "tunnel")
        self._tunnels = cycle((*[False] * (_BAD_TUNNELS - 1), True))
        #: By backup task ID, its latest request, and the fault that answers it.
        self._latest: dict[str, tuple[str, str | None]] = {}
        self.played = dict.fromkeys([*_ROWS, "silence"], 0)
        self.connections: dict[str, dict[str, Any]] = {}
        self._stack = ExitStack()
        #: The backups whose waits have a proxy of their own, which opens no tunnel: they end at once.
        self.refused = {one for one, name in ends.items() if ENDING[name].via == "tunnel"}

    def __enter__(self) -> Self:
        serving = self._stack.enter_context
        folder = Path(serving(TemporaryDirectory()))
        api = serving(serve(self._answer))
        self._tls = serving(serve(self._answer, context=self._tls_context(folder)))
        tunnelled = {"host": f"https://{_TLS_NAME}:{self._tls.port}", "verify": str(folder / "right.pem")}
        proxy = _with_password(serving(serve(self._proxy)))
        self.connections = {
            DIRECT: {"host": api.origin},
            PROXY: {"host": "http://api.example", "proxy": proxy},
            TUNNEL: tunnelled | {"proxy": proxy},
        }
        for backup_task_id in self.refused:
            own = serving(serve(self._counted(self._ends[backup_task_id])))
            self.connections[f"{CONN_ID}_{backup_task_id}"] = tunnelled | {"proxy": _with_password(own)}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def route(self, backup_task_id: str, number: int) -> str:
        """Return the ID of the connection by which to wait for a backup."""
        if backup_task_id in self.refused:
            return f"{CONN_ID}_{backup_task_id}"
        if name := self._ends.get(backup_task_id):
            return PROXY if ENDING[name].via == "proxy" else DIRECT
        return (DIRECT, DIRECT, PROXY, TUNNEL)[number % 4]

    def _answer(self, exchange: Exchange) -> bool:
        """Answer a request in place of the API."""
        url = urlsplit(exchange.head.split(" ", 2)[1])
        backup_task_id = url.path.rpartition("/")[2]
        if any(begin < time.monotonic() < end for begin, end in self._silences):
            self._count("silence")
            return hang(exchange)
        name = self._fault(backup_task_id, parse_qs(url.query)["requestId"][0])
        if name is None:
            return self._relay(exchange, f"{url.path}?{url.query}")
        status = "DONE" if self._is_complete(backup_task_id) else "DOING"
        return self._counted(name)(replace(exchange, fields={"status": status}))

    def _fault(self, backup_task_id: str, request_id: str) -> str | None:
        """Choose the fault that answers a request, the same for all its repetitions; None to relay it."""
        with self._lock:
            if backup_task_id in self._ends and self._is_complete(backup_task_id):
                return self._ends[backup_task_id]
            latest, name = self._latest.get(backup_task_id, ("", None))
            if latest != request_id:
                # Not two in a row: two refusals mean that the AccessKey is of no use, which ends a wait.
                name = next(self._bag) if name is None and self._random.random() < self._share else None
                self._latest[backup_task_id] = request_id, name
            return name

    def _shuffled(self) -> Iterator[str]:
        """Yield faults, each as often as the others."""
        names = [name for name, fault in PASSING.items() if not fault.via]
        while True:
            self._random.shuffle(names)
            yield from names

    def _count(self, name: str) -> None:
        with self._lock:
            self.played[name] += 1

    def _counted(self, name: str) -> Callable[[Exchange], bool]:
        def behave(exchange: Exchange) -> bool:
            self._count(name)
            return _ROWS[name].behaviour(exchange)

        return behave

    def _proxy(self, exchange: Exchange) -> bool:
        """Answer a request in place of a proxy."""
        if not exchange.head.startswith("CONNECT "):
            return self._answer(exchange)
        with self._lock:
            name = next(self._bad_tunnels) if next(self._tunnels) else None
        return self._counted(name)(exchange) if name else tunnel(self._tls.port)(exchange)

    def _tls_context(self, folder: Path) -> ssl.SSLContext:
        """Return a context that uses a bad certificate now and then; write its bundle, ``right.pem``."""
        right, wrong = folder / "right.pem", folder / "wrong.pem"
        context = make_certificate(right, host=_TLS_NAME)
        spoilt = make_certificate(wrong, host=None, common_name=_TLS_NAME)
        with right.open("a") as bundle:
            bundle.write(wrong.read_text())
        contexts = cycle(chain(repeat(context, _BAD_TUNNELS - 1), [spoilt]))

        def choose(connection: ssl.SSLObject, *_: object) -> None:
            with self._lock:
                connection.context = next(contexts)
            if connection.context is spoilt:
                self._count("certificate by common name")

        context.sni_callback = choose  # type: ignore[assignment]
        return context

    def _relay(self, exchange: Exchange, target: str) -> bool:
        """Let the emulator answer."""
        if not hasattr(self._relays, "connection"):
            # This thread serves one connection of the client.
            self._relays.connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=30)
        relay: http.client.HTTPConnection = self._relays.connection
        first, *rest = exchange.head.splitlines()
        try:
            relay.request(first.split(" ")[0], target, headers=dict(line.split(": ", 1) for line in rest))
            response = relay.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            relay.close()
            return False
        fields = "".join(f"{name}: {value}\r\n" for name, value in response.getheaders())
        head = f"HTTP/1.1 {response.status} {response.reason}\r\n{fields}\r\n"
        exchange.send(head.encode("latin-1") + body)
        return not response.will_close


def _with_password(proxy: RawServer) -> str:
    return proxy.origin.replace("//", f"//{_PROXY_USER}@")
