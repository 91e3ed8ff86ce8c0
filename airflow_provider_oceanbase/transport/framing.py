"""Where a response begins and ends, as plain code: both clients take the same bytes for a response.

The HTTP libraries differ in the odd messages that they read, and in what they do with bytes after a response.
Each gets only what passes here, in the plainest form.
"""

from __future__ import annotations

import re
from http.client import HTTPException
from typing import TYPE_CHECKING

from airflow_provider_oceanbase.cloud import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

#: A server that sends more of them has nothing else to say.
_MAX_INTERIM_RESPONSES = 20
#: A whole head as nearly all are. The rest of this module reads it too, but line by line: ten times slower.
_PLAIN_HEAD = re.compile(
    rb"HTTP/1\.[01] [2-9][0-9]{2}(?: [^\0\r\n]*+)?\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\0\r\n]*+\r\n)*+\r\n"
)
_PLAIN_LENGTH = re.compile(rb"\ncontent-length:[ \t]*+([0-9]{1,18}+)[ \t]*+\r", re.IGNORECASE)
#: What needs another look: a body of any other form, or none.
_NOT_PLAIN = re.compile(rb"\ntransfer-encoding:|\A.{9}(?:204|304)", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\0\r]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([^\0\r]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\0\r]*)?")
_UNTIL_CLOSED = -1


class BadResponseError(HTTPException):
    """What was received is no response that both clients could read."""


