from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_oceanbase import __version__
from airflow_provider_oceanbase.cloud import failures, protocol
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.cloud.query import Answer
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)

ENDPOINT = Endpoint(conn_id="ob", origin="https://api.example", access_key_id="k", access_key_secret="s")
REQUEST = backup_set_request("ob-1", "bak-1")
FAILURE = {"success": False, "errorCode": "E001R000", "errorMessage": "Unknown Error", "requestId": "theirs"}
DIGEST = 'Digest realm="r", nonce="n", qop="auth"'


def read(status: int, body: object, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return protocol.read_response(REQUEST, "mine", status, names, raw)


def test_headers() -> None:
    assert protocol.request_headers(ENDPOINT, "client/1") == {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"airflow-provider-oceanbase/{__version__} client/1",
    }
    endpoint = Endpoint(
        conn_id="ob", origin="https://a", access_key_id="k", access_key_secret="s", project_id="p"
    )
    assert protocol.request_headers(endpoint, "client/1")["X-Ob-Project-Id"] == "p"


def test_success() -> None:
    data = {"status": "DOING"}
    assert read(200, {"success": True, "data": data, "requestId": "theirs"}) == (data, "theirs")
    assert read(200, {"success": True, "cost": 3, "server": "x"}) == (None, "mine")


@pytest.mark.parametrize(
    ("status", "body", "headers", "error_class", "says"),
    [
        (
            401,
            FAILURE,
            {"WWW_Authenticate": DIGEST},
            OceanBaseAuthenticationError,
            "AccessKey refused",
        ),
        (401, FAILURE, {}, OceanBaseAuthenticationError, "offered: nothing"),
        (401, b"", {"WWW_Authenticate": 'Basic realm="x"'}, OceanBaseAuthenticationError, "offered: Basic"),
        (
            401,
            b"",
            {"WWW_Authenticate": 'Digest realm="x", algorithm=ROT13, Basic'},
            OceanBaseAuthenticationError,
            "(offered: Digest ROT13, Basic)",
        ),
        (401, b"", {"WWW_Authenticate": DIGEST + ", stale=true"}, OceanBaseUnavailableError, "stale"),
        (403, FAILURE, {}, OceanBaseAuthenticationError, "may not do this"),
        (404, FAILURE, {}, OceanBaseNotFoundError, "Not found"),
        (407, b"", {}, OceanBaseRefusedError, "Proxy wants a password"),
        (408, b"", {}, OceanBaseUnavailableError, "Service failed"),
        (429, FAILURE, {"Retry_After": "7"}, OceanBaseThrottledError, "Too many requests"),
        (500, FAILURE, {}, OceanBaseUnavailableError, "Service failed"),
        (502, b"<html>", {}, OceanBaseUnavailableError, "Service failed"),
        (400, FAILURE, {}, OceanBaseRefusedError, "Request refused"),
        (200, FAILURE, {}, OceanBaseRefusedError, "Request refused"),
        (204, b"", {}, OceanBaseRefusedError, "Request refused"),
        (302, b"", {"Location": "/x"}, OceanBaseRefusedError, "Redirects are not followed"),
        (
            200,
            b"<html>",
            {"Content_Type": "text/html"},
            OceanBaseMalformedResponseError,
            "6 bytes of text/html",
        ),
        (200, b'{"success": tr', {}, OceanBaseMalformedResponseError, "not the documented JSON"),
        (200, b"\xff\xfe\x00", {}, OceanBaseMalformedResponseError, "not the documented JSON"),
        (200, b"[" * 100_000, {}, OceanBaseMalformedResponseError, "not the documented JSON"),
        (200, b'{"success": true, "data": NaN}', {}, OceanBaseMalformedResponseError, "documented JSON"),
        (200, b'{"success": true, "data": 1e999}', {}, OceanBaseMalformedResponseError, "documented JSON"),
        (200, [], {}, OceanBaseMalformedResponseError, "not the documented JSON"),
        (200, {}, {}, OceanBaseMalformedResponseError, "without the field success"),
        (200, {"success": "true"}, {}, OceanBaseMalformedResponseError, "whose success is no boolean"),
        (200, {"success": 1}, {}, OceanBaseMalformedResponseError, "whose success is no boolean"),
        (200, {"success": True, "data": 7}, {}, OceanBaseMalformedResponseError, "data are no object"),
    ],
)
def test_failures(
    status: int, body: object, headers: dict[str, str], error_class: type[OceanBaseCloudError], says: str
) -> None:
    with pytest.raises(OceanBaseCloudError) as caught:
        read(status, body, **headers)
    error = caught.value
    assert type(error) is error_class
    assert says in str(error)
    assert "backup task 'bak-1' of instance 'ob-1'" in str(error)
    assert error.status_code == status
    if body == FAILURE:
        assert (error.error_code, error.error_message, error.request_id) == (
            "E001R000",
            "Unknown Error",
            "theirs",
        )
        assert "errorCode E001R000, errorMessage Unknown Error, requestId theirs" in str(error)
    else:
        assert error.request_id == "mine"


def test_text_of_the_server_is_sanitized() -> None:
    with pytest.raises(OceanBaseRefusedError) as caught:
        read(400, FAILURE | {"errorMessage": "a\nb\x1b[2J" + "x" * 10_000, "errorCode": 7, "requestId": ""})
    assert caught.value.error_message is not None
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert caught.value.error_code is None
    assert caught.value.request_id == "mine"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", None),
        ("-7", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("31536000", 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Thu, 01 Jan 99999999 00:00:00 GMT", None),
        pytest.param(format_datetime(datetime.now(UTC) + timedelta(days=365)), 3600.0, id="in a year"),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert protocol.retry_after(header) == seconds


def test_retry_after_date() -> None:
    seconds = protocol.retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert seconds is not None
    assert 90 < seconds <= 100


def test_unreachable_names_the_root_cause() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as cause:
            raise RuntimeError("wrapped") from cause
    except RuntimeError as error:
        mapped = failures.unreachable(REQUEST, "mine", ENDPOINT, error, handled=None)
    assert isinstance(mapped, OceanBaseUnavailableError)
    assert str(mapped).startswith("Host refuses connections: ")
    assert mapped.request_id == "mine"
    assert "in time (timeout 30 s)" in str(
        failures.unreachable(REQUEST, "mine", ENDPOINT, TimeoutError(), handled=None)
    )
