"""What both clients refuse, by the same rule and in the same words."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from faults.server import answer, bomb, pour, serve

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
