"""Bad responses, each with the error that it causes."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import answer as vendors_answer
from conftest import set_connection
from faults.server import Behaviour, RawServer, answer, backup_set, bomb, drip, endless, hang, reset

from airflow_provider_oceanbase.exceptions import (
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


@dataclass
class Fault:
    """A bad response, and the error that it causes.

    :param timeout: timeout of the connection; long enough for a busy machine if the server does respond
    """

    behaviour: Behaviour
    error: type[OceanBaseCloudError]
    says: str
    timeout: float = 10.0


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
    "405 without body": Fault(answer(b"", 405), OceanBaseRefusedError, "HTTP status 405"),
    "204": Fault(answer(b"", 204), OceanBaseRefusedError, "HTTP status 204"),
    "429": Fault(answer(ENVELOPE, 429), OceanBaseThrottledError, "raise poke_interval"),
    "429, wait -5": Fault(answer(b"", 429, Retry_After="-5"), OceanBaseThrottledError, "too many requests"),
    "429, wait soon": Fault(
        answer(b"", 429, Retry_After="soon"), OceanBaseThrottledError, "too many requests"
    ),
    "500": Fault(answer(ENVELOPE, 500), OceanBaseUnavailableError, "HTTP status 500"),
    "502 with HTML": Fault(answer(HTML, 502), OceanBaseUnavailableError, "HTTP status 502"),
    "503": Fault(answer(b"", 503), OceanBaseUnavailableError, "the service failed"),
    "504": Fault(answer(b"", 504), OceanBaseUnavailableError, "HTTP status 504"),
    "success: false": Fault(
        answer(ENVELOPE), OceanBaseRefusedError, "quote the requestId to OceanBase support"
    ),
    "success missing": Fault(
        answer({"data": {"status": "DONE"}}), OceanBaseMalformedResponseError, "no field success"
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
        answer({"success": True, "data": ["DONE"]}), OceanBaseMalformedResponseError, "data are no object"
    ),
    "no status": Fault(backup_set(status=None), OceanBaseMalformedResponseError, "data have no status"),
    "tenants of a wrong type": Fault(
        backup_set(tenantBackupSetList=[None]), OceanBaseMalformedResponseError, "an entry that is no object"
    ),
    "short body": Fault(
        answer(b'{"success": true', length=999),
        OceanBaseUnavailableError,
        "no complete response from http://127",
    ),
    "reset": Fault(reset(), OceanBaseUnavailableError, "no complete response from http://127"),
    "reset in the body": Fault(
        reset(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        OceanBaseUnavailableError,
        "no complete response",
    ),
    "not HTTP": Fault(
        reset(b"220 smtp.example ESMTP\r\n"), OceanBaseUnavailableError, "no complete response"
    ),
    "no answer": Fault(hang, OceanBaseUnavailableError, "in time (timeout 0.3 s)", 0.3),
    "a byte now and then": Fault(drip, OceanBaseUnavailableError, "in time (timeout 0.3 s)", 0.3),
    "endless body": Fault(endless, OceanBaseMalformedResponseError, "the response is larger than 1 MiB"),
    "gzip bomb": Fault(bomb(2**24), OceanBaseMalformedResponseError, "the response is larger than 1 MiB"),
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
        answer(b"", 302, Location="/api"), OceanBaseRefusedError, "Redirects are not followed"
    ),
    "redirect": Fault(
        answer(b"", 307, Location="http://127.0.0.2:9/"), OceanBaseRefusedError, "Redirects are not followed"
    ),
}


def connect(monkeypatch: pytest.MonkeyPatch, server: RawServer, **extra: Any) -> None:
    set_connection(monkeypatch, host=server.origin, extra={"timeout": 10} | extra)
