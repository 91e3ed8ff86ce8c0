"""A front between client and emulator that misbehaves in ways that no HTTP server does."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

_CHALLENGE = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="%s", qop="auth"\r\n'
_INTERIM = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"


def _answer(**data: Any) -> bytes:
    return json.dumps({"success": True, "data": {"status": "DOING", **data}}).encode()


def _ok(body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (headers, len(body), body)


#: What is sent in place of a response, before the connection closes.
_REPLACED = {
    "a body that is no gzip": _ok(b"plain", b"Content-Encoding: gzip\r\n"),
    "integers of 70 bits": _ok(_answer(dataVersion=2**70, downloadTaskId=-(2**70))),
    "half surrogates and NUL": _ok(_answer(tenantName="\ud800\0", backupMode="\udfff")),
    "an odd challenge": _CHALLENGE % b"\xe8" + b"Content-Length: 0\r\n\r\n",
    "a validity of 100 kB": _ok(_answer(validity="V" * 100_000)),
}
#: What is sent before nothing follows.
_HANGING = {"a stalled 401": _CHALLENGE % b"odd" + b"Content-Length: 99\r\n\r\n{", "no answer": b""}
KINDS = (*_REPLACED, *_HANGING, "interim responses")


class Front:
    """Relays requests to a port of this host, but for some; use it with ``with``.

    :param port: where to relay to
    :param share: which part of the requests to mistreat
    :param seed: random seed
    """

    def __init__(self, port: int, share: float, seed: int) -> None:
        self._target, self._share = port, share
        self._random = random.Random(seed)
        self._challenged: set[bytes] = set()
        self.played = dict.fromkeys(KINDS, 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server: asyncio.Server = self._run(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, sink = await asyncio.open_connection("127.0.0.1", self._target)
        pumping = asyncio.create_task(_pump(back, writer))
        try:
            # Requests without a body, each after the response to the one before.
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._passes(await reader.readuntil(b"\r\n\r\n"), reader, writer, sink):
                    pass
        finally:
            pumping.cancel()
            for stream in (sink, writer):
                stream.close()

    async def _passes(
        self,
        request: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sink: asyncio.StreamWriter,
    ) -> bool:
        """Serve a request; return whether its connection stays open."""
        kind = self._random.choice(KINDS) if self._random.random() < self._share else None
        path = request.partition(b"?")[0]
        if kind == "an odd challenge" and path in self._challenged:
            # Two in a row mean that the AccessKey is of no use, which ends a wait.
            kind = None
        if kind is not None:
            self.played[kind] += 1
        if kind is None or kind == "interim responses":
            writer.write(_INTERIM if kind else b"")
            sink.write(request)
            return True
        if kind == "an odd challenge":
            self._challenged.add(path)
        writer.write((_REPLACED | _HANGING)[kind])
        await writer.drain()
        if kind in _HANGING:
            # Until the client gives up.
            await reader.read()
        return False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(0x10000):
            writer.write(data)
            await writer.drain()
    writer.close()
