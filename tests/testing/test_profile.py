"""An emulator that answers as a report says a service does."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import CONN_ID
from emulators import get
from profiles import PROFILES, checked

from airflow_provider_oceanbase._inferred import read_report, write_report
from airflow_provider_oceanbase.cloud.instances import InstanceList
from airflow_provider_oceanbase.exceptions import OceanBaseRefusedError
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator, Profile
from airflow_provider_oceanbase.testing.__main__ import _parser

NOW = datetime.now(UTC).replace(microsecond=0)
RESTORABLE = "/api/v2/instances/ob-1/backup/restore/tenants?requestId=r-1"
LIST = "/api/v2/instances/ob-1/backup/data/sets?requestId=r-1"


def first(cloud: CloudEmulator) -> dict[str, Any]:
    item: dict[str, Any] = get(cloud, LIST).json()["data"]["dataList"][0]
    return item


def report_of(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what ``check`` reports on an emulator with a profile."""
    return write_report(checked(profile, monkeypatch)[1], "1.0")


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.usefixtures("no_pauses")
def test_a_report_makes_the_profile_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(PROFILES[name], monkeypatch)
    assert Profile.from_report(report) == PROFILES[name]


def test_a_required_project_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing else can be seen then.
    report = report_of(Profile(project_required=True), monkeypatch)
    assert Profile.from_report(report).project_required


@pytest.mark.usefixtures("no_pauses")
def test_a_demanded_parameter_is_demanded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(Profile(restore_requires=("openRequest", "restoreType")), monkeypatch)
    seen = read_report(report)["restorable"].seen
    assert (seen["http_status"], seen["demands"]) == (400, ["openRequest", "restoreType"])
    # What it answered in the end.
    assert (seen["intervals"], seen["missing"]) == (True, [])
    with CloudEmulator(profile=Profile.from_report(report)) as cloud:
        cloud.add_restorable_tenant("ob-1", "orders", intervals=[(NOW - timedelta(hours=1), None)])
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
        older = {"openRequest": "1", "restoreType": "any"}
        with closing(OceanBaseHook()) as hook:
            for parameters in (None, {"openRequest": "1"}):
                with pytest.raises(OceanBaseRefusedError, match="is required"):
                    hook.get_restorable_tenants("ob-1", query_parameters=parameters)
            assert len(hook.get_restorable_tenants("ob-1", query_parameters=older)) == 1
            assert [one["instanceId"] for one in hook.fetch(InstanceList()).data] == ["ob-1"]


def report_with(key: str, seen: dict[str, Any]) -> str:
    point = {"key": key, "verdict": "differs", "seen": seen}
    return json.dumps({"format": 1, "points": [point]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "points": []}',
        report_with("times", {"startTime": 1}),
        report_with("polls", {"odd": 1}),
        "[" * 100_000,
        '{"format": true, "points": []}',
        report_with("page_size", {"pages": [], "total": 1}),
        report_with("statuses", {"sets": "DONE"}),
        report_with("statuses", {"sets": {"done": 1}}),
        report_with("statuses", {"sets": ["\ud800done"]}),
        report_with("list_tenants", {"in_list": "list"}),
        report_with("restorable", {"demands": "openRequest"}),
    ],
    ids=lambda text: text[:80],
)
def test_what_is_no_report(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"report|line 1 column 1|points"):
        Profile.from_report(text)
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(SystemExit):
        _parser().parse_args(["--profile", str(path)])
    assert "cannot be used: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        *(
            ("unknown_backup", {"http_status": status, "success": False})
            for status in (None, "x", 401, 503, 99999)
        ),
        ("project", {"without": {"http_status": 500, "success": False}}),
        ("project", {"without": {"http_status": None, "success": "absent"}}),
        ("restorable", {"http_status": 400, "success": False}),
        *(("page_size", {"pages": [{"received": n, "requested": 100}], "total": 9}) for n in (-5, 0)),
        ("statuses", {"sets": ["(name)", "(null)"], "sets_with_end_time": ["(name)", "(null)"]}),
        ("statuses", {"sets": ["x (name)", "GOOD"], "sets_with_end_time": ["x (name)", "GOOD"]}),
        ("statuses", {"sets": ["(null)"], "sets_with_end_time": ["(null)"]}),
        ("validity", {"done": ["(name)"], "others": []}),
        ("validity", {"done": ["OK_(name)"], "others": []}),
        *(
            ("modes", {field: [word]})
            for field in ("backupMode", "dataBackupMode", "triggerMode")
            for word in ("(name)", "of (name)", "(name)_X")
        ),
        ("object_types", {"sets": ["(name)"], "tenants": ["A_(name)"]}),
        *(("times", {"startTime": [form]}) for form in ("(boolean)", "(null)", "aaaa", "9" * 9999)),
    ],
    ids=str,
)
def test_what_says_nothing_of_the_service_is_as_documented(key: str, seen: dict[str, Any]) -> None:
    assert Profile.from_report(report_with(key, seen)) == Profile()


