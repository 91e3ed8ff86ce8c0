"""Which lines a wait logs, and when: by a clock that the tests set."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from conftest import backup_set
from modes import MODES, fire, trigger, wait
from starts import plan, waiting

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout, triggerer_health
from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError, OceanBaseUnavailableError
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
from airflow_provider_oceanbase.waiting.outage import Outage
from airflow_provider_oceanbase.waiting.progress import (
    LogSchedule,
    amount,
    described,
    gigabytes,
    moment,
    span,
)
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.tasks import wait_in_worker
from airflow_provider_oceanbase.waiting.wait import Wait
from airflow_provider_oceanbase.watching.names import Watch

LOG = logging.getLogger("tests.progress")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
BEGAN = 1_800_000_000.0
WEEK = PollSchedule(timeout=7 * DAY)
#: At 10 and 30 minutes, and at each hour but the last, when the wait times out.
LINES_OF_A_WEEK = 2 + 7 * 24
DOWN = OceanBaseUnavailableError("no complete response from somewhere")
REFUSED = OceanBaseAuthenticationError("the AccessKey was not accepted")


class Clock:
    """All clocks, set by hand."""

    def __init__(self) -> None:
        self.now = BEGAN

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Clock]:
    caplog.set_level(logging.INFO, LOG.name)
    clock = Clock()
    # Not before the test, and not after it.
    with monkeypatch.context() as patch:
        for name in ("time", "monotonic"):
            patch.setattr(time, name, lambda: clock.now)
        patch.setattr(time, "sleep", clock.sleep)
        yield clock


class Hook:
    """Answers polls with what a function returns, or raises."""

    endpoint = None

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def poll(self, query: Any, **_: Any) -> Any:
        if isinstance(found := self._answer(), Exception):
            raise found
        return found, "r"


def new_wait(**options: Any) -> Wait[Any]:
    return Wait(BackupSetCondition("ob-1", "bak-1"), LOG, **{"first": False, "status": "DOING"} | options)


def doing() -> Any:
    return backup_set(status="DOING", validity=None, checkpoint=None, endTime=None)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOG.name]


@pytest.mark.parametrize(
    ("elapsed", "due"),
    [
        (0, 10 * MINUTE),
        (10 * MINUTE - 0.1, 10 * MINUTE),
        (10 * MINUTE, 30 * MINUTE),
        (29 * MINUTE, 30 * MINUTE),
        (30 * MINUTE, HOUR),
        (HOUR, 2 * HOUR),
        (2 * HOUR - 1, 2 * HOUR),
        (167.5 * HOUR, 168 * HOUR),
        # A clock that was set back.
        (-5, 10 * MINUTE),
    ],
)
def test_next_line(elapsed: float, due: float) -> None:
    assert LogSchedule.after(elapsed).due == due


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [
        (1, [10, 30, 60, 120, 180]),
        (7, [14, 35, 63, 126, 182]),
        (45, [45, 90, 135, 180]),
        # Lines that were missed are not made up for.
        (90, [90, 180]),
    ],
)
def test_lines_of_polls_at_an_interval(interval: int, minutes: list[int]) -> None:
    lines = LogSchedule()
    assert [at for at in range(interval, 190, interval) if lines.is_due(at * MINUTE)] == minutes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.3, "0.3 s"),
        (59, "59 s"),
        (600, "10 min"),
        (5400, "1 h 30 min"),
        (7 * DAY, "7 d"),
        (25 * HOUR, "1 d 1 h"),
        (21599.7, "6 h"),
        (3599.9, "1 h"),
        (59.4, "59.4 s"),
        (59.97, "1 min"),
        (3599.4, "59 min 59 s"),
        (86369, "23 h 59 min"),
        (86370, "1 d"),
        (86399, "1 d"),
        (84700, "23 h 32 min"),
        (116, "1 min 56 s"),
        (-300, "-5 min"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300])
def test_moment_that_never_comes(seconds: float) -> None:
    assert moment(seconds) == "never"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0.06, "0.06 GB"),
        (12, "12 GB"),
        (1234.5678, "1,234.568 GB"),
        (0, "0 GB"),
        (0.0004, "under 0.001 GB"),
    ],
)
def test_amount(size: float, text: str) -> None:
    assert amount(size) == text


@pytest.mark.parametrize("size", [None, "12 GB", True, -1, float("nan"), float("inf"), 1e300, 10**400, [1]])
def test_only_a_size_is_a_size(size: Any) -> None:
    assert gigabytes(backup_set(dataBackupSize=size)) is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {},
            "; the backup took 1 min 56 s; 0.06 GB; VALID; checkpoint 2026-01-19T10:32:28Z; 1 tenant (test1)",
        ),
        (
            {"endTime": None, "validity": None, "checkpoint": None, "dataBackupSize": None},
            "; 1 tenant (test1)",
        ),
        ({"startTime": "soon", "checkpoint": 5, "tenantBackupSetList": None}, "; 0.06 GB; VALID"),
        ({"startTime": "2027-01-01T00:00:00Z", "tenantBackupSetList": [{}]}, "0.06 GB; VALID; .*; 1 tenant$"),
        (
            {"tenantBackupSetList": [{"tenantName": f"{number}" * 99} for number in range(9)]},
            r"; 9 tenants \(0{40}, 1{40}, 2{40}, 3{40}, 4{40}, …\)$",
        ),
    ],
)
def test_what_is_known_of_a_complete_set(fields: dict[str, Any], text: str) -> None:
    found = described(backup_set(**fields))
    assert text in found or re.search(text, found)
    assert "None" not in found
    assert len(found) < 400


def test_six_hours(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A wait that lasts, with an outage of 50 minutes, as a person reads it."""
    outage = range(int(3.25 * HOUR), int(3.25 * HOUR + 50 * MINUTE))

    def answer() -> Any:
        elapsed = clock.now - BEGAN
        if int(elapsed) in outage:
            return DOWN
        if elapsed < 5.5 * HOUR:
            return doing() | {"dataBackupSize": round(elapsed / HOUR * 4, 2)}
        return backup_set(dataBackupSize=22)

    schedule = PollSchedule(timeout=6 * HOUR)
    hook: Any = Hook(answer)
    assert wait_in_worker(hook, new_wait(status=None), schedule, BEGAN)
    expected = [
        r"bak-1: DOING \(instance 'ob-1', requestId r\)\.",
        r"bak-1 still DOING after 10 min: 0\.67 GB so far; times out at .* \(in 5 h 50 min\); instance .*",
        r"bak-1 still DOING after 30 min: 2 GB so far \(\+1\.33 GB since the last line\); times out at .*",
        r"bak-1 still DOING after 1 h: 4 GB so far \(\+2 GB since the last line\); times out at .*",
        r"bak-1 still DOING after 2 h: 8 GB so far \(\+4 GB since the last line\); times out at .*",
        r"bak-1 still DOING after 3 h: 12 GB so far \(\+4 GB since the last line\); times out at .*",
        r"no complete response.*; polling continues \(bak-1\)\. .* The wait times out at .*2 h 45 min\)\.",
        r"no complete response.* for 10 min; polling continues \(bak-1\)\. .*times out at .*",
        r"no complete response.* for 30 min; polling continues \(bak-1\)\. .*times out at .*",
        r"OceanBase Cloud answers again after 50 min: bak-1\.",
        r"bak-1 still DOING after 4 h 5 min: 16\.33 GB so far \(\+4\.33 GB since the last line\); .*",
        r"bak-1 still DOING after 5 h: 20 GB so far \(\+3\.67 GB since the last line\); times out at .*",
        r"bak-1: DONE; the backup took 1 min 56 s; 22 GB; VALID; checkpoint .*; 1 tenant \(test1\) .*",
    ]
    lines = said(caplog)
    assert len(lines) == len(expected)
    for line, text in zip(lines, expected, strict=True):
        assert re.fullmatch(text, line)


