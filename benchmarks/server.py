"""A fast TLS server that answers and counts polls: ``python -m benchmarks.server KIND PEM JITTER``.

It prints its port. Then it responds to each command on stdin with a line of JSON: ``reset`` sets the counts
to zero, ``report SECONDS`` returns them. A poll is late if it is more than SECONDS after the previous one of
its path. The server ends when stdin is closed, so that it never outlives its parent.

KIND is ``rising`` (digest; the count of a nonce must rise), ``once`` (digest; a nonce is valid for one
request) or ``open`` (no digest; 404 for everything). JITTER is the longest random delay of a request in
seconds: requests overtake each other as on a network.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import re
import secrets
import signal
import ssl
import sys
import time
from array import array
from hashlib import md5

from benchmarks.measures import ACCESS_KEY_ID, ACCESS_KEY_SECRET, median, quantile, take_stdout

REALM = "benchmark"
_MAX_NONCES = 100_000
_PARAMETER = re.compile(rb'(\w+)="?([^",]*)"?')
_AUTHORIZATION = re.compile(rb"\r\nauthorization: *digest ([^\r]*)", re.IGNORECASE)


def _hash(*parts: bytes) -> bytes:
    return md5(b":".join(parts), usedforsecurity=False).hexdigest().encode()


def _response(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Type: application/json", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


def _envelope(success: bool, **fields: object) -> bytes:
    return json.dumps({"success": success, "requestId": "benchmark", **fields}).encode()


_DOING = {
    "backupMode": "PHYSICAL_BACKUP",
    "backupObjectType": "CLUSTER",
    "backupSetId": "bak-1",
    "checkpoint": None,
    "dataBackupMode": "FULL_BACKUP",
    "dataBackupSize": 0.06,
    "dataVersion": 1,
    "downloadEnabled": False,
    "downloadTaskId": -1,
    "endTime": None,
    "startTime": "2026-01-01T00:00:00Z",
    "status": "DOING",
    "tenantBackupSetList": None,
    "tenantId": "sys",
    "tenantName": "*",
    "triggerMode": "BACKUP_NOW",
    "validity": None,
}
_ANSWER = _response(b"200 OK", _envelope(True, data=_DOING))
_LIST = _response(b"200 OK", _envelope(True, data={"dataList": [_DOING], "total": 1, "hasMore": False}))
_NOT_FOUND = _response(b"404 Not Found", _envelope(False, errorCode="E1", errorMessage="not found"))


class Site:
    """The responses, and the counts of requests.

    :param kind: ``rising``, ``once`` or ``open``
    :param jitter: longest random delay of a request, in seconds
    """

    def __init__(self, kind: str, jitter: float) -> None:
        self.kind = kind
        self.jitter = jitter
        self.open_connections = 0
        self._user = ACCESS_KEY_ID.encode()
        self._secret = _hash(self._user, REALM.encode(), ACCESS_KEY_SECRET.encode())
        self._nonces: dict[bytes, int] = {}
        self._last: dict[bytes, float] = {}
        self.reset()

    def reset(self) -> None:
        """Set the counts to zero."""
        self.requests = self.refused = self.connections = 0
        self.most_connections = self.open_connections
        self._pauses = array("d")

    def report(self, late: float) -> dict[str, float]:
        """Return the counts.

        :param late: seconds; a path without a poll for longer counts as late
        """
        now = time.monotonic()
        return {
            "requests": self.requests,
            "refused": self.refused,
            "polls": self.requests - self.refused,
            "connections": self.connections,
            "most_connections": self.most_connections,
            "paths": len(self._last),
            "pauses": len(self._pauses),
            "late": sum(pause > late for pause in self._pauses)
            + sum(now - last > late for last in self._last.values()),
            "pause_p50": median(self._pauses),
            "pause_p99": quantile(self._pauses, 0.99),
            "pause_max": max(self._pauses, default=0.0),
        }

    def answer(self, head: bytes) -> bytes:
        """Return the response to a request.

        :param head: request line and headers
        """
        self.requests += 1
        target = head[4 : head.index(b" ", 4)]
        if self.kind != "open":
            refusal = self._refusal(head, target)
            if refusal is not None:
                self.refused += 1
                return refusal
        path = target.partition(b"?")[0]
        self._note(path)
        if self.kind == "open":
            return _NOT_FOUND
        return _LIST if path.endswith(b"/backup/data/sets") else _ANSWER

    def connected(self) -> None:
        """Count a connection that opens."""
        self.connections += 1
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)

    def _note(self, path: bytes) -> None:
        now = time.monotonic()
        if (last := self._last.get(path)) is not None:
            self._pauses.append(now - last)
        self._last[path] = now

    def _refusal(self, head: bytes, target: bytes) -> bytes | None:
        """Return a challenge, None if the request proves knowledge of the secret."""
        if not (match := _AUTHORIZATION.search(head)):
            return self._challenge()
        given = dict(_PARAMETER.findall(match[1]))
        nonce, count = given.get(b"nonce", b""), given.get(b"nc", b"")
        proof = (nonce, count, given.get(b"cnonce", b""), b"auth", _hash(b"GET", target))
        if (
            given.get(b"username") != self._user
            or given.get(b"uri") != target
            or given.get(b"qop") != b"auth"
            or not hmac.compare_digest(_hash(self._secret, *proof), given.get(b"response", b""))
        ):
            return self._challenge()
        if nonce not in self._nonces:
            return self._challenge(b", stale=true")
        if int(count, 16) <= self._nonces[nonce]:
            return self._challenge()
        self._nonces[nonce] = int(count, 16)
        if self.kind == "once":
            del self._nonces[nonce]
        return None

    def _challenge(self, suffix: bytes = b"") -> bytes:
        nonce = secrets.token_hex(12).encode()
        self._nonces[nonce] = 0
        if len(self._nonces) > _MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]
        challenge = b'WWW-Authenticate: Digest realm="%s", qop="auth", algorithm=MD5, nonce="%s"%s'
        header = challenge % (REALM.encode(), nonce, suffix)
        return _response(b"401 Unauthorized", _envelope(False), header)


class Connection(asyncio.Protocol):
    """One connection: requests without a body, one after another."""

    _transport: asyncio.Transport

    def __init__(self, site: Site) -> None:
        self._site = site
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._site.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that closes."""
        self._site.open_connections -= 1

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        *heads, self._received = (self._received + data).split(b"\r\n\r\n")
        for head in heads:
            if self._site.jitter:
                loop = asyncio.get_running_loop()
                loop.call_later(random.random() * self._site.jitter, self._answer, head)
            else:
                self._answer(head)

    def _answer(self, head: bytes) -> None:
        self._transport.write(self._site.answer(head))


async def serve(kind: str, certificate: str, jitter: str) -> None:
    """Serve until stdin is closed."""
    send = take_stdout()
    site, loop, ended = Site(kind, float(jitter)), asyncio.get_running_loop(), asyncio.Event()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Connection(site), "127.0.0.1", 0, ssl=context, backlog=1024)

    def command() -> None:
        line = sys.stdin.readline()
        if not line:
            ended.set()
        elif line.startswith("reset"):
            site.reset()
            send({})
        else:
            send(site.report(float(line.split()[1])))

    loop.add_reader(sys.stdin, command)
    send({"port": server.sockets[0].getsockname()[1]})
    await ended.wait()
    server.close()


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group; the parent closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(*sys.argv[1:]))
