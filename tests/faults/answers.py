"""The table of faults: bad and odd responses, and what must come of each."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from conftest import answer as vendors_answer
from conftest import set_connection
from digest_server import refuse
from faults.server import (
    Behaviour,
    Exchange,
    RawServer,
    answer,
    bomb,
    drip,
    endless,
    found,
    framed,
    hang,
    interim,
    pour,
    repeat,
    reset,
    stall,
    trickle,
)

from airflow_provider_oceanbase.cloud.query import new_request_id
from airflow_provider_oceanbase.exceptions import (
    BackupStartUnknownError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)

ENVELOPE = {"success": False, "errorCode": "E001R000", "errorMessage": "Unknown Error", "requestId": "theirs"}
HTML = b"<html><body>Bad Gateway</body></html>"

#: Whoever sends a request: each must come to the same.
COLUMNS = ("operator", "poke", "reschedule", "deferred", "watch", "start")
READING = COLUMNS[:-1]


@dataclass(frozen=True)
class Fault:
    """A bad response, and the error that it causes; or an odd one that is as good as any.

    :param behaviour: how the server, or with ``via`` the proxy, responds
    :param error: what is raised; a transient error only if it stays, otherwise the request succeeds later.
        None: the response is good
    :param says: what the error says, raised or logged
    :param timeout: timeout of the connection; long enough for a busy machine if the server does respond
    :param start: what a start of a backup raises, None for nothing; default: what follows from ``error``
    :param columns: who can receive it
    :param via: what is between: nothing, a proxy, a proxy and TLS through its tunnel, or a server whose
        certificate is bad at first
    :param is_challenge: whether it is the first challenge; other faults come after one
    """

    behaviour: Behaviour
    error: type[OceanBaseCloudError] | None = None
    says: str = ""
    timeout: float = 10.0
    start: type[Exception] | Literal["derived"] | None = "derived"
    columns: tuple[str, ...] = COLUMNS
    via: Literal["", "proxy", "tunnel", "tls"] = ""
    is_challenge: bool = False

    def raised(self, column: str) -> type[Exception] | None:
        """What is raised if the fault passes, or stays if no request after it could be any better."""
        if column == "start":
            return self._raised_by_start()
        # A watch goes on, whatever happens.
        is_over = self.error is None or self.error.transient or column == "watch"
        return None if is_over else self.error

    def _raised_by_start(self) -> type[Exception] | None:
        if self.start != "derived":
            return self.start
        if self.error is None or not self.error.transient:
            return self.error
        # Without a connection, and after HTTP 429, nothing was started.
        is_repeated = self.error is OceanBaseThrottledError or self.via
        return None if is_repeated else BackupStartUnknownError


def challenged(odd: Behaviour, *needed: str) -> Behaviour:
    """Challenge by an odd response; serve a request whose head has what is needed."""

    def behave(exchange: Exchange) -> bool:
        return (found() if all(text in exchange.head for text in needed) else odd)(exchange)

    return behave


CHALLENGE = 'Digest realm="r", nonce="odd", qop="auth"'
UNAUTHORIZED = f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {CHALLENGE}\r\n".encode()
NO_DIGEST = "No digest authentication that is known"
OK = b"HTTP/1.1 200 OK\r\n"


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(body: bytes) -> bytes:
    chunks = (
        b"%x;odd=1\r\n%s\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7)
    )
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\nX-Trailer: 1\r\n\r\n"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


FAULTS: dict[str, Fault] = {
    "400 with envelope": Fault(
        answer(ENVELOPE, 400),
        OceanBaseRefusedError,
        "errorCode E001R000, errorMessage Unknown Error, requestId theirs",
    ),
    "401 without challenge": Fault(answer(ENVELOPE, 401), OceanBaseAuthenticationError, "offered: nothing"),
    "401 with Basic": Fault(
        answer(b"", 401, WWW_Authenticate='Basic realm="x"'), OceanBaseAuthenticationError, "offered: Basic"
    ),
    "401 with auth-int only": Fault(
        answer(b"", 401, WWW_Authenticate='Digest realm="r", nonce="n", qop="auth-int"'),
        OceanBaseAuthenticationError,
        "offered: Digest",
    ),
    "401 with unknown algorithm": Fault(
        answer(b"", 401, WWW_Authenticate='Digest realm="r", nonce="n", algorithm=ROT13'),
        OceanBaseAuthenticationError,
        "offered: Digest",
    ),
    "401 without nonce": Fault(
        answer(b"", 401, WWW_Authenticate='Digest realm="r"'), OceanBaseAuthenticationError, "offered: Digest"
    ),
    "403": Fault(answer(ENVELOPE, 403), OceanBaseAuthenticationError, "may not do this"),
    "404": Fault(
        answer(ENVELOPE, 404), OceanBaseNotFoundError, "Check the instance ID and the backup task ID"
    ),
    "405 without body": Fault(answer(b"", 405), OceanBaseRefusedError, "HTTP 405"),
    "204": Fault(answer(b"", 204), OceanBaseRefusedError, "HTTP 204", start=BackupStartUnknownError),
    "408": Fault(answer(b"", 408), OceanBaseUnavailableError, "HTTP 408"),
    "409": Fault(answer(ENVELOPE, 409), OceanBaseRefusedError, "HTTP 409"),
    "429": Fault(answer(ENVELOPE, 429), OceanBaseThrottledError, "raise poke_interval"),
    "429, wait -5": Fault(answer(b"", 429, Retry_After="-5"), OceanBaseThrottledError, "Too many requests"),
    "429, wait soon": Fault(
        answer(b"", 429, Retry_After="soon"), OceanBaseThrottledError, "Too many requests"
    ),
    "500": Fault(answer(ENVELOPE, 500), OceanBaseUnavailableError, "HTTP 500"),
    "502 with HTML": Fault(answer(HTML, 502), OceanBaseUnavailableError, "HTTP 502"),
    "503": Fault(answer(b"", 503), OceanBaseUnavailableError, "Service failed"),
    "504": Fault(answer(b"", 504), OceanBaseUnavailableError, "HTTP 504"),
    "success: false": Fault(
        answer(ENVELOPE), OceanBaseRefusedError, "quote the requestId to OceanBase support"
    ),
    "success missing": Fault(
        answer({"data": {"status": "DONE"}}), OceanBaseMalformedResponseError, "without the field success"
    ),
    "captive portal": Fault(
        answer(HTML, Content_Type="text/html"), OceanBaseMalformedResponseError, "37 bytes of text/html"
    ),
    "truncated JSON": Fault(
        answer(json.dumps(vendors_answer()).encode()[:-9]),
        OceanBaseMalformedResponseError,
        "not the documented JSON",
    ),
    "data of a wrong type": Fault(
        answer({"success": True, "data": ["DONE"]}),
        OceanBaseMalformedResponseError,
        "not as documented (data",
    ),
    "no status": Fault(
        found(status=None), OceanBaseMalformedResponseError, "data have no status", columns=READING
    ),
    "tenants of a wrong type": Fault(
        found(tenantBackupSetList=[None]),
        OceanBaseMalformedResponseError,
        "an entry that is no object",
        columns=READING,
    ),
    "short body": Fault(
        answer(b'{"success": true', length=999),
        OceanBaseUnavailableError,
        "No complete response",
    ),
    "reset": Fault(reset(), OceanBaseUnavailableError, "No complete response"),
    "reset in the body": Fault(
        reset(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        OceanBaseUnavailableError,
        "No complete response",
    ),
    "not HTTP": Fault(
        reset(b"220 smtp.example ESMTP\r\n"), OceanBaseUnavailableError, "No complete response"
    ),
    "no answer": Fault(hang, OceanBaseUnavailableError, "in time (timeout 0.3 s)", timeout=0.3),
    "a byte now and then": Fault(drip, OceanBaseUnavailableError, "in time (timeout 0.3 s)", timeout=0.3),
    "endless body": Fault(endless, OceanBaseMalformedResponseError, "Response larger than 1 MiB"),
    "gzip bomb": Fault(bomb(2**24), OceanBaseMalformedResponseError, "Response larger than 1 MiB"),
    "no gzip": Fault(
        answer(b"plain", Content_Encoding="gzip"),
        OceanBaseUnavailableError,
        "not packed as Content-Encoding says",
    ),
    "half a gzip": Fault(
        answer(gzip.compress(b"{}")[:-8], Content_Encoding="gzip"),
        OceanBaseUnavailableError,
        "the end of the packed body is missing",
    ),
    "gzip, then more": Fault(
        answer(gzip.compress(b"{}") + b"more", Content_Encoding="gzip"),
        OceanBaseUnavailableError,
        "the packed body continues after its end",
    ),
    "unknown packing": Fault(
        answer(b"packed", Content_Encoding="br"), OceanBaseMalformedResponseError, "not the documented JSON"
    ),
    "redirect to itself": Fault(
        answer(b"", 302, Location="/api"),
        OceanBaseRefusedError,
        "Response is a redirect",
        start=BackupStartUnknownError,
    ),
    "redirect": Fault(
        answer(b"", 307, Location="http://127.0.0.2:9/"), OceanBaseRefusedError, "Redirects are not followed"
    ),
    "303": Fault(
        answer(b"", 303, Location="/api"),
        OceanBaseRefusedError,
        "Response is a redirect",
        start=BackupStartUnknownError,
    ),
    # Challenges.
    "401 again": Fault(refuse(CHALLENGE), OceanBaseAuthenticationError, "AccessKey refused"),
    "401, always stale": Fault(
        refuse(f"{CHALLENGE}, stale=true"),
        OceanBaseUnavailableError,
        "Fresh nonce called stale",
        start=None,
    ),
    "401 with a byte that is no UTF-8": Fault(
        refuse('Digest realm="r", nonce="\udce8", qop="auth"'), OceanBaseAuthenticationError, NO_DIGEST
    ),
    "401 with a control character": Fault(
        refuse('Digest realm="r", nonce="n\x01", qop="auth"'), OceanBaseAuthenticationError, NO_DIGEST
    ),
    "401 that stalls": Fault(
        stall(UNAUTHORIZED + b"Content-Length: 99\r\n\r\n{"),
        OceanBaseUnavailableError,
        "in time (timeout 0.3 s)",
        timeout=0.3,
        start=None,
    ),
    "403 that stalls": Fault(
        stall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\n{"),
        OceanBaseUnavailableError,
        "in time (timeout 0.3 s)",
        timeout=0.3,
        start=None,
    ),
    "101": Fault(
        framed(lambda body: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
        OceanBaseUnavailableError,
        "No complete response",
    ),
    "401 that is no gzip": Fault(
        challenged(answer(b"plain", 401, WWW_Authenticate=CHALLENGE, Content_Encoding="gzip"), 'nonce="odd"'),
        is_challenge=True,
    ),
    "401 without end": Fault(challenged(pour(UNAUTHORIZED), 'nonce="odd"'), is_challenge=True),
    "401 with a cookie that is needed": Fault(
        challenged(refuse(CHALLENGE, Set_Cookie="NODE=1; Path=/"), 'nonce="odd"', "Cookie: NODE=1"),
        is_challenge=True,
    ),
    "401 with quotes and backslashes": Fault(
        challenged(
            refuse(r'Digest realm="a\"b\\c", nonce="o\"d\\d", opaque="\"", qop="auth"'),
            r'realm="a\"b\\c"',
            r'nonce="o\"d\\d"',
            r'opaque="\""',
        ),
        is_challenge=True,
    ),
    "401 with a realm beyond ASCII": Fault(
        challenged(refuse('Digest realm="é", nonce="odd", qop="auth"'), 'nonce="odd"'), is_challenge=True
    ),
    "401 with empty elements and tabs": Fault(
        challenged(refuse(', ,\tDigest\trealm="r",, nonce="odd"\t,\tqop="auth",'), 'nonce="odd"'),
        is_challenge=True,
    ),
    "401 whose first challenge is unknown": Fault(
        challenged(
            refuse(f'Negotiate abc==, Digest realm="r", nonce="n", algorithm=ROT13, {CHALLENGE}'),
            'nonce="odd"',
        ),
        is_challenge=True,
    ),
    # Odd, but good.
    "interim responses": Fault(interim(found())),
    "a header of 20 kB": Fault(found({"X-Long": "x" * 20_000})),
    "HTTP/1.0": Fault(framed(lambda body: b"HTTP/1.0 200 OK\r\n\r\n" + body)),
    "chunks of 7 bytes": Fault(framed(lambda body: OK + chunked(body))),
    "x-gzip": Fault(found({"Content-Encoding": "x-gzip"}, gzip.compress)),
    "deflate": Fault(found({"Content-Encoding": "deflate"}, zlib.compress)),
    "bytes after the body": Fault(framed(lambda body: OK + sized(body) + b"more")),
    "two equal lengths": Fault(framed(lambda body: OK + b"Content-Length: %d\r\n" % len(body) + sized(body))),
    "cookies of 60 kB": Fault(found({"Set-Cookie": "a," * 30_000 + "=1"})),
    "byte order mark": Fault(found(packed=b"\xef\xbb\xbf".__add__)),
    "a number of 70 bits": Fault(found(dataVersion=2**70, downloadTaskId=-(2**70), dataBackupSize=10**400)),
    "half a surrogate pair": Fault(found(tenantName="a\ud800", backupMode="\udfff"), columns=READING),
    "NUL": Fault(found(tenantName="a\0", **{"a\0": "\0"}), columns=READING),
    "a size that is no number": Fault(found(dataBackupSize={"GB": "12"}), columns=READING),
    "validity of 100 kB": Fault(
        found(validity="V" * 100_000),
        OceanBaseMalformedResponseError,
        "validity is too long",
        columns=READING,
    ),
    "status of 1 MB": Fault(
        found(status="D" * 1_000_000),
        OceanBaseMalformedResponseError,
        "status is too long",
        columns=READING,
    ),
    "20 levels": Fault(
        found(extra=nested(20)), OceanBaseMalformedResponseError, "nested deeper than", columns=READING
    ),
    "100,000 levels": Fault(
        answer(b"[" * 100_000), OceanBaseMalformedResponseError, "not the documented JSON"
    ),
    "a size of NaN": Fault(
        found(dataBackupSize=float("nan")), OceanBaseMalformedResponseError, "not the documented JSON"
    ),
    "a size without bound": Fault(
        framed(lambda body: OK + sized(body.replace(b"{", b'{"x": 1e999, ', 1))),
        OceanBaseMalformedResponseError,
        "not the documented JSON",
    ),
    "backupTaskId of 1 MB": Fault(
        found(backupTaskId="b" * 1_000_000),
        OceanBaseMalformedResponseError,
        "data have no backupTaskId",
        columns=("start",),
    ),
    "backupTaskId with NUL": Fault(
        found(backupTaskId="b\0"), OceanBaseMalformedResponseError, "no backupTaskId", columns=("start",)
    ),
    "backupTaskId with half a surrogate pair": Fault(
        found(backupTaskId="b\ud800"), OceanBaseMalformedResponseError, "no backupTaskId", columns=("start",)
    ),
    # Heads that no client reads.
    "a header of 100 kB": Fault(
        found({"X-Long": "x" * 100_000}), OceanBaseUnavailableError, "No complete response"
    ),
    # Content-Type and Content-Length are two more.
    "99 headers": Fault(found({f"X-{number}": "1" for number in range(97)})),
    "100 headers": Fault(
        found({f"X-{number}": "1" for number in range(98)}), OceanBaseUnavailableError, "No complete response"
    ),
    **{
        f"{what} that trickles in": Fault(
            trickle(start, again), OceanBaseUnavailableError, "in time (timeout 0.3 s)", timeout=0.3
        )
        for what, start, again in (
            ("a head", OK + b"X-Long: ", b" "),
            ("an extension of a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"x"),
            ("a trailer", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ", b" "),
        )
    },
    "100 Continue without end": Fault(
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), OceanBaseUnavailableError, "No complete response"
    ),
    "trailers without end": Fault(
        repeat(b"X-Trailer: 1\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        OceanBaseUnavailableError,
        "No complete response",
    ),
    "a line that is no header": Fault(
        framed(lambda body: OK + b"no colon\r\n" + sized(body)),
        OceanBaseUnavailableError,
        "No complete response",
    ),
    "40 interim responses": Fault(
        interim(found(), count=20), OceanBaseUnavailableError, "No complete response"
    ),
    "the response to another request": Fault(
        framed(lambda body: OK + sized(body.replace(b"theirs", new_request_id().encode()))),
        OceanBaseMalformedResponseError,
        "Response to another request",
    ),
    # Proxies and certificates.
    "407": Fault(answer(b"", 407), OceanBaseRefusedError, "Proxy wants a password", via="proxy"),
    "CONNECT 407": Fault(answer(b"", 407), OceanBaseRefusedError, "Proxy wants a password", via="tunnel"),
    "CONNECT 403": Fault(answer(b"", 403), OceanBaseRefusedError, "Proxy refuses to connect", via="tunnel"),
    "CONNECT 502": Fault(
        answer(b"", 502), OceanBaseUnavailableError, "Proxy cannot reach the API host", via="tunnel"
    ),
    "CONNECT 407 with a header of 20 kB": Fault(
        answer(b"", 407, X_Long="x" * 20_000),
        OceanBaseRefusedError,
        "Proxy wants a password",
        via="tunnel",
    ),
    "CONNECT reset": Fault(reset(), OceanBaseUnavailableError, "No complete response", via="tunnel"),
    "CONNECT, no answer": Fault(
        hang, OceanBaseUnavailableError, "in time (timeout 0.3 s)", timeout=0.3, via="tunnel"
    ),
    "certificate by common name": Fault(
        found(), OceanBaseUnavailableError, "certificate is not valid for 'localhost'", via="tls"
    ),
}


#: One of each class, for tests that need no more.
TYPICAL = ("400 with envelope", "403", "404", "429", "503", "captive portal")


def connect(monkeypatch: pytest.MonkeyPatch, server: RawServer, **extra: Any) -> None:
    set_connection(monkeypatch, host=server.origin, extra={"timeout": 10} | extra)
