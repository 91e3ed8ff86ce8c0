"""The body of a response: unpacked and bounded by one rule, whichever HTTP library receives it.

The libraries can unpack a body themselves, but some versions only as a whole: a few hostile kilobytes become
gigabytes.
"""

from __future__ import annotations

import gzip
import zlib

#: Only what the standard library can unpack bit by bit.
ACCEPTED_ENCODING = "gzip"
_PACKED = ("gzip", "x-gzip", "deflate")
_DETECT_FORMAT = 32 + zlib.MAX_WBITS


class Body:
    """Takes the chunks of a body as they come.

    :param content_encoding: value of ``Content-Encoding``; an unknown encoding is left packed
    :param limit: the most bytes that it may have, as received and unpacked
    """

    def __init__(self, content_encoding: str | None, limit: int) -> None:
        is_packed = (content_encoding or "").strip().lower() in _PACKED
        self._unpacker = zlib.decompressobj(_DETECT_FORMAT) if is_packed else None
        self._limit = limit
        self._received = 0
        self._unpacked = bytearray()

    def fits(self, chunk: bytes) -> bool:
        """Take a chunk, and return whether the body is still within the limit; if not, take no more.

        :raises gzip.BadGzipFile: it is not packed as ``Content-Encoding`` says
        """
        self._received += len(chunk)
        if self._received > self._limit:
            return False
        self._unpacked += chunk if self._unpacker is None else self._unpack(self._unpacker, chunk)
        return len(self._unpacked) <= self._limit

    def complete(self) -> bytes:
        """Return the whole body.

        :raises gzip.BadGzipFile: its end is missing
        """
        if self._unpacker is not None and self._received and not self._unpacker.eof:
            raise gzip.BadGzipFile("the end of the packed body is missing")
        return bytes(self._unpacked)

    def _unpack(self, unpacker: zlib._Decompress, chunk: bytes) -> bytes:
        try:
            # One byte over the limit shows that the body is too large; no more is unpacked.
            unpacked = unpacker.decompress(chunk, self._limit + 1 - len(self._unpacked))
        except zlib.error:
            raise gzip.BadGzipFile("the body is not packed as Content-Encoding says") from None
        if unpacker.unused_data:
            raise gzip.BadGzipFile("the packed body continues after its end")
        return unpacked