def in_one_go(clock: Clock, answer: Callable[[], Any]) -> None:
    hook: Any = Hook(answer)
    with pytest.raises(AirflowSensorTimeout, match=r"^bak-1 .*timed out"):
        wait_in_worker(hook, new_wait(status=None), WEEK, BEGAN)


def rescheduled(clock: Clock, answer: Callable[[], Any]) -> None:
    """Each poll has a new Wait, and comes later than it should."""
    late = random.Random(1)
    first = True
    while clock.now - BEGAN < WEEK.timeout:
        fresh = new_wait(status=None, first=first)
        fresh.lasts(WEEK, BEGAN, rescheduled=not first)
        found = answer()
        if isinstance(found, Exception):
            fresh.failed(found)
        else:
            fresh.answered(found, "r")
        first = False
        clock.sleep(WEEK.pause(clock.now - BEGAN) + late.uniform(1, 15))


def in_the_triggerer(clock: Clock, answer: Callable[[], Any]) -> None:
    """The triggerer is restarted each day, at half past."""
    for day in range(7):
        resumed = new_wait()
        resumed.resumed(WEEK, BEGAN)
        for next_poll in resumed.polls(WEEK, BEGAN, first_share=0.5):
            clock.sleep(next_poll.pause)
            found = answer()
            if isinstance(found, Exception):
                resumed.failed(found)
            else:
                resumed.answered(found, "r")
            if clock.now - BEGAN > (day + 1) * DAY + 30 * MINUTE:
                break


