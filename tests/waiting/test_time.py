"""Times: what they may be, when the last poll comes, and when Airflow ends a wait itself."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from airflow.exceptions import AirflowRescheduleException
from conftest import set_connection
from digest_server import CHALLENGE, refuse
from faults.server import DOING, DONE, found, hang, serve
from modes import MODES, context, fire, rescheduled, sensor, stored, trigger, wait
from moved import AirflowSkipException, TaskDeferred
from starts import operator, waiting

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_oceanbase.exceptions import OceanBaseNotFoundError
from airflow_provider_oceanbase.sensors import BackupSetSensor
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.arguments import LONGEST_SECONDS
from airflow_provider_oceanbase.waiting.schedule import PollSchedule

NOW = datetime.now(UTC).isoformat()
#: Who takes which times.
WAITS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "set": (sensor, ("poke_interval", "timeout", "max_wait", "registration_timeout")),
    "checkpoint": (lambda **options: sensor(min_checkpoint=NOW, **options), ("poke_interval", "timeout")),
    "start": (operator, ("poke_interval", "timeout", "registration_timeout")),
}
ARGUMENTS = [(name, argument) for name, (_, arguments) in WAITS.items() for argument in arguments]
#: The operator has no reschedule mode.
IN_MODES = [(name, mode) for name in WAITS for mode in MODES if (name, mode) != ("start", "reschedule")]
LEGAL = (0, timedelta(0), 5e-324, 0.5, 1e15, 1e300, 10**400, timedelta.max)
ILLEGAL = (-1, -0.1, math.nan, math.inf, -math.inf, timedelta(seconds=-1), timedelta.min, "60", [60])


class PausedError(Exception):
    """Raised in place of a sleep; its argument is the seconds."""


def _pause(task: Any) -> float:
    """Return the seconds that a task pauses after its first poll, in whatever way.

    In the triggerer it is the longest: its first pause is a random part of that.
    """

    def sleep(seconds: float) -> None:
        if seconds:
            raise PausedError(seconds)

    try:
        with patch("time.sleep", sleep), rescheduled(None) as given:
            task.execute(given)
    except PausedError as paused:
        return float(paused.args[0])
    except AirflowRescheduleException as reschedule:
        return (reschedule.reschedule_date - datetime.now(UTC)).total_seconds()
    except TaskDeferred as deferred:
        assert deferred.timeout is not None
        # Airflow adds it to a date, and stores the arguments as JSON.
        assert datetime.now(UTC) + deferred.timeout < datetime(2038, 1, 1, tzinfo=UTC)
        return PollSchedule(**stored(deferred.trigger).schedule).pause(0.0)
    raise AssertionError("the task did not wait")


@pytest.mark.parametrize(
    ("name", "mode", "argument"),
    [(name, mode, argument) for name, mode in IN_MODES for argument in WAITS[name][1]],
)
def test_legal_times_neither_overflow_nor_flood(
    name: str, mode: str, argument: str, cloud: CloudEmulator
) -> None:
    make, _ = WAITS[name]
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    options: dict[str, Any] = {"deferrable": mode == "deferrable", "poke_interval": 60}
    if name == "start":
        options["wait_for_completion"] = True
    else:
        options |= {"mode": "reschedule" if mode == "reschedule" else "poke"}
        options |= {"exponential_backoff": argument == "max_wait"}
    for value in LEGAL:
        task = make(**options | {argument: value})
        if argument == "timeout" and value in (0, timedelta(0), 5e-324):
            # The operator leaves the last poll to the triggerer.
            ended = TaskDeferred if name == "start" and task.deferrable else AirflowSensorTimeout
            with rescheduled(None) as given, pytest.raises(ended):
                task.execute(given)
            continue
        # A moment has passed since the date to reschedule was set.
        assert 0.1 - 0.09 * (mode == "reschedule") <= _pause(task) <= LONGEST_SECONDS


@pytest.mark.parametrize("value", ILLEGAL, ids=repr)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_illegal_times_are_refused_when_the_dag_is_parsed(name: str, argument: str, value: object) -> None:
    make, _ = WAITS[name]
    with pytest.raises(
        ValueError, match=rf"^{argument} is .*; it must be seconds or a timedelta, and not neg"
    ):
        make(**{argument: value})


def test_default_timeout_is_that_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SENSORS__DEFAULT_TIMEOUT", "77")
    assert sensor().timeout == 77


@pytest.mark.parametrize(
    "options", [{}, {"exponential_backoff": True, "max_wait": 0.001}], ids=["interval", "backoff"]
)
@pytest.mark.parametrize("mode", MODES)
def test_at_most_ten_polls_a_second(mode: str, options: Any, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    with pytest.raises(AirflowSensorTimeout):
        wait(mode, poke_interval=0, timeout=0.75, **options)
    # The first, one each tenth, and the last; in the triggerer, one at a random moment.
    assert cloud.polls("ob-1", "bak-1") <= 10


def test_max_wait_of_zero_is_no_limit_as_for_airflow() -> None:
    assert sensor(exponential_backoff=True, max_wait=0)._schedule.max_wait is None


@pytest.mark.parametrize(("name", "mode"), IN_MODES)
def test_poll_that_hangs_does_not_swallow_the_last_one(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch, no_pauses: None
) -> None:
    doing, done = found(status="DOING"), found(checkpoint=NOW, backupObjectType="CLUSTER")
    times = {"poke_interval": 0.4, "timeout": 2}
    if name == "start":
        with serve(refuse(CHALLENGE), doing, doing, hang, done) as server:
            set_connection(monkeypatch, host=server.origin, extra={"timeout": 3})
            assert waiting(mode, **times).run() == "bak-1"
    else:
        options = {"min_checkpoint": NOW} if name == "checkpoint" else {}
        with serve(refuse(CHALLENGE), doing, hang, done) as server:
            set_connection(monkeypatch, host=server.origin, extra={"timeout": 3})
            assert wait(mode, **options, **times)["status"] == "DONE"
    assert len(server.requests) == 4 + (name == "start")


@pytest.mark.parametrize("mode", MODES)
def test_error_at_the_end_does_not_swallow_the_last_poll_with_silent_fail(
    mode: str, cloud: CloudEmulator
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", 400, "DONE"))
    # The refusal comes when the time is over.
    cloud._on_request = lambda seen: seen.status == 400 and time.sleep(0.7)
    assert wait(mode, poke_interval=0.2, timeout=0.5, silent_fail=True)["status"] == "DONE"


@pytest.mark.parametrize("options", [{}, {"soft_fail": True}], ids=["plain", "soft_fail"])
@pytest.mark.parametrize("mode", MODES)
def test_errors_with_silent_fail_do_not_go_on_for_ever(mode: str, options: Any, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", 400))
    with pytest.raises(AirflowSkipException if options else AirflowSensorTimeout):
        wait(mode, timeout=0.3, silent_fail=True, **options)
    assert cloud.polls("ob-1", "bak-1") < 10


def test_shared_poll_that_hangs_does_not_swallow_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both() -> list[Any]:
        waits = (trigger(poke_interval=0.1, timeout=1) for _ in range(2))
        return await asyncio.gather(*map(fire, waits))

    # One wait alone, then one that joins it, then both, then the last one of each.
    with serve(DOING, DOING, hang, DONE) as server:
        set_connection(monkeypatch, host=server.origin)
        events = asyncio.run(both())
    assert [event["summary"]["status"] for event in events] == ["DONE", "DONE"]
    assert len(server.requests) == 5


def test_last_poll_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    with serve(hang) as server:
        set_connection(monkeypatch, host=server.origin, extra={"timeout": 3600})
        began = time.monotonic()
        event = asyncio.run(fire(trigger(poke_interval=0.1, timeout=1.2, grace=0.4)))
    assert 1.5 < time.monotonic() - began < 8
    assert len(server.requests) == 2
    assert re.search(r"^bak-1 last seen DOING, no answer for [1-9]", event["timeout"])
    assert re.search(r"No answer in [01]\.\d s to a poll, and the wait times out: bak-1\.", logged())


@pytest.mark.parametrize("timeout", [0.5, 30, 100, 3600])
@pytest.mark.parametrize("name", ["set", "start"])
def test_airflows_own_timeout_comes_after_the_last_poll(
    name: str, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, _ = WAITS[name]
    options = {"wait_for_completion": True} if name == "start" else {}
    task = make(deferrable=True, timeout=1000, **options)
    with serve(refuse(CHALLENGE), found(status="DOING")) as server:
        set_connection(monkeypatch, host=server.origin, extra={"timeout": timeout})
        with pytest.raises(TaskDeferred) as caught:
            task.execute(context())
    assert caught.value.timeout is not None
    grace = stored(caught.value.trigger).schedule["grace"]
    # In line, for a connection, for a challenge, for an answer, and for its body.
    assert grace >= 5 * timeout
    assert caught.value.timeout.total_seconds() > 1050 + grace


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(days=99)}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(minutes=1)}, AirflowTaskTimeout),
    ],
)
@pytest.mark.parametrize("name", WAITS)
def test_airflows_own_timeout_is_the_timeout_of_the_wait(
    name: str, options: Any, raised: type[Exception], error: str
) -> None:
    make, _ = WAITS[name]
    task = make(deferrable=True, **options)
    with pytest.raises(
        raised, match=r"timed out.* wait at instance 'ob-1'.*Check that a triggerer runs"
    ) as caught:
        task.resume_execution("__fail__", {"error": error}, context())
    assert type(caught.value) is raised


def test_airflows_own_timeout_is_skipped_with_soft_fail() -> None:
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, soft_fail=True).resume_execution(
            "__fail__", {"error": "Trigger timeout"}, context()
        )


@pytest.mark.parametrize("name", WAITS)
def test_other_failures_of_a_trigger_are_airflows(name: str) -> None:
    make, _ = WAITS[name]
    with pytest.raises(Exception, match="Trigger failure") as caught:
        make(deferrable=True).resume_execution("__fail__", {"error": "Trigger failure"}, context())
    assert "Deferral" in type(caught.value).__name__


@pytest.mark.parametrize("mode", MODES)
def test_backup_that_is_not_registered_yet(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=(404, 404, None, 404, "DOING", "DONE"))
    assert wait(mode, registration_timeout=timedelta(minutes=1))["status"] == "DONE"
    assert cloud.polls("ob-1", "bak-1") == 6


@pytest.mark.parametrize("mode", MODES)
def test_wrong_id_fails_after_the_registration_timeout(mode: str, cloud: CloudEmulator) -> None:
    began = time.monotonic()
    with pytest.raises(OceanBaseNotFoundError):
        wait(mode, registration_timeout=0.5, poke_interval=0.2)
    assert 0.5 <= time.monotonic() - began < 10
    # From the beginning of the wait: also where each poll is another run of the task.
    assert len([seen for seen in cloud.requests if seen.status == 404]) > 1


def test_registration_takes_two_minutes_by_default() -> None:
    assert BackupSetSensor(task_id="t", instance_id="i", backup_task_id="b").registration_timeout == 120
