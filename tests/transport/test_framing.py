"""What both clients take for a response, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.transport.framing import BadResponseError, Framing

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = b"Content-Length: 3\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PLAIN = OK + SIZED + b"\r\nabc"

#: What is received, and what is passed on.
GOOD = {
    "plain": (PLAIN, PLAIN),
    "line feeds": (PLAIN.replace(b"\r\n", b"\n"), PLAIN),
    "no reason": (b"HTTP/1.0 200\r\n\r\nabc", b"HTTP/1.0 200\r\n\r\nabc"),
    "blanks": (OK + b"X :\t a b \t\r\n" + SIZED + b"\r\nabc", OK + b"X: a b\r\n" + SIZED + b"\r\nabc"),
    "a folded header": (
        OK + b"X: a\r\n  b\r\n\t\r\n" + SIZED + b"\r\nabc",
        OK + b"X: a b\r\n" + SIZED + b"\r\nabc",
    ),
    "the same length twice": (OK + SIZED + SIZED + b"\r\nabc", PLAIN),
    "a list of the same length": (OK + b"Content-Length: 3, 3\r\n\r\nabc", PLAIN),
    "identity": (OK + b"Transfer-Encoding: identity\r\n" + SIZED + b"\r\nabc", PLAIN),
    "interim": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nContent-Length: 9\r\n\r\n" + PLAIN, PLAIN),
    "chunks": (
        CHUNKED + b"2;x=1\r\nab\r\n01 \nc\n0\r\nX: 1\r\n\r\n",
        CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    ),
    "204 with a length": (
        b"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\n",
    ),
    "304 with chunks": (
        b"HTTP/1.1 304 N\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 N\r\n\r\n",
    ),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n"),
}

#: What one of curl, requests and aiohttp at least refuses, or reads in another way than the others.
BAD = {
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "a bare line": b"hello\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "an empty line first": b"\r\n" + PLAIN,
    "a blank first": b" " + PLAIN,
    "two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "a tab": b"HTTP/1.1\t200 OK\r\n\r\n",
    **{
        f"status {status}": f"HTTP/1.1 {status} OK\r\n\r\n".encode()
        for status in ("20", "0200", "+200", "000", "099", "1000", "2e2", "101")
    },
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "no colon": OK + b"no colon\r\n\r\n",
    "no name": OK + b": 1\r\n\r\n",
    "a blank in a name": OK + b"X Y: 1\r\n\r\n",
    "a bracket in a name": OK + b"X(Y): 1\r\n\r\n",
    "no ASCII in a name": OK + b"X\xe8: 1\r\n\r\n",
    "NUL in a value": OK + b"X: a\0b\r\n\r\n",
    "CR in a value": OK + b"X: a\rb\r\n\r\n",
    "NUL in a folded value": OK + b"X: a\r\n \0\r\n\r\n",
    "a folded header first": OK + b" X: 1\r\n\r\n",
    "a line too long": OK + b"X: " + b"x" * protocol.MAX_HEADER_BYTES,
    "a folded line too long": OK + b"X: 1\r\n" + (b" " + b"x" * 0x7FFF + b"\r\n") * 2,
    "too many headers": OK + b"X: 1\r\n" * (protocol.MAX_HEADERS + 1),
    "too many interim responses": b"HTTP/1.1 100 C\r\n\r\n" * 21,
    **{
        f"Content-Length {length!r}": f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
        for length in ("", "-1", "+1", "1e3", "0x1", "1_0", "3, 4", "3,", "9" * 19)
    },
    "two lengths": OK + SIZED + b"Content-Length: 4\r\n\r\n",
    "a length and chunks": OK + SIZED + b"Transfer-Encoding: chunked\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    **{
        f"chunk {size!r}": CHUNKED + f"{size}\r\n".encode()
        for size in ("", "x", "-1", "+1", "0x1", "1_0", " 1", "1;\0", "1;\r", "F" * 16)
    },
    "no end of a chunk": CHUNKED + b"1\r\naX",
    "half an end of a chunk": CHUNKED + b"1\r\na\rX",
    "an odd trailer": CHUNKED + b"0\r\nno colon\r\n",
    "an endless trailer": CHUNKED + b"0\r\n" + b"X: 1\r\n" * (protocol.MAX_HEADERS + 1),
    "an endless chunk extension": CHUNKED + b"1;x=" + b"x" * protocol.MAX_HEADER_BYTES,
}


def read(framing: Framing, parts: list[bytes]) -> bytes:
    fed = [framing.feed(part) for part in parts]
    assert not any(has_more for _, has_more in fed)
    return b"".join(passed for passed, _ in fed)


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    received, passed = GOOD[name]
    for size in (1, 2, 7, len(received)):
        framing = Framing()
        parts = [received[at : at + size] for at in range(0, len(received), size)]
        assert read(framing, parts) == passed
        assert framing.may_end
        # Without a length, it ends with the connection.
        assert framing.complete == (name != "no reason")


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    for size in (1, len(BAD[name])):
        framing = Framing()
        with pytest.raises(BadResponseError):
            read(framing, [BAD[name][at : at + size] for at in range(0, len(BAD[name]), size)])
        assert not framing.complete


def test_no_part_of_a_head_is_passed_before_the_whole() -> None:
    framing = Framing()
    for byte in PLAIN[: PLAIN.index(b"abc") - 1]:
        assert framing.feed(bytes([byte])) == (b"", False)
    assert not framing.has_head
    assert framing.feed(b"\nab") == (PLAIN[:-1], False)
    assert framing.has_head
    assert not framing.may_end


@pytest.mark.parametrize("name", [name for name in GOOD if name != "no reason"])
def test_what_comes_after_the_end(name: str) -> None:
    received, passed = GOOD[name]
    for more in (b"\r\n", b"x", PLAIN):
        framing = Framing()
        assert framing.feed(received + more) == (passed, True)
        assert framing.complete


@pytest.mark.parametrize("head", [OK + SIZED + b"\r\n", CHUNKED])
def test_a_response_to_head_has_no_body(head: bytes) -> None:
    framing = Framing(has_body=False)
    assert framing.feed(head) == (head, False)
    assert framing.complete


@given(
    st.binary(max_size=60).map(OK.__add__)
    | st.binary(max_size=60).map(CHUNKED.__add__)
    | st.lists(st.sampled_from([b"X:1", b"X: 1", b"content-length:3 ", b"Content-Length: 3", b"Y:\xff"]))
    .map(lambda lines: b"".join(line + b"\r\n" for line in lines))
    .map(lambda head: OK + head + b"\r\nabc"),
    st.data(),
)
def test_segments_make_no_difference(received: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(received)))
    results = []
    for parts in ([received], [received[:at], received[at:]]):
        framing = Framing()
        try:
            passed = b"".join(framing.feed(part)[0] for part in parts)
        except BadResponseError:
            results.append(None)
        else:
            # A head that comes at once is passed on as it is.
            plain = read(Framing(), [passed[at : at + 1] for at in range(len(passed))])
            results.append((plain, framing.complete, framing.may_end))
    assert results[0] == results[1]
