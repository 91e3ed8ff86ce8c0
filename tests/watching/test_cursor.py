"""No backup set is lost, in whatever order they appear and end, and whenever the watcher is killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from conftest import backup_set
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.backup_set import BackupSet
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK
from airflow_provider_oceanbase.watching.cursor import MAX_PENDING, MAX_REPORTED, Criteria, Cursor, is_dated

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CRITERIA = Criteria(("DONE",), require_valid=True)
HOUR = timedelta(hours=1)
#: Includes an idle month, or one without a triggerer.
hours = st.integers(0, 24 * 30)


def utc(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def done(name: str, began: datetime, ended: datetime | None = None) -> BackupSet:
    return backup_set(backupSetId=name, startTime=utc(began), endTime=utc(ended or began), validity="VALID")


@dataclass(frozen=True)
class Planned:
    """A backup set, with the times at which it begins, is listed and ends."""

    name: str
    began: datetime
    appears: datetime
    done: datetime

    @property
    def good(self) -> datetime:
        return max(self.appears, self.done)

    def at(self, now: datetime) -> BackupSet | None:
        if now < self.appears:
            return None
        ended = now >= self.done
        return backup_set(
            backupSetId=self.name,
            startTime=utc(self.began),
            endTime=utc(self.done) if ended else None,
            status="DONE" if ended else "DOING",
            validity="VALID" if ended else None,
        )


@st.composite
def plans(draw: st.DrawFn) -> list[Planned]:
    # No backup takes longer than documented.
    longest = int(LOOKBACK / HOUR)
    drawn = draw(st.lists(st.tuples(hours, *[st.integers(0, longest)] * 2), max_size=12))
    return [
        Planned(f"bak-{number}", start := BEGIN + began * HOUR, start + appears * HOUR, start + lasts * HOUR)
        for number, (began, appears, lasts) in enumerate(drawn)
    ]


class Watch:
    """A watcher, and the store that survives it."""

    def __init__(self, world: list[Planned]) -> None:
        self.world = world
        self.stored: str | None = None
        self.cursor: Cursor | None = None
        self.fired: list[str] = []
        #: Sets that were complete when the watch began.
        self.old: set[str] = set()

    def poll(self, now: datetime, *, killed: bool) -> None:
        known = self.cursor
        if known is None and self.stored is not None:
            known = Cursor.from_json(json.loads(self.stored))
        cursor = known or Cursor.start(now)
        listed = [found for one in self.world if one.began >= cursor.earliest and (found := one.at(now))]
        new = cursor.new(CRITERIA.select(listed))
        if known is None:
            self.old = {one.name for one in self.world if one.good <= now}
        else:
            self.fired += [one["backupSetId"] for one in new]
        self.cursor = cursor.after(new, listed, now)
        if killed:
            self.cursor = None
        else:
            self.stored = json.dumps(self.cursor.to_json())


@given(plans(), st.lists(st.tuples(hours, st.booleans(), st.booleans()), max_size=20))
def test_each_set_is_reported(world: list[Planned], polls: list[tuple[int, bool, bool]]) -> None:
    watch = Watch(world)
    kills = 0
    # The last poll is after everything, and is not killed.
    for hour, killed, restarted in [*sorted(polls), (24 * 60, False, False)]:
        watch.poll(BEGIN + hour * HOUR, killed=killed)
        kills += killed
        if restarted:
            watch.cursor = None
    wanted = {one.name for one in world} - watch.old
    assert set(watch.fired) == wanted
    # A duplicate only if it was killed before it saved.
    assert len(watch.fired) <= len(wanted) * (1 + kills)
    if not kills:
        assert len(watch.fired) == len(wanted)


@given(plans(), st.lists(hours, max_size=20), st.integers(0, 3))
def test_each_set_is_reported_though_few_are_remembered(
    world: list[Planned], polls: list[int], limit: int
) -> None:
    # Listed as soon as they begin: which sets of the forgotten time are new, nobody could know.
    world = [Planned(one.name, one.began, one.began, one.done) for one in world]
    watch = Watch(world)
    with patch("airflow_provider_oceanbase.watching.cursor.MAX_REPORTED", limit):
        for hour in [*sorted(polls), 24 * 60]:
            watch.poll(BEGIN + hour * HOUR, killed=False)
            assert watch.cursor is not None
            assert len(watch.cursor.reported) <= limit
    assert sorted(watch.fired) == sorted({one.name for one in world} - watch.old)


def test_sets_that_run_at_once_are_reported_up_to_a_limit() -> None:
    # All in the same second, as if started by one command; each tenth completes.
    running = [
        backup_set(backupSetId=f"bak-{number:05}", startTime=utc(BEGIN), endTime=None, status="DOING")
        for number in range(MAX_REPORTED + MAX_PENDING + 10)
    ]
    ended = [done(one["backupSetId"], BEGIN, BEGIN + HOUR) for one in running]
    cursor = Cursor.start(BEGIN)
    first = ended[: MAX_REPORTED + 1]
    assert cursor.new(CRITERIA.select(first)) == first
    after = cursor.after(first, [*first, *running[len(first) :]], BEGIN + HOUR)
    assert (len(after.reported), len(after.pending)) == (0, MAX_PENDING)
    assert after.new(CRITERIA.select(ended)) == ended[-MAX_PENDING:]
    assert [one for one in running[len(first) :] if cursor.gives_up(one, after)] == running[len(first) :][:9]
    assert after.earliest == BEGIN
    assert not after.after(ended[-MAX_PENDING:], ended, BEGIN + HOUR).pending


@given(plans())
def test_events_are_ordered_by_end(world: list[Planned]) -> None:
    listed = [found for one in world if (found := one.at(BEGIN + 24 * 60 * HOUR))]
    ends = [one["endTime"] or "" for one in CRITERIA.select(listed)]
    assert len(ends) == len(world)
    assert ends == sorted(ends)


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(0, 20))
@example([0] * 10, 5)
def test_size_is_bounded_and_nothing_is_reported_twice(starts: list[int], late: int) -> None:
    sets = [done(f"bak-{number}", BEGIN + start * HOUR) for number, start in enumerate(starts)]
    cursor = Cursor(BEGIN)
    reported: list[str] = []
    with patch("airflow_provider_oceanbase.watching.cursor.MAX_REPORTED", 8):
        for listed in (sets[: -late or None], sets, sets):
            new = cursor.new(CRITERIA.select(listed))
            reported += [one["backupSetId"] for one in new]
            cursor = cursor.after(new, listed, BEGIN + LOOKBACK)
            assert len(cursor.reported) <= 8
    assert len(reported) == len(set(reported))


def test_cursor_of_a_week_is_small() -> None:
    sets = [done(f"bak-{number:016}", BEGIN + timedelta(minutes=10 * number)) for number in range(1100)]
    cursor = Cursor(BEGIN).after(sets, sets, BEGIN + LOOKBACK)
    assert len(cursor.reported) == MAX_REPORTED
    assert len(json.dumps(cursor.to_json())) < 64 * 1024


def test_list_that_is_empty_by_mistake_reports_nothing_again() -> None:
    sets = [done("bak-1", BEGIN)]
    cursor = Cursor.start(BEGIN).after(sets, sets, BEGIN)
    cursor = cursor.after([], [], BEGIN + 2 * HOUR)
    assert cursor.new(sets) == []


@pytest.mark.parametrize("now", [BEGIN + timedelta(days=3650), BEGIN])
def test_clock_or_set_from_the_future_hides_no_later_set(now: datetime) -> None:
    future = done("bak-2", BEGIN + timedelta(days=3650)) if now == BEGIN else done("bak-2", BEGIN)
    cursor = Cursor.start(BEGIN).after([], [future], now)
    assert cursor.new([done("bak-1", BEGIN + HOUR)])


def test_clock_that_was_days_ahead_at_first_hides_no_later_set() -> None:
    ahead = Cursor.start(BEGIN + timedelta(days=3650)).after([], [], BEGIN + timedelta(days=3650))
    begun, later = done("bak-1", BEGIN), done("bak-2", BEGIN + HOUR)
    cursor = ahead.at(BEGIN)
    assert cursor.new([begun]) == [begun]
    cursor = cursor.after([begun], [begun], BEGIN).at(BEGIN + HOUR)
    assert cursor.new([begun, later]) == [later]


@pytest.mark.parametrize("ago", [timedelta(days=8), timedelta(days=3650)])
def test_clock_that_falls_behind_reports_nothing_again(ago: timedelta) -> None:
    old = [done("bak-1", BEGIN - LOOKBACK), done("bak-2", BEGIN)]
    cursor = Cursor.start(BEGIN).after(old, old, BEGIN)
    cursor = cursor.after([], old, BEGIN + 8 * timedelta(days=1))
    assert cursor.at(BEGIN - ago) == cursor


def test_many_sets_from_the_future_hide_no_later_set() -> None:
    future = [done(f"bak-{number}", BEGIN + timedelta(hours=20)) for number in range(3 * MAX_REPORTED)]
    cursor = Cursor.start(BEGIN).after(future, future, BEGIN)
    assert cursor.new([*future, done("bak-new", BEGIN + HOUR)]) == [done("bak-new", BEGIN + HOUR)]


@pytest.mark.parametrize(
    ("times", "dated"),
    [
        ({"startTime": "2026-01-01T00:00:00Z"}, True),
        ({"startTime": None, "endTime": "2026-01-01T00:00:00Z"}, True),
        ({"startTime": None, "endTime": None}, False),
        ({"startTime": "9999-01-01T00:00:00Z"}, False),
    ],
)
def test_what_has_no_time_or_one_from_the_future_is_not_dated(times: dict[str, Any], dated: bool) -> None:
    assert is_dated(backup_set(**times), datetime(2026, 1, 1, tzinfo=UTC)) is dated


def test_set_is_reported_once_it_is_valid() -> None:
    unchecked = backup_set(backupSetId="bak-1", startTime=utc(BEGIN), validity=None)
    assert CRITERIA.select([unchecked]) == []
    assert Criteria(("DONE",), require_valid=False).select([unchecked]) == [unchecked]
    cursor = Cursor.start(BEGIN).after([], [unchecked], BEGIN)
    assert cursor.new(CRITERIA.select([done("bak-1", BEGIN)]))


@pytest.mark.parametrize("times", [{}, {"startTime": None}, {"startTime": "soon", "endTime": 7}])
def test_set_without_times_is_ignored(times: dict[str, Any]) -> None:
    odd = backup_set(**{"startTime": None, "endTime": None} | times)
    cursor = Cursor.start(BEGIN)
    assert CRITERIA.select([odd]) == [odd]
    assert cursor.new([odd]) == []
    assert cursor.after([odd], [odd], BEGIN) == cursor


moments = st.datetimes(timezones=st.just(UTC))
times = st.dictionaries(st.text(), moments)


@given(moments, times, times)
def test_cursor_survives_json(
    since: datetime, reported: dict[str, datetime], pending: dict[str, datetime]
) -> None:
    cursor = Cursor(since, reported, pending)
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


def test_cursor_without_pending_sets_is_read() -> None:
    cursor = Cursor(BEGIN, {"bak-1": BEGIN})
    stored = {name: value for name, value in cursor.to_json().items() if name != "pending"}
    assert Cursor.from_json(stored) == cursor


@pytest.mark.parametrize(
    "data",
    [
        *(None, 1, "x", [], {}),
        {"since": "2026-01-01T00:00:00+00:00"},
        {"since": "2026-01-01", "reported": {}},
        {"since": "soon", "reported": {}},
        {"since": "2026-01-01T00:00:00Z", "reported": {"a": 1}},
        {"since": "2026-01-01T00:00:00Z", "reported": {}, "pending": None},
        {"since": "2026-01-01T00:00:00Z", "reported": {}, "pending": {"a": "soon"}},
    ],
)
def test_invalid_cursor_is_rejected(data: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cursor.from_json(data)
