from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests_mock
from conftest import HOST
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.backup_sets import (
    BackupSetList,
    BackupSetPage,
    BackupSetPages,
    read_backup_set_page,
)
from airflow_provider_oceanbase.cloud.query import run_exchange
from airflow_provider_oceanbase.exceptions import (
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook

URL = f"{HOST}/api/v2/instances/ob-1/backup/data/sets"


class Server:
    """Lists sets newest first, with or without total and hasMore.

    :param names: names of the sets, oldest first
    :param cap: largest page, whatever the request says
    :param changes: changes of the sets, by the number of pages sent before
    """

    def __init__(
        self,
        names: list[str],
        *,
        cap: int = 1000,
        total: bool = True,
        has_more: bool = True,
        changes: dict[int, Callable[[list[str]], None]] | None = None,
    ) -> None:
        self.names, self.cap, self.total, self.has_more = names, cap, total, has_more
        self.changes = changes or {}
        self.requested: list[int] = []

    def answer(self, number: int, page_size: int) -> BackupSetPage:
        self.changes.get(len(self.requested), lambda _: None)(self.names)
        self.requested.append(number)
        size = min(self.cap, page_size)
        listed = self.names[::-1]
        page = listed[(number - 1) * size : number * size]
        return BackupSetPage(
            [{"backupSetId": name, "status": "DONE"} for name in page],
            len(listed) if self.total else None,
            number * size < len(listed) if self.has_more else None,
        )

    def list(self, page_size: int) -> list[str]:
        pages = BackupSetPages(BackupSetList("ob-1", page_size=page_size))
        names: list[str] = []
        while (request := pages.request) is not None:
            number = int(request.query.partition("pageNumber=")[2].partition("&")[0])
            names += [one["backupSetId"] for one in pages.take(self.answer(number, page_size), "r")]
        return names


KNOWN = [{"total": True}, {"has_more": True}, {}, {"total": True, "has_more": True}]


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 12), st.sampled_from(KNOWN))
def test_every_set_is_listed_once(count: int, page_size: int, cap: int, known: dict[str, bool]) -> None:
    names = [f"bak-{index}" for index in range(count)]
    server = Server(list(names), cap=cap, **{"total": False, "has_more": False} | known)
    assert server.list(page_size) == names[::-1]
    # Without total and hasMore, only an empty page shows the end; and with one of both, after a full page.
    is_full = len(known) == 1 and cap >= page_size and count % page_size == 0
    pages = max(-(-count // min(page_size, cap)) + (count > 0 and (not known or is_full)), 1)
    # All but the last one are read again.
    assert len(server.requested) == 2 * pages - 1


def numbered(*numbers: int) -> list[Any]:
    return [{"backupSetId": f"bak-{number}", "status": "DONE"} for number in numbers]


def listed(*pages: BackupSetPage) -> list[str]:
    """List from a server with these pages, the last one also for all after it; its pages hold two sets."""
    reader = BackupSetPages(BackupSetList("ob-1", page_size=2))
    names: list[str] = []
    while (request := reader.request) is not None:
        number = int(request.query.partition("pageNumber=")[2].partition("&")[0])
        names += [one["backupSetId"] for one in reader.take(pages[min(number, len(pages)) - 1], "r")]
    return names


@pytest.mark.parametrize(
    ("total", "has_more"),
    [(5, None), (None, None)],
)
def test_a_server_that_ignores_the_number_of_the_page_gives_no_list(
    total: int | None, has_more: bool | None
) -> None:
    with pytest.raises(OceanBaseMalformedResponseError, match="List is incomplete: page 2 is page 1 again"):
        listed(BackupSetPage(numbered(1, 2), total, has_more))


def test_a_server_without_pages_gives_its_list() -> None:
    assert listed(BackupSetPage(numbered(1), None, None)) == ["bak-1"]
    assert listed(BackupSetPage(numbered(1, 2), 2, None)) == ["bak-1", "bak-2"]


@pytest.mark.parametrize("counts", [[(2, None), (1, None)], [(None, False), (None, False)]])
def test_a_count_of_the_page_does_not_end_the_list(counts: list[tuple[int | None, bool | None]]) -> None:
    first, second = counts
    pages = BackupSetPage(numbered(1, 2), *first), BackupSetPage(numbered(3), *second)
    assert listed(*pages) == ["bak-1", "bak-2", "bak-3"]


changes = st.dictionaries(
    st.integers(1, 9), st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=4), max_size=2
)


@given(st.integers(0, 20), st.integers(1, 6), changes, st.sampled_from(KNOWN))
@example(2, 1, {4: [(True, 0)] * 3, 1: [(True, 0)] * 3}, {"total": True, "has_more": True})
@example(4, 1, {3: [(True, 4)], 4: [(False, 4)]}, {"total": True})
def test_list_that_changes_has_neither_gaps_nor_duplicates(
    count: int, page_size: int, changes: dict[int, list[tuple[bool, int]]], known: dict[str, bool]
) -> None:
    names = [f"bak-{index}" for index in range(count)]
    new = map("new-{}".format, itertools.count())
    gone: set[str] = set()

    def change(steps: list[tuple[bool, int]]) -> Callable[[list[str]], None]:
        def do(listed: list[str]) -> None:
            for appears, position in steps:
                if appears:
                    listed.insert(position % (len(listed) + 1), next(new))
                elif listed:
                    gone.add(listed.pop(position % len(listed)))

        return do

    changed = {number: change(steps) for number, steps in changes.items()}
    server = Server(list(names), changes=changed, **{"total": False, "has_more": False} | known)
    listed = server.list(page_size)
    assert len(listed) == len(set(listed))
    assert set(names) - gone <= set(listed)


def test_a_set_that_appears_while_paging_is_found() -> None:
    server = Server(["a", "b", "c", "d"], changes={1: lambda names: names.append("e")})
    assert server.list(2) == ["d", "c", "b", "a", "e"]


def test_a_set_that_disappears_while_paging_hides_no_other() -> None:
    server = Server(["a", "b", "c", "d"], changes={1: lambda names: names.remove("d")})
    assert sorted(server.list(2)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("known", KNOWN)
def test_a_set_that_goes_while_another_appears_hides_no_other(known: dict[str, bool]) -> None:
    def change(names: list[str]) -> None:
        names.remove("d")
        names.insert(0, "z")

    server = Server(["a", "b", "c", "d"], changes={1: change}, **{"total": False, "has_more": False} | known)
    assert sorted(server.list(2)) == ["a", "b", "c", "d", "z"]


def test_a_list_that_never_stays_the_same_ends() -> None:
    new = map("new-{}".format, itertools.count())
    always = dict.fromkeys(range(100), lambda names: names.append(next(new)))
    server = Server(["a", "b", "c"], has_more=True, total=False, changes=always)
    listed = server.list(2)
    assert {"a", "b", "c"} <= set(listed)
    assert server.requested.count(1) == 4


def test_an_empty_page_before_the_last_is_skipped() -> None:
    pages = BackupSetPages(BackupSetList("ob-1"))
    one, other = ([{"backupSetId": name, "status": "DONE"}] for name in "ab")
    found = [
        *pages.take(BackupSetPage(one, None, True), "r"),
        *pages.take(BackupSetPage([], None, True), "r"),
        *pages.take(BackupSetPage(other, None, False), "r"),
        *pages.take(BackupSetPage(one, None, True), "r"),
        *pages.take(BackupSetPage([], None, True), "r"),
    ]
    assert [backup_set["backupSetId"] for backup_set in found] == ["a", "b"]
    assert pages.request is None


def test_an_endless_list_is_an_error() -> None:
    pages = BackupSetPages(BackupSetList("ob-1"))
    same = BackupSetPage([{"backupSetId": "a", "status": "DONE"}], None, True)
    for _ in range(21):
        pages.take(same, "r")
    with pytest.raises(OceanBaseMalformedResponseError, match="List does not end") as caught:
        pages.take(same, "r-9")
    assert caught.value.request_id == "r-9"
    assert "the backup sets of instance 'ob-1'" in str(caught.value)


def test_a_repeated_page_ends_a_list_without_total_and_has_more() -> None:
    pages = BackupSetPages(BackupSetList("ob-1"))
    same = BackupSetPage([{"backupSetId": "a", "status": "DONE"}], None, None)
    assert pages.take(same, "r")
    assert not pages.take(same, "r")
    # It may have repeated a set because the list changed: both pages once more.
    assert not pages.take(same, "r")
    assert not pages.take(same, "r")
    assert pages.request is None


@pytest.mark.parametrize(
    "data", [None, {}, {"dataList": None}, {"dataList": [], "total": 0, "hasMore": False}]
)
def test_no_sets(data: object) -> None:
    assert read_backup_set_page(data).backup_sets == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "data are no object"),
        ("", "data are no object"),
        ({"status": "DONE"}, "data have no dataList"),
        ({"total": 0}, "data have no dataList"),
        ({"dataList": {}}, "dataList is no list"),
        ({"dataList": [None]}, "dataList has an entry without backupSetId"),
        ({"dataList": [{"status": "DONE"}]}, "dataList has an entry without backupSetId"),
        ({"dataList": [{"status": "DONE", "backupSetId": 1}]}, "backupSetId is no text"),
        ({"dataList": [{"backupSetId": "a"}]}, "data have no status"),
    ],
)
def test_malformed_pages(data: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_backup_set_page(data)


def test_odd_counts_are_ignored() -> None:
    page = read_backup_set_page({"dataList": [], "total": "many", "hasMore": "yes"})
    assert (page.total, page.has_more) == (None, None)
    assert read_backup_set_page({"dataList": [], "total": True}).total is None


def page(*names: str, **rest: Any) -> dict[str, Any]:
    sets = [{"backupSetId": name, "status": "DONE"} for name in names]
    return {"success": True, "requestId": "r", "data": {"dataList": sets} | rest}


def test_hook_requests_pages_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    with requests_mock.Mocker() as server:
        first, last = page("a", "b", hasMore=True), page("c", hasMore=False)
        server.get(URL, [{"json": one} for one in (first, last, first)])
        found = OceanBaseHook().list_backup_sets(
            "ob-1",
            start_time=datetime(2026, 1, 19, 12, tzinfo=timezone(timedelta(hours=8))),
            end_time=datetime(2026, 1, 20, tzinfo=UTC),
            page_size=2,
        )
        assert server.call_count == 0
        assert next(found)["backupSetId"] == "a"
        assert server.call_count == 1
        assert [backup_set["backupSetId"] for backup_set in found] == ["b", "c"]
        queries = [request.qs for request in server.request_history]
    assert [query["pagenumber"] for query in queries] == [["1"], ["2"], ["1"]]
    assert queries[0]["starttime"] == ["2026-01-19t04:00:00z"]
    assert queries[0]["endtime"] == ["2026-01-20t00:00:00z"]
    assert queries[0]["pagesize"] == ["2"]
    assert queries[0]["checkbackupsetdownloadenable"] == ["false"]
    assert queries[0]["requestid"] != queries[1]["requestid"]


def test_hook_names_what_is_missing() -> None:
    with requests_mock.Mocker() as server:
        server.get(URL, status_code=404, json={"success": False, "requestId": "r-4"})
        with pytest.raises(OceanBaseNotFoundError, match="the backup sets of instance 'ob-1'"):
            list(OceanBaseHook().list_backup_sets("ob-1"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"instance_id": ".."}, "instance_id is '..', which is no ID"),
        ({"page_size": 0}, "page_size is 0"),
        ({"page_size": 1001}, "page_size is 1001"),
        ({"start_time": datetime(2026, 1, 1)}, "start_time is datetime"),
        ({"end_time": "2026-01-01T00:00:00Z"}, "end_time is '2026"),
    ],
)
def test_invalid_arguments_are_rejected_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        OceanBaseHook().list_backup_sets(**{"instance_id": "ob-1"} | options)
    assert says in str(caught.value)