def test_a_report_with_nothing_seen_is_as_documented() -> None:
    points = [{"key": "times", "verdict": "not seen", "seen": {}}]
    assert Profile.from_report(json.dumps({"format": 1, "points": points})) == Profile()


def test_the_command_takes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    seen = {"order": "oldest first"}
    points = [{"key": "list_order", "verdict": "confirmed", "seen": seen}]
    path.write_text(json.dumps({"format": 1, "points": points}))
    assert _parser().parse_args(["--profile", str(path)]).profile == Profile(newest_first=False)
    # As editors of Windows save it.
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert _parser().parse_args(["--profile", str(path)]).profile == Profile(newest_first=False)
    with pytest.raises(SystemExit):
        _parser().parse_args(["--profile", str(tmp_path / "none.json")])
    assert "none.json' cannot be used: No such file" in capsys.readouterr().err


def test_arguments_replace_those_of_the_profile() -> None:
    profile = Profile(algorithms=("SHA-256",), max_page_size=1, page_fields=())
    with CloudEmulator(profile=profile, max_page_size=2, page_fields=("total",)) as cloud:
        for number in range(3):
            cloud.add_backup_set("ob-1", f"bak-{number}")
        data = get(cloud, LIST).json()["data"]
        assert (len(data["dataList"]), data.keys()) == (2, {"dataList", "total"})
        assert "algorithm=SHA-256" in cloud._digest.challenges(stale=False)[0]


def test_what_a_test_sets_is_kept() -> None:
    profile = Profile(times="(number)", words={"DONE": "SUCCESS"})
    with CloudEmulator(profile=profile) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",), startTime="soon", validity=["odd"])
        data = get(cloud).json()["data"]
        assert (data["status"], data["startTime"], data["validity"]) == ("SUCCESS", "soon", ["odd"])
        assert first(cloud)["tenantBackupSetList"][0]["status"] == "SUCCESS"


@pytest.mark.parametrize("odd", ["x", [None], [["a"], {"startTime": "soon"}], {"a": 1}, None, 7])
def test_odd_lists_are_kept(odd: Any) -> None:
    with CloudEmulator() as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",), tenantBackupSetList=odd)
        assert get(cloud).json()["data"]["tenantBackupSetList"] == odd
        assert first(cloud)["tenantBackupSetList"] == odd
        assert get(cloud, RESTORABLE).json()["data"] == []
        cloud.add_restorable_tenant("ob-1", "orders", intervals=[], timeIntervalList=odd)
        assert get(cloud, RESTORABLE).json()["data"][0]["timeIntervalList"] == odd


def test_instances_are_paged_as_backup_sets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(profile=Profile(max_page_size=2, page_fields=("hasMore",))) as cloud:
        for number in range(5):
            cloud.add_backup_set(f"ob-{number}", "bak-1")
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
        with closing(OceanBaseHook()) as hook:
            found = hook.fetch(InstanceList()).data
        assert [one["instanceId"] for one in found] == [f"ob-{number}" for number in range(5)]
        assert len(cloud.requests) == 1 + 3


def test_a_response_has_the_time_of_the_real_clock() -> None:
    with CloudEmulator() as cloud:
        response = get(cloud)
    # Of HTTP 401, too: a client may compare clocks after any response.
    for date in (response.headers["Date"], response.history[0].headers["Date"]):
        assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < timedelta(minutes=1)
