"""What both clients refuse, by the same rule and in the same words."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from faults.server import answer, bomb, framed, pour, serve

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.requests_client import RequestsClient, new_session

REQUEST = backup_set_request("ob-1", "bak-1")


#: What aiohttp or urllib3 would quote in a warning, at any length.
QUOTED = {
    "a cookie": b"Set-Cookie: " + b"foreign," * 5000 + b"=1\r\n",
    "no header": b"foreign foreign\r\nX: " + b"foreign" * 5000 + b"\r\n",
    "a fold": b"X: foreign\r\n foreign\r\n",
    "NUL": b"X: foreign\0\r\n",
}


def in_a_task(endpoint: Endpoint) -> None:
    client = RequestsClient(new_session(endpoint), endpoint, logging.getLogger())
    with client.session:
        client.fetch(REQUEST, retry=False)


def in_a_triggerer(endpoint: Endpoint) -> None:
    async def fetch() -> None:
        async with aclosing(AiohttpClient(endpoint)) as client:
            await client.fetch(REQUEST)

    asyncio.run(fetch())


@pytest.fixture(params=[in_a_task, in_a_triggerer])
def failure(request: pytest.FixtureRequest) -> Callable[..., OceanBaseCloudError]:
    """Return the error of a request in one of the clients."""

    def of(origin: str, **fields: Any) -> OceanBaseCloudError:
        with pytest.raises(OceanBaseCloudError) as caught:
            request.param(Endpoint("ob", origin, "key", "secret", **{"timeout": 5.0} | fields))
        return caught.value

    return of


def test_a_certificate_with_a_common_name_alone(
    failure: Callable[..., OceanBaseCloudError], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    with serve(answer(), context=make_certificate(bundle, host=None, common_name="localhost")) as server:
        # Otherwise it is a good one.
        context = ssl.create_default_context(cafile=bundle)
        assert context.hostname_checks_common_name
        error = failure(f"https://localhost:{server.port}", verify=str(bundle))
    assert type(error) is OceanBaseUnavailableError
    assert "not valid for 'localhost'" in str(error)
    assert server.requests == []


@pytest.mark.parametrize("name", QUOTED)
@pytest.mark.parametrize("fetch", [in_a_task, in_a_triggerer])
def test_what_a_server_sends_is_not_logged(
    name: str, fetch: Callable[[Endpoint], None], caplog: pytest.LogCaptureFixture
) -> None:
    odd = framed(lambda body: b"HTTP/1.1 200 OK\r\n" + QUOTED[name] + b"\r\n" + body)
    with serve(odd) as server, caplog.at_level(logging.INFO), suppress(OceanBaseUnavailableError):
        fetch(Endpoint("ob", server.origin, "key", "secret", timeout=5.0))
    assert len(server.requests) == 1
    assert "foreign" not in caplog.text


@pytest.mark.parametrize(
    "redirect",
    [pour(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"), bomb(2**30, 302, Location="/elsewhere")],
    ids=["endless", "bomb"],
)
def test_the_body_of_a_redirect_is_bounded(
    redirect: Any, failure: Callable[..., OceanBaseCloudError], small_limits: None
) -> None:
    with serve(redirect) as server:
        error = failure(server.origin)
        # What the sockets buffer comes on top.
        assert server.sent_bytes < 64 * 2**20
    assert type(error) is OceanBaseMalformedResponseError
    assert "larger than 1 MiB" in str(error)


def test_the_address_of_a_redirect_is_not_read(failure: Callable[..., OceanBaseCloudError]) -> None:
    with serve(answer(status=302, Location="http://[")) as server:
        error = failure(server.origin)
    assert type(error) is OceanBaseRefusedError
    assert "a redirect" in str(error)
