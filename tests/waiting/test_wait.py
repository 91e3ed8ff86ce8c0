from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from conftest import backup_set

from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseAuthenticationError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.wait import Wait

LOG = logging.getLogger("tests.wait")


def schedule(**options: Any) -> PollSchedule:
    return PollSchedule(**{"timeout": 3600} | options)


def wait(*, first: bool = True, status: str | None = None, **options: Any) -> Wait[Any]:
    return Wait(BackupSetCondition("ob-1", "bak-1", **options), LOG, first, status)


@pytest.mark.parametrize(
    "status", ["DOING", "BEGINNING", "UNKNOWN", "done", "DONE ", "CANCELING", "something new"]
)
def test_any_other_status_keeps_waiting(status: str) -> None:
    assert wait().answered(backup_set(status=status), "r") is None


def test_no_data_keeps_waiting() -> None:
    assert wait().answered(None, "r") is None


@pytest.mark.parametrize("status", ["FAILED", "CANCELED", "OVERDUE"])
def test_failed(status: str) -> None:
    with pytest.raises(BackupSetFailedError) as caught:
        wait().answered(backup_set(status=status), "r-7")
    assert (
        f"Backup ended with status {status}: backup task 'bak-1' of instance 'ob-1'; requestId r-7."
        in str(caught.value)
    )
    assert caught.value.status == status


def test_statuses_are_parameters() -> None:
    odd = wait(success_statuses=("COMPLETED",), failure_statuses=("BROKEN",))
    assert odd.answered(backup_set(status="DONE"), "r") is None
    assert odd.answered(backup_set(status="FAILED"), "r") is None
    assert odd.answered(backup_set(status="COMPLETED"), "r") is not None
    with pytest.raises(BackupSetFailedError):
        odd.answered(backup_set(status="BROKEN"), "r")


def test_invalid_set_warns(caplog: pytest.LogCaptureFixture) -> None:
    assert wait().answered(backup_set(validity="INVALID"), "r") is not None
    assert "bak-1 is not VALID: DONE, validity INVALID (instance 'ob-1')" in caplog.text


def test_invalid_set_fails_if_validity_is_required() -> None:
    strict = wait(require_valid=True)
    assert strict.answered(backup_set(status="DOING", validity="INVALID"), "r") is None
    for unknown in (None, ""):
        assert strict.answered(backup_set(validity=unknown), "r") is None
    missing = backup_set()
    del missing["validity"]
    assert strict.answered(missing, "r") is None
    assert strict.status == "DONE without a validity"
    assert strict.timed_out(schedule(), time.time()).startswith("bak-1 still DONE without a validity after 0")
    assert strict.answered(backup_set(), "r") is not None
    with pytest.raises(BackupSetFailedError, match="validity INVALID") as caught:
        strict.answered(backup_set(validity="INVALID"), "r")
    assert caught.value.validity == "INVALID"


def test_only_an_error_of_the_first_poll_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    error = OceanBaseUnavailableError("down")
    with pytest.raises(OceanBaseUnavailableError):
        wait().failed(error)
    later = wait()
    later.answered(backup_set(status="DOING"), "r")
    caplog.clear()
    later.failed(error)
    later.failed(OceanBaseMalformedResponseError("html"))
    later.answered(backup_set(status="DOING"), "r")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "answers again" in caplog.text


def test_task_that_polled_before_survives_errors() -> None:
    wait(first=False).failed(OceanBaseUnavailableError("down"))


def test_final_error_is_raised_later_too() -> None:
    later = wait(first=False)
    with pytest.raises(OceanBaseNotFoundError):
        later.failed(OceanBaseNotFoundError("gone"))


def test_what_ends_a_wait() -> None:
    refused, missing, down = (
        OceanBaseAuthenticationError("no"),
        OceanBaseNotFoundError("no"),
        OceanBaseUnavailableError("no"),
    )
    assert all(wait().is_final(error) for error in (refused, missing, down))
    later = wait(first=False)
    assert [later.is_final(error) for error in (refused, missing, down)] == [True, True, False]
    registering = wait(first=False, registered_by=time.time() + 60)
    assert [registering.is_final(error) for error in (refused, missing, down)] == [True, False, False]


def test_retry_after_holds_until_the_next_response() -> None:
    later = wait(first=False)
    later.failed(OceanBaseThrottledError("slow down", retry_after=90))
    assert later.retry_after == 90
    later.failed(OceanBaseUnavailableError("down"))
    assert later.retry_after is None
    later.failed(OceanBaseThrottledError("slow down", retry_after=90))
    later.answered(None, "r")
    assert later.retry_after is None


