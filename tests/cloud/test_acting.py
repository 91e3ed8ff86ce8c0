"""Whether a request may have acted."""

from __future__ import annotations

import pytest

from airflow_provider_oceanbase.cloud.acting import may_have_acted

NO_RESPONSE = None


@pytest.mark.parametrize(
    ("sent", "acted", "statuses"),
    [
        (
            True,
            True,
            (NO_RESPONSE, 100, 101, 103, 200, 201, 204, 300, 301, 302, 303, 304, 408, 500, 599),
        ),
        (True, False, (307, 308, 400, 401, 403, 404, 405, 407, 409, 429, 499)),
        (False, True, (200, 202, 204)),
        (False, False, (NO_RESPONSE, 100, 102, 302, 303, 307, 400, 401, 404, 408, 429, 500, 503)),
    ],
)
def test_may_have_acted(sent: bool, acted: bool, statuses: tuple[int | None, ...]) -> None:
    found = {status: may_have_acted(status, sent=sent) for status in statuses}
    assert found == dict.fromkeys(statuses, acted)
