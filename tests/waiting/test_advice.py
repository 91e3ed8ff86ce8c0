from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from modes import MODES, context, sensor, wait

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
)
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.advice import (
    AWAY,
    NOT_LISTED,
    NOT_RESTORABLE,
    STUCK,
    UNREADABLE,
    advised,
    no_triggerer,
)

LOG = logging.getLogger("tests.advice")


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("hint", [STUCK, NOT_RESTORABLE, UNREADABLE, NOT_LISTED, AWAY, no_triggerer()])
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("statuses", "options", "text"),
    [
        (("DOING",), {"soft_fail": True, "timeout": 0.3}, "bak-1 still DOING after "),
        (("DOING", "FAILED"), {"soft_fail": True}, "Backup ended with status FAILED: "),
        (("DOING", "FAILED"), {"never_fail": True}, "Backup ended with status FAILED: "),
        (("DOING", 400), {"never_fail": True}, "Request refused (HTTP 400): "),
    ],
)
def test_a_skip_is_no_error(
    mode: str,
    statuses: tuple[str | int, ...],
    options: dict[str, Any],
    text: str,
    cloud: CloudEmulator,
    logged: Callable[[], str],
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=statuses)
    with pytest.raises(AirflowSkipException) as caught:
        wait(mode, **options)
    lines = logged()
    # What happened is not lost: Airflow logs only the text of the skip.
    assert text in str(caught.value) or text in lines
    # As Airflow 2, and as Airflow 3 shows the level.
    assert "ERROR" not in lines
    assert "[error" not in lines


@pytest.mark.parametrize("hint", [STUCK, NOT_RESTORABLE, UNREADABLE, NOT_LISTED, AWAY])
def test_the_advice_of_a_deferred_timeout_is_logged_once(hint: str, logged: Callable[[], str]) -> None:
    event = {"timeout": f"bak-1 still DOING after 6 h: timed out. {hint}"}
    with pytest.raises(AirflowSensorTimeout, match="bak-1 still DOING"):
        sensor(deferrable=True).resume_execution("execute_complete", {"event": event}, context())
    # Airflow 2 logs each line twice.
    assert logged().count(hint.partition(". ")[0]) in (1, 2)
