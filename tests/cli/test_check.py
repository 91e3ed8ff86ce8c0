"""The command that compares a service with what the provider relies on."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from commands import NOW, run
from conftest import ROOT

from airflow_provider_oceanbase import _inferred
from airflow_provider_oceanbase.cli import points
from airflow_provider_oceanbase.testing import CloudEmulator


def test_check_of_the_emulator(server: CloudEmulator, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, out, err = run(server, "check", "--report", str(report), "-o", "json")
    assert code == 0, err
    text = report.read_text()
    found = _inferred.read_report(text)
    assert found.keys() == _inferred.POINTS.keys() == points._CHECKS.keys()
    assert json.loads(out) == json.loads(text)["points"]
    assert {one.verdict for one in found.values()} == {"confirmed"}
    assert err.splitlines()[0] == "Points: 24; confirmed: 24; differing: 0; not seen: 0."
    assert found["start_time"].seen == {"by": ["startTime"], "filters": True}
    assert found["challenge"].seen["offers"][0]["algorithm"] == "MD5"
    assert found["set_tenant"].seen == {"tenantId": "sys", "tenantName": "*"}
    assert "(name)" not in text
    for name in ("bak-old7", "bak-new7", "ob-cli7", "key-of", "127.0.0.1", "[red]", "t1002"):
        assert name not in text
    assert {request.method for request in server.requests} == {"GET"}


def test_check_with_a_wrong_key(server: CloudEmulator) -> None:
    former = server.connection_uri
    server.rotate_key("other", "other-secret")
    code, out, err = run(server, "check", "-o", "json", connection=former)
    verdicts = {one["key"]: one["verdict"] for one in json.loads(out)}
    assert (code, verdicts["challenge"], verdicts["list"]) == (1, "confirmed", "not seen")
    assert err.startswith("AccessKey refused (HTTP 401)")


def test_check_names_what_differs(server: CloudEmulator) -> None:
    server.add_backup_set(
        "ob-cli7",
        "bak-odd",
        statuses=("SUCCESS",),
        start_time=NOW - timedelta(minutes=5),
        startTime="19.01.2026 12:10",
        dataBackupSize="0.06",
    )
    code, out, err = run(server, "check", "ob-cli7", "-o", "json")
    assert code == 5
    found = {one["key"]: one for one in json.loads(out)}
    assert found["statuses"]["verdict"] == found["times"]["verdict"] == "differs"
    assert "99.99.9999 99:99" in found["times"]["seen"]["startTime"]
    assert err.startswith("Points: 24; ")
    assert "statuses" in err.splitlines()[0]


def test_check_of_an_unknown_instance(server: CloudEmulator, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("a good one")
    code, out, err = run(server, "check", "ob-nope", "--report", str(report), "-o", "json")
    verdicts = {one["key"]: one["verdict"] for one in json.loads(out)}
    assert code == 1
    assert err.startswith("No such instance: 'ob-nope' is not in the list of instances")
    assert (verdicts["list"], verdicts["unknown_backup"]) == ("not seen", "not seen")
    counts = Counter(verdicts.values())
    assert f"confirmed: {counts['confirmed']}; differing: 0; not seen: {counts['not seen']}." in err
    assert "Needed: an instance whose backup sets can be read." in err
    assert report.read_text() == "a good one"


@pytest.mark.parametrize("name", [".", "nowhere/report.json"])
def test_a_report_that_cannot_be_written(server: CloudEmulator, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    code, out, err = run(server, "check", "--report", str(path))
    assert (code, out) == (1, "")
    assert err.startswith(f"The report cannot be written to '{path}': ")
    assert not server.requests


def test_a_check_that_fails_leaves_no_empty_report(server: CloudEmulator, tmp_path: Path) -> None:
    assert run(server, "check", "--conn-id", "nowhere", "--report", str(tmp_path / "report.json"))[0] == 1
    assert not [*tmp_path.iterdir()]


def test_the_page_of_what_is_inferred_names_points() -> None:
    page = (ROOT / "docs" / "documented-and-inferred.md").read_text()
    rows = [line.rsplit("|", 2)[1].strip() for line in page.splitlines() if line.startswith("| ")]
    named = {cell.strip("`") for cell in rows if cell.startswith("`") and cell != "`check`"}
    assert len(named) >= 8
    assert named <= _inferred.POINTS.keys()
    described = (ROOT / "docs" / "command-line.md").read_text()
    assert all(f"| `{key}` | {text} |" in described for key, text in _inferred.POINTS.items())
