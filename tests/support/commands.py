"""The commands as real processes, against the emulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from conftest import ROOT
from packaging.version import Version

from airflow_provider_oceanbase.testing import CloudEmulator

MODULE = (sys.executable, "-m", "airflow_provider_oceanbase")
AIRFLOW = (sys.executable, "-m", "airflow", "oceanbase")
SECRET = "secret-of-the-command-line"
NOW = datetime.now(UTC)
in_airflow = pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.2"), reason="this Airflow takes no commands of providers"
)


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


@pytest.fixture
def obeys_ctrl_c() -> Iterator[None]:
    """Let processes end with Ctrl-C: what a shell starts in the background ignores it, and all below."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
