"""What ``check`` requests."""

from __future__ import annotations

from contextlib import closing

import pytest
import requests_mock

from airflow_provider_oceanbase.cli.probes import observe
from airflow_provider_oceanbase.hooks import OceanBaseHook


@pytest.mark.parametrize(
    "answer",
    [{"text": "<html>Log in</html>"}, {"status_code": 503}, {"status_code": 401}, {"text": ""}],
    ids=str,
)
def test_what_meets_each_request_ends_with_the_first(answer: dict[str, object]) -> None:
    with requests_mock.Mocker() as server, closing(OceanBaseHook()) as hook:
        server.get(requests_mock.ANY, **answer)
        found = observe(hook, "ob-1", lambda text: None)
    assert len(server.request_history) == 1
    assert found.page is None
    assert found.instances.error is not None
