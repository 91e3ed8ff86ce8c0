"""The body of a response: packed or not, complete or too large, in chunks of any size."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.body import Body

PACKERS: dict[str | None, Any] = {
    **dict.fromkeys((None, "", "identity", "br"), bytes),
    **dict.fromkeys(("gzip", "GZip ", "x-gzip"), gzip.compress),
    "deflate": zlib.compress,
}


def read(body: Body, packed: bytes, size: int) -> bytes | None:
    """Feed a body in chunks; return its content, None if it is too large."""
    for start in range(0, len(packed), size):
        if not body.fits(packed[start : start + size]):
            return None
    return body.complete()


@given(st.binary(max_size=300), st.sampled_from(list(PACKERS)), st.integers(1, 400), st.integers(0, 400))
def test_complete_or_too_large(content: bytes, encoding: str | None, size: int, limit: int) -> None:
    packed = PACKERS[encoding](content)
    is_within = max(len(content), len(packed)) <= limit
    assert read(Body(encoding, limit), packed, size) == (content if is_within else None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    body = Body(encoding, 2**16)
    assert not body.fits(PACKERS[encoding](bytes(2**24)))
    assert len(body._unpacked) == 2**16 + 1


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400), st.data())
def test_a_packed_body_without_its_end_is_an_error(content: bytes, size: int, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    cut = packed[: data.draw(st.integers(1, len(packed) - 1))]
    with pytest.raises(gzip.BadGzipFile, match="the end of the packed body is missing"):
        read(Body("gzip", 1000), cut, size)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("more", [b"\0", b"junk", gzip.compress(b"more")], ids=["zero", "junk", "gzip"])
def test_a_packed_body_with_more_after_its_end_is_an_error(more: bytes, size: int) -> None:
    with pytest.raises(gzip.BadGzipFile, match="the packed body continues after its end"):
        read(Body("gzip", 1000), gzip.compress(b"{}") + more, size)


def test_endless_empty_blocks_are_bounded() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)
    body = Body("gzip", 1000)
    assert body.fits(packed)
    empty_block = b"\0\0\0\xff\xff"
    assert sum(body.fits(empty_block) for _ in range(1000)) < 200


def test_wrong_content_encoding() -> None:
    with pytest.raises(gzip.BadGzipFile, match="not packed as Content-Encoding says") as caught:
        read(Body("gzip", 1000), b"plain", 10)
    assert caught.value.__cause__ is None


def test_an_empty_body_is_not_unpacked() -> None:
    assert read(Body("gzip", 1000), b"", 10) == b""