class Framing:
    """Follows one response as its bytes come.

    :param has_body: False for a response to HEAD
    """

    def __init__(self, *, has_body: bool = True) -> None:
        self._has_body = has_body
        #: What is received of a head or a line of a chunked body; it is passed on when it is complete.
        self._held = bytearray()
        self._interim = 0
        self._lines = 0
        #: Takes the next part. No bound method, which would be a cycle, and work for the garbage collector.
        self._read: Callable[[Framing, bytes, int, list[bytes]], int] = Framing._head
        #: Bytes that are still to come of a body or chunk.
        self._left = 0
        #: Whether the final status and all headers were received.
        self.has_head = False
        #: Whether the response is complete; what comes after it belongs to nothing.
        self.complete = False

    @property
    def may_end(self) -> bool:
        """Whether the server may close the connection now."""
        return self.complete or (self.has_head and self._left == _UNTIL_CLOSED)

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Take what was received; return what it adds to the response, and whether more comes after its end.

        :raises BadResponseError: it is no valid response
        """
        passed: list[bytes] = []
        at = 0
        while at < len(data) and not self.complete:
            at = self._read(self, data, at, passed)
        return b"".join(passed), at < len(data)

    def _line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Take a line, without its end; None if its end is still to come."""
        end = data.find(b"\n", at) + 1
        self._held += data[at : end or len(data)]
        # The libraries count the end of a line, too.
        if len(self._held) > protocol.MAX_HEADER_BYTES:
            raise BadResponseError("a line is too long")
        if not end:
            return None, len(data)
        line = bytes(self._held[:-1])
        self._held.clear()
        return line.removesuffix(b"\r"), end

    def _plain_head(self, data: bytes, at: int) -> bytes:
        """Take a head that is received at once and holds nothing odd; return it, else nothing."""
        match = _PLAIN_HEAD.match(data, at)
        if match is None or not self._has_body:
            return b""
        head = match[0]
        lengths = _PLAIN_LENGTH.findall(head)
        is_plain = (
            len(lengths) == 1 == head.lower().count(b"\ncontent-length:")
            and not _NOT_PLAIN.search(head)
            and len(head) <= protocol.MAX_HEADER_BYTES
            and head.count(b"\n") <= protocol.MAX_HEADERS + 2
        )
        if not is_plain:
            return b""
        self.has_head = True
        self._expect(int(lengths[0]))
        return head

    def _expect(self, length: int) -> None:
        self._left = length
        self._read = Framing._sized
        self.complete = not length

    def _head(self, data: bytes, at: int, passed: list[bytes]) -> int:
        if not self._held and (head := self._plain_head(data, at)):
            passed.append(head)
            return at + len(head)
        line, at = self._line(data, at)
        if line is None:
            return at
        status = _STATUS_LINE.fullmatch(line)
        if status is None:
            raise BadResponseError("no status line")
        self._status_line, self._status = line, int(status[1])
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = 0
        self._read = Framing._header
        return at

    def _header(self, data: bytes, at: int, passed: list[bytes]) -> int:
        line, at = self._line(data, at)
        if line is None:
            return at
        if line:
            self._add_header(line)
        elif self._status >= 200:
            self._begin_body(passed)
        elif self._status == 101 or self._interim == _MAX_INTERIM_RESPONSES:
            # 101 ends HTTP on the connection, and is never asked for.
            raise BadResponseError("no final response")
        else:
            self._interim += 1
            self._read = Framing._head
        return at

    def _add_header(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > protocol.MAX_HEADERS:
            raise BadResponseError("too many headers")
        if line[:1] in b" \t" and self._headers:
            name, value = self._headers[-1]
            more = line.strip(b" \t")
            if b"\0" in line or b"\r" in line or len(value) + len(more) >= protocol.MAX_HEADER_BYTES:
                raise BadResponseError("no header")
            self._headers[-1] = name, (value + b" " + more).strip(b" ")
            return
        header = _HEADER.fullmatch(line)
        if header is None:
            raise BadResponseError("no header")
        self._headers.append((header[1], header[2].rstrip(b" \t")))

    def _begin_body(self, passed: list[bytes]) -> None:
        self.has_head = True
        codings = self._take(b"transfer-encoding")
        lengths = self._take(b"content-length")
        is_chunked = codings == [b"chunked"]
        if not is_chunked and codings not in ([], [b"identity"]):
            raise BadResponseError("unknown Transfer-Encoding")
        if is_chunked and lengths:
            # The next proxy may take the other one for the end.
            raise BadResponseError("two lengths")
        if len(set(lengths)) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise BadResponseError("no Content-Length")
        has_none = self._status in (204, 304)
        if is_chunked:
            if not has_none:
                # The standard library would look for chunks.
                self._headers.append((b"Transfer-Encoding", b"chunked"))
            self._read = Framing._chunk_size
        elif lengths:
            self._headers.append((b"Content-Length", lengths[0]))
            self._expect(int(lengths[0]))
        else:
            self._left = _UNTIL_CLOSED
            self._read = Framing._rest
        if has_none or not self._has_body:
            self.complete = True
        passed.append(self._status_line + b"\r\n")
        passed += (name + b": " + value + b"\r\n" for name, value in self._headers)
        passed.append(b"\r\n")

    def _take(self, name: bytes) -> list[bytes]:
        """Remove a header; return the elements of its values."""
        values = [value for known, value in self._headers if known.lower() == name]
        self._headers = [header for header in self._headers if header[0].lower() != name]
        return [element.strip(b" \t").lower() for value in values for element in value.split(b",")]

    def _rest(self, data: bytes, at: int, passed: list[bytes]) -> int:
        passed.append(data[at:])
        return len(data)

    def _sized(self, data: bytes, at: int, passed: list[bytes]) -> int:
        part = data[at : at + self._left]
        passed.append(part)
        self._left -= len(part)
        self.complete = not self._left
        return at + len(part)

    def _chunk_size(self, data: bytes, at: int, passed: list[bytes]) -> int:
        line, at = self._line(data, at)
        if line is None:
            return at
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise BadResponseError("no size of a chunk")
        self._left = int(size[1], 16)
        self._lines = 0
        if self._left:
            passed.append(b"%x\r\n" % self._left)
        self._read = Framing._chunk if self._left else Framing._trailer
        return at

    def _chunk(self, data: bytes, at: int, passed: list[bytes]) -> int:
        part = data[at : at + self._left]
        passed.append(part)
        self._left -= len(part)
        if not self._left:
            self._read = Framing._chunk_end
        return at + len(part)

    def _chunk_end(self, data: bytes, at: int, passed: list[bytes]) -> int:
        self._held += data[at : at + 1]
        if self._held == b"\r":
            return at + 1
        if bytes(self._held) not in (b"\n", b"\r\n"):
            raise BadResponseError("a chunk does not end")
        self._held.clear()
        passed.append(b"\r\n")
        self._read = Framing._chunk_size
        return at + 1

    def _trailer(self, data: bytes, at: int, passed: list[bytes]) -> int:
        line, at = self._line(data, at)
        if line is None:
            return at
        if line:
            # Nobody reads them.
            self._add_header(line)
        else:
            passed.append(b"0\r\n\r\n")
            self.complete = True
        return at
