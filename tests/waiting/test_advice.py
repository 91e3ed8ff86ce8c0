from __future__ import annotations

import logging

import pytest

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError
from airflow_provider_oceanbase.waiting.advice import AWAY, STUCK, advised, no_triggerer

LOG = logging.getLogger("tests.advice")


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("hint", [STUCK, AWAY, no_triggerer()])
def test_a_timeout_logs_what_to_do(hint: str, caplog: pytest.LogCaptureFixture) -> None:
    error = AirflowSensorTimeout(f"bak-1 still DOING after 6 h: timed out. {hint}")
    with pytest.raises(AirflowSensorTimeout) as caught:
        advised(LOG, lambda: fail(error))
    assert caught.value is error
    (line,) = caplog.messages
    assert hint.startswith(line)
    assert line.endswith(".")
    assert len(line) <= 85


def test_a_timeout_of_airflow_keeps_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AirflowSensorTimeout) as caught:
        advised(LOG, lambda: fail(AirflowSensorTimeout("Timeout, PID: 7")))
    assert caplog.messages == []
    assert [entry.name for entry in caught.traceback][-1] == "fail"


@pytest.mark.parametrize(
    ("conn_id", "named"),
    [
        ("oceanbase_default", "connection 'oceanbase_default'."),
        ("x" * 50, "the connection."),
        (None, "the connection."),
    ],
)
def test_the_advice_names_the_connection_if_there_is_room(conn_id: str | None, named: str) -> None:
    error = OceanBaseAuthenticationError("AccessKey refused", conn_id=conn_id)
    assert error.advice.endswith(named)
    assert error.advice in str(error)
    assert len(error.advice) <= 85
