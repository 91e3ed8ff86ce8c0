"""The emulator lists backup sets and starts backups."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests
from conftest import answer
from emulators import AUTH, PATH, QUERY, client, get, statuses

from airflow_provider_oceanbase.testing import CloudEmulator

SETS = "/api/v2/instances/ob-1/backup/data/sets"
START = "/api/v2/instances/ob-1/backup/data/start"
BODY = {"backupObjectType": "tenant", "backupPolicy": "manual"}
NOON = datetime(2026, 1, 19, 12, tzinfo=UTC)


@pytest.fixture
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator() as emulator:
        yield emulator


def sets(cloud: CloudEmulator, query: str = "", sets: str = SETS) -> Any:
    """Return the ``data`` of a list."""
    response = get(cloud, sets + QUERY + query)
    assert (response.status_code, response.json()["success"]) == (200, True)
    return response.json()["data"]


def ids(data: Any) -> list[str]:
    return [item["backupSetId"] for item in data["dataList"]]


def listed(cloud: CloudEmulator, query: str = "") -> dict[str, str]:
    """Return the statuses in a list by ID."""
    return {item["backupSetId"]: item["status"] for item in sets(cloud, query)["dataList"]}


def start(cloud: CloudEmulator, body: Any = BODY) -> Any:
    with client(cloud) as session:
        return session.post(cloud.url + START + QUERY, json=body, timeout=5)


def test_list_has_the_documented_fields(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=["DONE"], tenants=["a"])
    data = sets(cloud, "&checkBackupSetDownloadEnable=true")
    assert (data["total"], data["hasMore"]) == (1, False)
    (item,) = data["dataList"]
    example = answer()["data"]
    assert set(item) == set(example) | {"storageClass"}
    assert set(item["tenantBackupSetList"][0]) == set(example["tenantBackupSetList"][0])
    assert item["downloadEnabled"] is True
    details = get(cloud, f"{PATH}{QUERY}&checkBackupSetDownloadEnable=true").json()["data"]
    assert {name: value for name, value in item.items() if name != "storageClass"} == details


def test_list_is_of_one_instance_and_newest_first(cloud: CloudEmulator) -> None:
    for name, hours in (("old", -1), ("noon", 0), ("noon too", 0), ("new", 1), ("oldest", -2)):
        cloud.add_backup_set("ob-1", name, statuses=["DONE"], start_time=NOON + timedelta(hours=hours))
    cloud.add_backup_set("ob-2", "other")
    assert ids(sets(cloud)) == ["new", "noon too", "noon", "old", "oldest"]
    assert ids(sets(cloud, sets=SETS.replace("ob-1", "ob-2"))) == ["other"]
    nothing = {"dataList": [], "total": 0, "hasMore": False}
    assert sets(cloud, sets=SETS.replace("ob-1", "ob-3")) == nothing


def test_pages(cloud: CloudEmulator) -> None:
    for number in range(25):
        cloud.add_backup_set("ob-1", f"bak-{number}", start_time=NOON - timedelta(hours=number))
    expected = [f"bak-{number}" for number in range(25)]
    pages = [sets(cloud, query) for query in ("", "&pageNumber=2", "&pageNumber=3", "&pageNumber=4")]
    assert [ids(page) for page in pages] == [expected[:10], expected[10:20], expected[20:], []]
    assert [page["hasMore"] for page in pages] == [True, True, False, False]
    assert {page["total"] for page in pages} == {25}
    full = sets(cloud, "&pageSize=25")
    assert (ids(full), full["hasMore"]) == (expected, False)
    assert ids(sets(cloud, "&pageSize=7&pageNumber=3")) == expected[14:21]


@pytest.mark.parametrize("page_fields", [(), ("total",), ("hasMore",)])
def test_pages_can_be_small_and_have_fewer_fields(page_fields: Any) -> None:
    with CloudEmulator(max_page_size=2, page_fields=page_fields) as cloud:
        for number in range(3):
            cloud.add_backup_set("ob-1", f"bak-{number}", start_time=NOON - timedelta(hours=number))
        first, second = (sets(cloud, f"&pageSize=100&pageNumber={number}") for number in (1, 2))
        assert (ids(first), ids(second)) == (["bak-0", "bak-1"], ["bak-2"])
        assert set(first) == {"dataList", *page_fields}
        assert (first.get("total", 3), first.get("hasMore", True)) == (3, True)
        assert len(sets(cloud, "&pageSize=1")["dataList"]) == 1


def test_list_filters_by_time(cloud: CloudEmulator) -> None:
    for name, minute in (("early", 0), ("between", 30), ("late", 59)):
        cloud.add_backup_set("ob-1", name, start_time=NOON.replace(minute=minute))
    assert ids(sets(cloud, "&startTime=2026-01-19T12:30:00Z")) == ["late", "between"]
    assert ids(sets(cloud, "&endTime=2026-01-19T12:30:00Z")) == ["between", "early"]
    both = sets(cloud, "&startTime=2026-01-19T12:00:01Z&endTime=2026-01-19T12:58:59Z")
    assert (ids(both), both["total"]) == (["between"], 1)


@pytest.mark.parametrize(
    "query",
    [
        "pageNumber=0",
        "pageNumber=-1",
        "pageNumber=one",
        "pageSize=0",
        "pageSize=1.5",
        "pageSize=",
        "startTime=2026-01-19",
        "startTime=2026-1-19T1:00:00Z",
        "startTime=2026-01-19T12:00:00",
        "endTime=2026-01-19T12:00:00%2B01:00",
        "endTime=2026-02-30T12:00:00Z",
        "checkBackupSetDownloadEnable=1",
    ],
)
def test_list_rejects_invalid_values(query: str, cloud: CloudEmulator) -> None:
    response = get(cloud, f"{SETS}{QUERY}&{query}")
    assert (response.status_code, response.json()["success"]) == (400, False)
    assert response.json()["errorMessage"].startswith(query.partition("=")[0])


def test_page_one_is_a_poll_of_every_set(cloud: CloudEmulator) -> None:
    for number in range(3):
        cloud.add_backup_set("ob-1", f"bak-{number}", polls_per_status=2, start_time=NOON)
    cloud.add_backup_set("ob-2", "bak-0")
    seen = []
    for _ in range(5):
        pages = [sets(cloud, f"&pageSize=2&pageNumber={number}")["dataList"] for number in (1, 2)]
        seen.append({item["status"] for page in pages for item in page})
    assert seen == [{"BEGINNING"}, {"BEGINNING"}, {"DOING"}, {"DOING"}, {"DONE"}]
    sets(cloud, "&startTime=2026-01-20T00:00:00Z")
    assert (cloud.polls("ob-1", "bak-2"), cloud.polls("ob-2", "bak-0")) == (6, 0)


def test_reading_and_listing_count_together(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    assert listed(cloud, "&pageNumber=1") == {"bak-1": "BEGINNING"}
    assert get(cloud).json()["data"]["status"] == "DOING"
    assert listed(cloud) == {"bak-1": "DONE"}


def test_listed_status_changes_by_time(cloud: CloudEmulator) -> None:
    cloud._clock = lambda: 100.0
    cloud.add_backup_set("ob-1", "bak-1", seconds_per_status=10)
    seen = []
    for seconds in (100.0, 109.0, 110.0, 1000.0):
        cloud._clock = functools.partial(float, seconds)
        seen.append(listed(cloud)["bak-1"])
    assert seen == ["BEGINNING", "BEGINNING", "DOING", "DONE"]


def test_what_is_not_registered_is_not_listed(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "late", statuses=[None, "DOING"])
    cloud.add_backup_set("ob-1", "unknown", statuses=[404, "DOING"])
    cloud.add_backup_set("ob-1", "flaky", statuses=["DOING", 503, 503, "DONE"])
    cloud.add_backup_set("ob-1", "gone", statuses=["DOING", None, 404])
    assert listed(cloud) == {"flaky": "DOING", "gone": "DOING"}
    assert listed(cloud) == {"late": "DOING", "unknown": "DOING", "flaky": "DOING"}
    assert sets(cloud)["total"] == 3
    assert listed(cloud)["flaky"] == "DONE"


def test_times_and_tenants_of_a_set(cloud: CloudEmulator) -> None:
    cloud.add_backup_set(
        "ob-1",
        "bak-1",
        statuses=["DOING", "DONE"],
        tenants={"a": {}, "b": {"status": "FAILED", "checkpoint": None}, "c": {"validity": "INVALID"}},
        start_time=NOON.astimezone(timezone(timedelta(hours=8))),
        checkpoint=NOON + timedelta(minutes=1),
        end_time=NOON + timedelta(minutes=2),
        backupMode="LOGICAL_BACKUP",
        storageClass="X",
    )
    times = ("startTime", "checkpoint", "endTime")
    doing, done = (sets(cloud)["dataList"][0] for _ in range(2))
    assert [doing[name] for name in times] == ["2026-01-19T12:00:00Z", None, None]
    shown = ["2026-01-19T12:00:00Z", "2026-01-19T12:01:00Z", "2026-01-19T12:02:00Z"]
    assert [done[name] for name in times] == shown
    assert (done["status"], done["backupMode"], done["storageClass"]) == ("DONE", "LOGICAL_BACKUP", "X")
    a, b, c = done["tenantBackupSetList"]
    assert [a[name] for name in times] == shown
    assert [(one["tenantName"], one["status"], one["validity"]) for one in (a, b, c)] == [
        ("a", "DONE", "VALID"),
        ("b", "FAILED", None),
        ("c", "DONE", "INVALID"),
    ]
    assert b["checkpoint"] is None


@pytest.mark.parametrize("name", ["start_time", "checkpoint", "end_time"])
def test_times_need_a_time_zone(name: str, cloud: CloudEmulator) -> None:
    time: Any = {name: NOON.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="2026-01-19 12:00:00 has no time zone"):
        cloud.add_backup_set("ob-1", "bak-1", **time)


class Busy(str):
    """An instance ID whose comparison lets another thread run."""

    thread: threading.Thread | None = None
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if self.thread and self.thread.ident is None:
            self.thread.start()
            # If the thread waits for the list's lock, this times out.
            self.thread.join(0.2)
        return str.__eq__(self, other)


def test_sets_may_be_added_while_they_are_listed(cloud: CloudEmulator) -> None:
    instance_id = Busy("ob-1")
    cloud.add_backup_set(instance_id, "bak-1")
    cloud.add_backup_set(instance_id, "bak-2")
    instance_id.thread = threading.Thread(target=cloud.add_backup_set, args=("ob-1", "bak-3"))
    assert ids(sets(cloud)) == ["bak-2", "bak-1"]
    instance_id.thread.join()
    assert ids(sets(cloud)) == ["bak-3", "bak-2", "bak-1"]


def test_start(cloud: CloudEmulator) -> None:
    planned = cloud.next_backup(
        "ob-1", statuses=(None, 404, "DOING", "DONE"), polls_per_status=1, tenants=["a"]
    )
    cloud.next_backup("ob-1", backup_task_id="mine", statuses=("FAILED",), validity="INVALID")
    cloud.next_backup("ob-2", backup_task_id="other")
    assert sets(cloud)["total"] == 0
    body = {**BODY, "needPreCheck": True, "tenantId": "t1", "databaseTables": [{"databaseName": "d"}]}
    answers = [start(cloud, body).json() for _ in range(3)]
    assert answers[0] == {"success": True, "data": {"backupTaskId": planned}, "requestId": "r-1"}
    assert [one["data"]["backupTaskId"] for one in answers] == ["bak-started-1", "mine", "bak-started-2"]
    target = PATH.replace("bak-1", planned) + QUERY
    grace, unknown, doing, done = (get(cloud, target) for _ in range(4))
    assert (grace.json()["data"], unknown.status_code) == (None, 404)
    assert doing.json()["data"]["status"] == "DOING"
    assert [tenant["tenantName"] for tenant in done.json()["data"]["tenantBackupSetList"]] == ["a"]
    failed = get(cloud, PATH.replace("bak-1", "mine") + QUERY).json()["data"]
    assert (failed["status"], failed["validity"]) == ("FAILED", "INVALID")
    assert ids(sets(cloud)) == ["bak-started-2", "mine", "bak-started-1"]


def test_requests_have_the_posted_body(cloud: CloudEmulator) -> None:
    start(cloud)
    get(cloud)
    posts = [(one.method, one.path, one.status, one.body) for one in cloud.requests if one.method == "POST"]
    assert posts == [("POST", START, 401, BODY), ("POST", START, 200, BODY)]
    assert cloud.requests[-1].body is None


def test_status_of_started_backups_changes_by_time() -> None:
    with CloudEmulator(seconds_per_status=10) as cloud:
        cloud.next_backup("ob-1")
        cloud.next_backup("ob-1", seconds_per_status=100)
        cloud._clock = lambda: 50.0
        for _ in range(3):
            assert start(cloud).status_code == 200
        seen = []
        for seconds in (59.0, 60.0, 70.0, 249.0, 250.0):
            cloud._clock = functools.partial(float, seconds)
            seen.append(tuple(listed(cloud)[f"bak-started-{number}"] for number in (1, 2, 3)))
        assert seen == [
            ("BEGINNING", "BEGINNING", "BEGINNING"),
            ("DOING", "BEGINNING", "DOING"),
            ("DONE", "BEGINNING", "DONE"),
            ("DONE", "DOING", "DONE"),
            ("DONE", "DONE", "DONE"),
        ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "the body must be a JSON object"),
        ([BODY], "the body must be a JSON object"),
        ({"backupPolicy": "manual"}, "backupObjectType is required"),
        ({"backupObjectType": "tenant", "backupPolicy": ""}, "backupPolicy is required"),
        ({**BODY, "needPreCheck": "true"}, "needPreCheck must be true or false"),
    ],
)
def test_start_rejects_an_invalid_body(body: Any, message: str, cloud: CloudEmulator) -> None:
    response = start(cloud, body)
    assert (response.status_code, response.json()["errorMessage"]) == (400, message)
    assert sets(cloud)["total"] == 0


def test_start_requires_the_key(cloud: CloudEmulator) -> None:
    with client(cloud, (AUTH[0], "wrong")) as session:
        assert session.post(cloud.url + START + QUERY, json=BODY, timeout=5).status_code == 401
    assert sets(cloud)["total"] == 0


@pytest.mark.parametrize("after_acting", [False, True])
def test_start_can_fail_before_and_after_it_acts(after_acting: bool, cloud: CloudEmulator) -> None:
    cloud.fail(status=502, after_acting=after_acting)
    cloud.fail(drop=True, after_acting=after_acting)
    response = start(cloud)
    assert (response.status_code, response.json()["success"]) == (502, False)
    with pytest.raises(requests.ConnectionError):
        start(cloud)
    assert statuses(cloud) == [401, 502, 401, 0]
    assert sets(cloud)["total"] == (2 if after_acting else 0)
    assert start(cloud).status_code == 200