def test_status_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = wait()
    for status in ("DOING", "DOING", "odd\nstatus", "odd\nstatus", "DONE"):
        waiting.answered(
            backup_set(status=status, endTime="2026-01-19T10:32:49Z" if status == "DONE" else None), "r"
        )
    assert [record.getMessage() for record in caplog.records] == [
        "bak-1: DOING (instance 'ob-1', requestId r).",
        "bak-1: odd\N{REPLACEMENT CHARACTER}status (instance 'ob-1', requestId r).",
        "'odd\N{REPLACEMENT CHARACTER}status' is no status that this provider knows: backup task 'bak-1' of "
        "instance 'ob-1' keeps waiting. If it means done, set success_statuses=('DONE', "
        "'odd\N{REPLACEMENT CHARACTER}status'); if it means failed, set failure_statuses=('FAILED', "
        "'CANCELED', 'OVERDUE', 'odd\N{REPLACEMENT CHARACTER}status').",
        "bak-1: DONE; the backup took 1 min 56 s; 0.06 GB; VALID; checkpoint 2026-01-19T10:32:28Z; "
        "1 tenant (test1) (instance 'ob-1', requestId r).",
    ]


@pytest.mark.parametrize(("seconds", "waits"), [(60, True), (-60, False), (None, False)])
def test_not_found_may_be_not_registered_yet(
    seconds: float | None, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    started = wait(registered_by=None if seconds is None else time.time() + seconds)
    error = OceanBaseNotFoundError("not found", request_id="r-7")
    if not waits:
        with pytest.raises(OceanBaseNotFoundError):
            started.failed(error)
        return
    started.failed(error)
    started.failed(error)
    started.answered(None, "r-8")
    assert [record.getMessage() for record in caplog.records] == [
        "bak-1: not registered yet (instance 'ob-1', requestId r-7)."
    ]
    # No other failure is ignored; after an answer, an outage does not end the wait.
    with pytest.raises(OceanBaseAuthenticationError):
        started.failed(OceanBaseAuthenticationError("no"))
    started.failed(OceanBaseUnavailableError("down"))


@pytest.mark.parametrize("first_share", [0.0, 0.5, 1.0])
def test_last_poll_is_at_the_timeout(first_share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.wait.time.time", lambda: clock[0])
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.wait.time.monotonic", lambda: clock[0])
    pauses, ages, ends = [], [], []
    polls = wait().polls(schedule(timeout=150, grace=7), began=1000.0, first_share=first_share)
    for pause, max_age, limit in polls:
        pauses.append(pause)
        ages.append(max_age)
        clock[0] += pause
        ends.append(clock[0] + limit)
    # Only the last one, which shares no answer, may take longer than the wait.
    assert ages == [60] * (len(ages) - 1) + [None]
    assert ends == [1150] * (len(ages) - 1) + [1157]
    assert pauses[0] == 60 * first_share
    assert sum(pauses) == 150
    assert max(pauses) == 60


def test_wait_after_its_timeout_polls_once_more() -> None:
    polls = wait().polls(schedule(timeout=50, grace=7), began=time.time() - 100, first_share=0.3)
    assert list(polls) == [(0, None, 7)]


@pytest.mark.parametrize("hangs", [1, 99, 100_000])
def test_poll_that_hangs_beyond_the_timeout_is_not_the_last(
    hangs: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.wait.time.time", lambda: clock[0])
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.wait.time.monotonic", lambda: clock[0])
    begun = []
    for pause, max_age, _ in wait().polls(schedule(timeout=50), began=1000.0, first_share=0.9):
        clock[0] += pause
        begun.append((clock[0], max_age))
        clock[0] += hangs
    assert begun == [(1045, 50), (max(1045 + hangs, 1050), None)]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 60),
        ({"max_wait": 10}, 60),
        ({"poke_interval": 0}, 0.1),
        ({"poke_interval": 0, "elapsed": 3599.99}, pytest.approx(0.01)),
        ({"exponential_backoff": True, "max_wait": 0.001}, 0.1),
        ({"poke_interval": 1e300}, 3600),
        ({"elapsed": 3590}, 10),
        ({"elapsed": 3700}, 0),
        ({"retry_after": 5}, 60),
        ({"retry_after": 90}, 90),
        ({"retry_after": 9000}, 3600),
        ({"exponential_backoff": True, "max_wait": 10}, 10),
        ({"exponential_backoff": True, "max_wait": 10, "retry_after": 90}, 90),
        ({"exponential_backoff": True, "elapsed": 3599}, 1),
    ],
)
def test_pause(options: dict[str, Any], seconds: float) -> None:
    elapsed, retry_after = options.pop("elapsed", 0), options.pop("retry_after", None)
    assert schedule(**options).pause(elapsed, retry_after=retry_after) == seconds


@pytest.mark.parametrize("poke_interval", [0, 1, 60, 600.0])
def test_backoff_doubles_without_state(poke_interval: float) -> None:
    base = max(poke_interval / 2, 1)
    elapsed = 0.0
    for step in range(12):
        growing = schedule(poke_interval=poke_interval, exponential_backoff=True, timeout=1e9)
        seconds = growing.pause(elapsed, seed="a")
        assert base * 2**step <= seconds < 2 * base * 2**step
        elapsed += seconds


def test_backoff_spreads_waits() -> None:
    pauses = {schedule(exponential_backoff=True).pause(0, seed=number) for number in range(100)}
    assert len(pauses) > 50