WAYS = {"poke": in_one_go, "reschedule": rescheduled, "deferrable": in_the_triggerer}


@pytest.mark.parametrize(("mode", "extra"), [("poke", 1), ("reschedule", 1), ("deferrable", 7)])
def test_a_week_is_no_flood(mode: str, extra: int, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    WAYS[mode](clock, doing)
    lines = said(caplog)
    progress = [line for line in lines if line.startswith("bak-1 still DOING after ")]
    # The status; or, in the triggerer, where it stands at each start.
    assert len(lines) == len(progress) + extra
    hours = {re.sub(r" \d+ min", "", line.partition(":")[0]) for line in progress}
    assert len(hours) >= 7 * 24 - 2
    if mode == "reschedule":
        # None is left out, and few are logged by two polls.
        assert LINES_OF_A_WEEK - 1 <= len(progress) <= 1.25 * LINES_OF_A_WEEK
    else:
        assert LINES_OF_A_WEEK - 1 <= len(progress) <= LINES_OF_A_WEEK


@pytest.mark.parametrize(
    ("mode", "most"),
    # In reschedule mode, each poll that fails says so. Each start of the triggerer begins with where the wait
    # stands, and that polls fail, and counts anew.
    [("poke", LINES_OF_A_WEEK + 1), ("deferrable", LINES_OF_A_WEEK + 4 * 7)],
)
def test_an_outage_of_a_week_is_no_flood(
    mode: str, most: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    WAYS[mode](clock, lambda: DOWN)
    assert 100 < len(said(caplog)) <= most


def test_outage_that_gets_worse(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage = new_wait()._outage
    for minutes in range(120):
        clock.now = BEGAN + minutes * MINUTE
        outage.failed(DOWN if minutes < 20 else REFUSED)
    heads = [(record.levelname, record.getMessage().partition(";")[0]) for record in caplog.records]
    assert heads == [
        ("WARNING", DOWN.verdict),
        ("WARNING", f"{DOWN.verdict} for 10 min"),
        ("ERROR", REFUSED.verdict),
        ("ERROR", f"{REFUSED.verdict} for 30 min"),
        ("ERROR", f"{REFUSED.verdict} for 1 h"),
    ]


def test_fresh_backup(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    condition = CheckpointCondition("ob-1", "2026-01-20T00:00:00+00:00")
    lasting = Wait(condition, LOG)
    lasting.lasts(WEEK, BEGAN)
    running = doing() | {"backupSetId": "bak-9"}
    lasting.answered([running], "r")
    clock.sleep(10 * MINUTE)
    lasting.answered([running], "r")
    first, progress = said(caplog)
    assert first == (
        "ob-1: newest backup bak-9 (DOING) "
        "(wanted: a checkpoint from 2026-01-20T00:00:00+00:00 on, requestId r)."
    )
    assert progress.startswith(
        "ob-1 still without a fresh backup after 10 min: newest backup bak-9 (DOING); 0.06 GB so far; "
    )


@pytest.mark.parametrize("lasts", [True, False])
def test_outage_says_when_the_wait_times_out(
    lasts: bool, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lasting = new_wait()
    if lasts:
        lasting.lasts(WEEK, BEGAN)
    lasting.failed(DOWN)
    (line,) = said(caplog)
    # Unless that is not known yet.
    assert line.endswith("(in 7 d).") == lasts
    assert ("times out" in line) == lasts


@pytest.mark.parametrize("status", [None, "DOING"])
def test_timeout_in_an_outage(status: str | None, clock: Clock) -> None:
    lasting = new_wait(status=status)
    lasting.failed(DOWN)
    clock.sleep(2 * HOUR)
    text = lasting.timed_out(PollSchedule(timeout=6 * HOUR), BEGAN - 4 * HOUR)
    seen = "last seen DOING" if status else "not seen"
    assert text.startswith(
        f"bak-1 {seen}, no answer for 2 h: timed out after 6 h (instance 'ob-1', timeout 6 h)"
    )
    assert "The last poll failed: no complete response" in text


def test_rescheduled_timeout_says_nothing_of_polls_that_it_does_not_know(clock: Clock) -> None:
    fresh = new_wait(status=None)
    fresh.lasts(WEEK, BEGAN - 6 * HOUR, rescheduled=True)
    fresh.failed(DOWN)
    text = fresh.timed_out(PollSchedule(timeout=6 * HOUR), BEGAN - 6 * HOUR)
    assert text.startswith("bak-1, no answer to the last poll: timed out after 6 h (instance 'ob-1'")
    assert "not seen" not in text


@pytest.mark.parametrize("mode", MODES)
def test_timeout_begins_with_the_backup(mode: str, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING",))
    with pytest.raises(
        AirflowSensorTimeout, match=r"^bak-1 still DOING after 0\.\d s: timed out \("
    ) as caught:
        wait(mode, timeout=0.3)
    # Nothing of Airflow's message, nor its frames.
    assert caught.value.__context__ is None


def test_rescheduled_polls_do_not_repeat_the_status(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=(*("DOING",) * 5, "DONE"), tenants=("orders",))
    assert wait("reschedule")["status"] == "DONE"
    text = logged()
    once = text.count("bak-1: DONE; the backup took ")
    # Airflow 2 logs each line twice.
    assert once in (1, 2)
    assert text.count("bak-1: DOING (instance 'ob-1', requestId ") == once


def test_deferred_wait_tells_how_it_goes(cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    """The triggerer has just been started; the ten minutes are over in a moment."""
    cloud.add_backup_set("ob-1", "bak-1", statuses=(*("DOING",) * 40, "DONE"), tenants=("orders", "billing"))
    event = asyncio.run(fire(trigger(began=time.time() - 599.5, timeout=21600)))
    assert event["summary"]["status"] == "DONE"
    lines = [line for line in logged().splitlines() if "bak-1" in line]
    found = [
        next((line for line in lines if re.search(text, line)), text)
        for text in (
            r"bak-1: waiting in the triggerer, last seen: DOING\. Polling every 0\.05 s, .*5 h 50 min\)",
            r"bak-1 still DOING after 10 min: 0[.\d]* GB so far; times out at .*\(in 5 h 50 min\); instance",
            r"bak-1: DONE; the backup took .*; [.\d]+ GB; VALID; .*; 2 tenants \(orders, billing\)",
        )
    ]
    assert set(found) <= set(lines)


@pytest.mark.parametrize("make", ["sensor", "start"])
def test_deferring_says_where_to_look(make: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    if make == "sensor":
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"))
        wait("deferrable")
    else:
        plan(cloud, "DOING", "DONE")
        waiting("deferrable").run()
    assert re.search(
        rf"bak-[-\w]*1: handed to the triggerer\. If silent, see {triggerer_health()} "
        r"\(last seen: DOING; instance 'ob-1'\)",
        logged(),
    )
    assert triggerer_health().endswith(" > Health > Triggerer")


def test_waiting_start_tells_how_it_goes(
    cloud: CloudEmulator, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_task_id = plan(cloud, "DOING", "DOING", "DOING", "DONE")
    # The wait shows a line at once, then each tenth of a second.
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.progress._FIRST_LINES", (0.001, 0.002))
    monkeypatch.setattr("airflow_provider_oceanbase.waiting.progress._HOUR", 0.05)
    waiting("poke", timeout=timedelta(hours=6)).run()
    assert re.search(
        rf"{backup_task_id} still DOING after 0(\.\d)? s: .* GB so far.*; times out at .*6 h", logged()
    )


def test_polls_that_fail_by_turns_are_no_flood(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(LOG, Watch("ob-1", "c-1"))
    for _ in range(60):
        outage.failed(DOWN)
        clock.sleep(MINUTE)
        outage.answered()
        clock.sleep(MINUTE)
    # In two hours.
    assert 2 <= len(caplog.records) <= 2 * 12


def test_a_worse_outage_is_logged_soon_after_another_and_so_is_one_that_lasts(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage(LOG, Watch("ob-1", "c-1"))
    outage.failed(DOWN)
    outage.answered()
    outage.failed(REFUSED)
    outage.answered()
    outage.failed(DOWN)
    clock.sleep(11 * MINUTE)
    outage.failed(DOWN)
    outage.answered()
    lines = [record.getMessage() for record in caplog.records]
    assert [re.split("[;:]", line)[0] for line in lines] == [
        DOWN.verdict.partition(":")[0],
        "OceanBase Cloud answers again after 0 s",
        REFUSED.verdict,
        "OceanBase Cloud answers again after 0 s",
        f"{DOWN.verdict} for 11 min".partition(":")[0],
        "OceanBase Cloud answers again after 11 min",
    ]
