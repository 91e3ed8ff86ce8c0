"""The commands as real processes, against the emulator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import airflow
import pytest
from conftest import ROOT
from packaging.version import Version

from airflow_provider_oceanbase import _inferred, get_provider_info
from airflow_provider_oceanbase.cli import points
from airflow_provider_oceanbase.testing import CloudEmulator

MODULE = (sys.executable, "-m", "airflow_provider_oceanbase")
AIRFLOW = (sys.executable, "-m", "airflow", "oceanbase")
SECRET = "secret-of-the-command-line"
NOW = datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[CloudEmulator]:
    with CloudEmulator(access_key_id="key-of-the-command-line", access_key_secret=SECRET) as cloud:
        times = {"checkpoint": NOW - timedelta(minutes=20), "end_time": NOW - timedelta(minutes=10)}
        for name, status, hours in (("bak-old7", "DONE", 2), ("bak-new7", "FAILED", 1)):
            start = NOW - timedelta(hours=hours)
            cloud.add_backup_set(
                "ob-cli7", name, statuses=(status,), tenants=("[red]x[/y]",), start_time=start, **times
            )
        yield cloud


def environ(cloud: CloudEmulator) -> dict[str, str]:
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    return os.environ | {
        "AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri,
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": path,
    }


def run(
    cloud: CloudEmulator, *words: str, entry: tuple[str, ...] = MODULE, connection: str | None = None
) -> tuple[int, str, str]:
    variables = environ(cloud)
    if connection is not None:
        variables["AIRFLOW_CONN_OCEANBASE_DEFAULT"] = connection
    ended = subprocess.run(
        [*entry, *words], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert SECRET not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def test_lists(server: CloudEmulator) -> None:
    code, out, _ = run(server, "instances", "-o", "json")
    assert (code, json.loads(out)) == (0, [{"instanceId": "ob-cli7", "status": "ONLINE"}])
    code, out, err = run(server, "backups", "ob-cli7", "-o", "json")
    listed = json.loads(out)
    assert code == 0
    assert [one["backupSetId"] for one in listed] == ["bak-new7", "bak-old7"]
    assert listed[1]["durationSeconds"] == pytest.approx(110 * 60, abs=2)
    assert "1 of 2 backup sets failed" in err
    code, out, _ = run(server, "backups", "ob-cli7", "--status", "failed", "-o", "plain")
    assert [line.split()[0] for line in out.splitlines()] == ["id", "bak-new7"]


@pytest.mark.skipif(
    Version(airflow.__version__) < Version("3.2"), reason="this Airflow takes no commands of providers"
)
def test_airflow_has_the_commands(server: CloudEmulator) -> None:
    code, out, _ = run(server, "instances", "-o", "json", entry=AIRFLOW)
    assert (code, json.loads(out)) == (0, [{"instanceId": "ob-cli7", "status": "ONLINE"}])


def test_metadata_name_the_definition() -> None:
    assert get_provider_info()["cli"] == ["airflow_provider_oceanbase.cli.definition.get_commands"]


def test_one_backup(server: CloudEmulator) -> None:
    code, out, _ = run(server, "backup", "ob-cli7", "bak-old7")
    assert code == 0
    # What looks like markup of the terminal is shown as it is.
    assert "[red]x[/y]" in out
    code, out, err = run(server, "backup", "ob-cli7", "bak-none")
    assert (code, out, len(err.splitlines())) == (1, "", 1)


def test_wait(server: CloudEmulator) -> None:
    server.add_backup_set("ob-cli7", "bak-w", statuses=("DOING", "DONE"))
    server.add_backup_set("ob-cli7", "bak-stuck", statuses=("DOING",))
    wait = ("--wait", "--interval", "0.1", "-o", "json")
    code, out, err = run(server, "backup", "ob-cli7", "bak-w", *wait)
    assert (code, json.loads(out)["status"]) == (0, "DONE")
    assert "bak-w: DOING (" in err
    code, out, _ = run(server, "backup", "ob-cli7", "bak-new7", *wait)
    assert (code, json.loads(out)["status"]) == (3, "FAILED")
    code, out, err = run(server, "backup", "ob-cli7", "bak-stuck", *wait, "--timeout", "1")
    assert (code, out) == (4, "")
    assert "Timed out after 1 s" in err


def test_restorable(server: CloudEmulator) -> None:
    begin = NOW - timedelta(hours=2)
    ends = [(begin, begin + timedelta(hours=1)), (begin + timedelta(minutes=90), None)]
    server.add_restorable_tenant("ob-cli7", "[red]x[/y]", intervals=ends, lag=timedelta(minutes=5))
    server.add_restorable_tenant("ob-cli7", "new", intervals=[], timeIntervalList=None)
    code, out, err = run(server, "restorable", "ob-cli7", "-o", "json")
    first, second = json.loads(out)
    assert (code, first["tenantName"], second["timeIntervalList"]) == (0, "[red]x[/y]", None)
    assert "1 of 2 tenants have no interval" in err
    code, out, _ = run(server, "restorable", "ob-cli7", "--parameter", "openRequest=true", "-o", "plain")
    header, *rows = out.splitlines()
    assert (code, len(rows)) == (0, 3)
    assert "behind" in header
    assert "5 min" in rows[1]
    assert server.requests[-1].query["openRequest"] == "true"
    code, _, err = run(server, "restorable", "ob-cli7", "--parameter", "openRequest")
    assert code == 2
    assert "'openRequest' is no NAME=VALUE" in err


def test_errors(server: CloudEmulator) -> None:
    code, out, err = run(server, "instances", "--conn-id", "nowhere")
    assert (code, out) == (1, "")
    assert (
        err.strip()
        .splitlines()[-1]
        .startswith("Connection missing, or not readable now: connection 'nowhere'.")
    )
    assert run(server, "backups")[0] == 2
    former = server.connection_uri
    server.rotate_key("other", "other-secret")
    assert run(server, "backups", "ob-cli7", connection=former)[0] == 1


@pytest.fixture
def obeys_ctrl_c() -> Iterator[None]:
    """Let processes end with Ctrl-C: what a shell starts in the background ignores it, and all below."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("obeys_ctrl_c")