def test_an_exchange_ends_with_all_sets() -> None:
    server = Server(["a", "b", "c"])

    def send(request: Any) -> Any:
        number = int(request.query.partition("pageNumber=")[2].partition("&")[0])
        return server.answer(number, 2), f"r-{number}"

    sets, request_id = run_exchange(BackupSetList("ob-1", page_size=2), send)
    assert [one["backupSetId"] for one in sets] == ["c", "b", "a"]
    assert request_id == "r-1"


@pytest.mark.parametrize("tenants", [None, 4])
def test_a_list_that_takes_too_much_memory_is_refused(
    tenants: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_oceanbase.cloud.backup_sets.MAX_ENTRIES", 50)
    pages = BackupSetPages(BackupSetList("ob-1"))

    def take(number: int) -> int:
        nested = {"tenantBackupSetList": [{}] * tenants} if tenants else {}
        sets: Any = [{"backupSetId": f"{number}-{one}", "status": "DONE", **nested} for one in range(5)]
        pages.take(BackupSetPage(sets, None, True), "r")
        return len(sets) * (1 + (tenants or 0))

    fitting = 50 // take(0)
    for number in range(1, fitting):
        take(number)
    with pytest.raises(OceanBaseMalformedResponseError, match="more than 50 sets and tenants"):
        take(fitting)
