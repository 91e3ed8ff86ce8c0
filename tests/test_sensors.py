from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import requests_mock
from conftest import URL, answer, set_connection
from modes import context, rescheduled
from modes import sensor as any_sensor

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, first_reschedule_date
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseInputError,
    OceanBaseRefusedError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.sensors import BackupSetSensor

DOING = {"json": answer(status="DOING")}
DONE = {"json": answer()}
DOWN = {"status_code": 503}
REFUSED = {"json": {"success": False, "errorCode": "E1"}}
UNAUTHORIZED = {
    "status_code": 401,
    "headers": {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'},
}


class Clock:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # Like a real sleep, it never ends early.
        self.now += seconds + 0.001


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


def sensor(**options: Any) -> BackupSetSensor:
    return any_sensor(**{"poke_interval": 60} | options)


def execute(responses: list[dict[str, Any]], **options: Any) -> Any:
    with requests_mock.Mocker() as server:
        server.get(URL, responses)
        return sensor(**options).execute(context())


def test_constructor_does_no_io() -> None:
    sensor(oceanbase_conn_id="no_such_connection")


def test_ids_are_templates() -> None:
    assert set(BackupSetSensor.template_fields) == {"instance_id", "backup_task_id", "oceanbase_conn_id"}


@pytest.mark.parametrize(
    ("options", "error_class", "says"),
    [
        ({"success_statuses": "DONE"}, TypeError, "success_statuses must be a list or tuple"),
        ({"failure_statuses": [1]}, TypeError, "failure_statuses must be a list or tuple"),
        ({"failure_statuses": ["FAILED\0"]}, TypeError, "failure_statuses must be a list or tuple"),
        ({"success_statuses": []}, ValueError, "success_statuses is empty"),
        ({"success_statuses": ["FAILED"]}, ValueError, r"\['FAILED'\] cannot be in success_statuses and"),
    ],
)
def test_bad_statuses(options: dict[str, Any], error_class: type[Exception], says: str) -> None:
    with pytest.raises(error_class, match=says):
        sensor(**options)


def test_waits_until_done(clock: Clock) -> None:
    summary = execute([{"json": {"success": True, "data": None}}, DOING, DOING, DONE])
    assert summary["status"] == "DONE"
    assert summary["tenantCount"] == 1
    assert "tenantBackupSetList" not in summary
    assert clock.slept == [60, 60, 60]


def test_first_poll_is_retried_then_fails(clock: Clock) -> None:
    with pytest.raises(OceanBaseUnavailableError):
        execute([DOWN])
    assert len(clock.slept) == 4
    assert sum(clock.slept) < 30


def test_first_poll_that_is_refused_fails_at_once(clock: Clock) -> None:
    with pytest.raises(OceanBaseRefusedError):
        execute([REFUSED, DONE])
    assert clock.slept == []


def test_later_outage_does_not_end_the_wait(clock: Clock, logged: Callable[[], str]) -> None:
    outage = [
        {"exc": requests.ConnectionError},
        DOWN,
        {"text": "<html>"},
        {"json": {"success": True, "data": 7}},
    ]
    assert execute([DOING, *outage, DOING, DONE])["status"] == "DONE"
    assert clock.slept == [60] * 6
    assert "polling continues" in logged()


def test_retry_after_lengthens_the_pause(clock: Clock) -> None:
    throttled = [{"status_code": 429, "headers": {"Retry-After": seconds}} for seconds in ("5", "90")]
    execute([DOING, *throttled, DOING, DONE])
    assert clock.slept == [60, 60, 90, 60]


def test_rotated_key_is_read_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def rotated(request: Any, context: Any) -> dict[str, Any]:
        # The old key is refused; the connection has the new one by now.
        set_connection(monkeypatch, login="the-new-key")
        context.status_code = 401
        return {}

    responses = [DOING, UNAUTHORIZED, {"json": rotated}, UNAUTHORIZED, DONE]
    with requests_mock.Mocker() as server:
        server.get(URL, responses)
        assert sensor().execute(context())["status"] == "DONE"
        users = [
            request.headers.get("Authorization", "-").partition(",")[0] for request in server.request_history
        ]
    assert users == ["-", "-", 'Digest username="the-key"', "-", 'Digest username="the-new-key"']
    assert clock.slept == [60]


def test_key_that_stays_refused_fails(clock: Clock) -> None:
    with pytest.raises(OceanBaseAuthenticationError):
        execute([DOING, {"status_code": 403}, {"status_code": 403}, DONE])
    assert clock.slept == [60]


def test_connection_that_stays_invalid_fails(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Any, context: Any) -> dict[str, Any]:
        set_connection(monkeypatch, password="")
        context.status_code = 403
        return {}

    with pytest.raises(OceanBaseInputError, match=r"password \(AccessKey secret\) is missing"):
        execute([DOING, {"json": broken}])
    # Ten minutes, in which it might have been fixed.
    assert clock.slept == [60] * 11


def test_timeout(clock: Clock) -> None:
    with pytest.raises(AirflowSensorTimeout):
        execute([DOING], timeout=150)
    # The last poll is when the timeout ends.
    assert clock.slept == pytest.approx([60, 60, 30], abs=0.01)


def test_done_at_the_last_poll(clock: Clock) -> None:
    assert execute([DOING, DOING, DOING, DONE], timeout=150)["status"] == "DONE"


def test_exponential_backoff(clock: Clock) -> None:
    execute([DOING] * 5 + [DONE], exponential_backoff=True, max_wait=timedelta(seconds=200))
    assert [30 <= clock.slept[0] < 60, 60 <= clock.slept[1] < 120, 120 <= clock.slept[2] <= 200] == [True] * 3
    assert clock.slept[3:] == [200, 200]


def reschedule(responses: list[dict[str, Any]], began: datetime | None, **options: Any) -> Any:
    with requests_mock.Mocker() as server, rescheduled(began) as given:
        server.get(URL, responses)
        return sensor(mode="reschedule", **options).execute(given)


def seconds_to_next_poll(responses: list[dict[str, Any]], began: datetime | None, **options: Any) -> float:
    """Poll once in reschedule mode; return the seconds until the next poll."""
    from airflow.exceptions import AirflowRescheduleException

    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as caught:
        reschedule(responses, began, **options)
    seconds: float = (caught.value.reschedule_date - before).total_seconds()
    return seconds


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def test_reschedule() -> None:
    assert seconds_to_next_poll([DOING], None) == pytest.approx(60, abs=5)
    assert seconds_to_next_poll([DOING], minutes_ago(5)) == pytest.approx(60, abs=5)
    assert reschedule([DONE], minutes_ago(5))["status"] == "DONE"


def test_outage_does_not_end_a_rescheduled_task(clock: Clock) -> None:
    with pytest.raises(OceanBaseUnavailableError):
        reschedule([DOWN], None)
    clock.slept.clear()
    assert seconds_to_next_poll([DOWN], minutes_ago(5)) == pytest.approx(60, abs=5)
    assert seconds_to_next_poll(
        [{"status_code": 429, "headers": {"Retry-After": "90"}}], minutes_ago(5)
    ) == pytest.approx(90, abs=5)
    assert clock.slept == []


def test_reschedule_backs_off_without_state() -> None:
    options = {"exponential_backoff": True, "timeout": 10_000}
    assert 30 <= seconds_to_next_poll([DOING], None, **options) <= 65
    assert seconds_to_next_poll([DOING], minutes_ago(60), **options) >= 900


def test_reschedule_times_out() -> None:
    with pytest.raises(AirflowSensorTimeout):
        reschedule([DOING], minutes_ago(5), timeout=200)
    assert seconds_to_next_poll([DOING], minutes_ago(5), timeout=310) <= 11


@pytest.mark.parametrize("known", ["2026-01-19T10:32:28.5Z", datetime(2026, 1, 19, 10, 32, 28, 500_000, UTC)])
def test_first_reschedule_date_as_airflow_gives_it(known: Any) -> None:
    assert first_reschedule_date(context(known)) == datetime(2026, 1, 19, 10, 32, 28, 500_000, UTC)


def test_task_that_was_never_rescheduled() -> None:
    assert first_reschedule_date(context(None)) is None
