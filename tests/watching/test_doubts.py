"""A watch is not silent about a set that it passes over for a value that nobody knows."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import backup_set

from airflow_provider_oceanbase.watching.cursor import Criteria
from airflow_provider_oceanbase.watching.listings import Listing
from airflow_provider_oceanbase.watching.watcher import Watcher

NOW = datetime.now(UTC)


def one(name: str = "bak-1", *, hours: float = -1, **data: Any) -> Any:
    return backup_set(**{"backupSetId": name, "startTime": (NOW + timedelta(hours=hours)).isoformat()} | data)


def watch(*polls: list[Any], require_valid: bool = True) -> list[str]:
    """Watch an instance; return the IDs of the sets that are reported."""
    watcher = Watcher(
        instance_id="ob-1",
        oceanbase_conn_id="ob",
        criteria=Criteria(["DONE"], require_valid),
        store=None,
        log=logging.getLogger("tests.doubts"),
    )

    async def take() -> list[str]:
        since = NOW - timedelta(days=8)
        listings = [Listing(number, sets, since, lambda _: None) for number, sets in enumerate(polls)]
        return [new["backupSetId"] for listing in listings for new in await watcher.take(listing)]

    return asyncio.run(take())


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"status": "SUCCESS", "endTime": None},
            "'SUCCESS' is no status that this provider knows. If it means done, set "
            "success_statuses=('DONE', 'SUCCESS').",
        ),
        (
            {"status": "done", "endTime": "2026-01-19T10:32:49Z", "validity": None},
            "'done' is no status that this provider knows, and the backup has ended (endTime "
            "2026-01-19T10:32:49Z). If it means done, set success_statuses=('DONE', 'done').",
        ),
        ({"validity": None}, "it has no validity. If OceanBase Cloud gives none, set require_valid=False."),
        ({"validity": "OK"}, "its validity is 'OK', not VALID. If that is good enough, set require_valid=Fa"),
    ],
)
def test_a_set_that_is_not_reported_is_named_once(
    fields: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd = one(**fields)
    assert watch([one("old")], [odd], [odd, one("bak-2", **fields)]) == []
    (line,) = logged(caplog)
    what, _, remedy = says.partition(". ")
    source = "watch of instance 'ob-1', connection 'ob'"
    assert line.startswith(f"No event reports backup set 'bak-1' as it is: {what}; {source}. {remedy}")


def test_a_new_watch_names_what_is_there_already(caplog: pytest.LogCaptureFixture) -> None:
    assert watch([one(status="SUCCESS")]) == []
    assert len(logged(caplog)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "DOING", "validity": None},
        {"status": "FAILED", "validity": None},
        {"status": "CANCELED"},
        # Older than any that is reported.
        {"hours": -24 * 7.5, "status": "SUCCESS"},
    ],
)
def test_what_is_known_is_not_named(fields: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    watch([one(**fields)], [one(**fields)])
    assert logged(caplog) == []


def test_validity_does_not_matter_where_it_need_not(caplog: pytest.LogCaptureFixture) -> None:
    assert watch([one("old")], [one(validity=None)], require_valid=False) == ["bak-1"]
    assert logged(caplog) == []


def test_a_list_without_sets_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    watch([], [], [one()], [])
    (line,) = logged(caplog)
    assert line.startswith("No backup sets in the list since 20")
    assert "; watch of instance 'ob-1', connection 'ob'. OceanBase Cloud may answer so for a wrong ID" in line


def test_lines_end_somewhere(caplog: pytest.LogCaptureFixture) -> None:
    watch(*([one(status=f"DOING {percent} %")] for percent in range(100)))
    assert len(logged(caplog)) == 20


@pytest.mark.parametrize("begin", [1768818748000, "1768818748000", "1712010112000", "01/19/2026", ["x"]])
def test_a_time_that_cannot_be_read_is_quoted(begin: Any, caplog: pytest.LogCaptureFixture) -> None:
    odd = one(startTime=begin, endTime=begin)
    assert watch([one("old")], [odd], [odd]) == []
    (line,) = logged(caplog)
    assert (
        f"Their startTime is missing, unreadable or in the future; that of the last one: {begin!r}." in line
    )