def test_ctrl_c_and_a_closed_pipe_are_quiet(server: CloudEmulator) -> None:
    words = (*MODULE, "backups", "ob-cli7", "--watch", "--interval", "0.2", "-o", "json")
    with subprocess.Popen(words, env=environ(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.send_signal(signal.SIGINT)
        assert one.wait(30) == 130
        assert b"Traceback" not in one.stderr.read()
    with subprocess.Popen(words, env=environ(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.stdout.close()
        assert one.wait(30) == 141
        error = one.stderr.read()
        assert b"Error" not in error


def test_check_of_the_emulator(server: CloudEmulator, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, out, err = run(server, "check", "--report", str(report), "-o", "json")
    assert code == 0, err
    text = report.read_text()
    found = _inferred.read_report(text)
    assert found.keys() == _inferred.POINTS.keys() == points._CHECKS.keys()
    assert json.loads(out) == json.loads(text)["points"]
    assert {one.key for one in found.values() if one.verdict == "not seen"} <= {"clock"}
    assert found["start_time"].seen == {"by": ["startTime"], "filters": True}
    assert found["challenge"].seen["offers"][0]["algorithm"] == "MD5"
    for name in ("bak-old7", "bak-new7", "ob-cli7", "key-of", "127.0.0.1", "[red]", "t1002"):
        assert name not in text
    assert {request.method for request in server.requests} == {"GET"}


def test_check_with_a_wrong_key(server: CloudEmulator) -> None:
    former = server.connection_uri
    server.rotate_key("other", "other-secret")
    code, out, err = run(server, "check", "-o", "json", connection=former)
    verdicts = {one["key"]: one["verdict"] for one in json.loads(out)}
    assert (code, verdicts["challenge"], verdicts["list"]) == (1, "confirmed", "not seen")
    assert "Most points were not seen." in err


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
    assert "statuses" in err.splitlines()[-1]


def test_the_page_of_what_is_inferred_names_points() -> None:
    page = (ROOT / "docs" / "documented-and-inferred.md").read_text()
    rows = [line.rsplit("|", 2)[1].strip() for line in page.splitlines() if line.startswith("| ")]
    named = {cell.strip("`") for cell in rows if cell.startswith("`") and cell != "`check`"}
    assert len(named) >= 8
    assert named <= _inferred.POINTS.keys()
    described = (ROOT / "docs" / "command-line.md").read_text()
    assert all(f"| `{key}` | {text} |" in described for key, text in _inferred.POINTS.items())
