"""Sets AIRFLOW_HOME before anything imports Airflow; connections come from the environment."""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dag_runs import DagRunner

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.testing import CloudEmulator

#: For its fixtures.
pytest_plugins = ["commands"]
ROOT = Path(__file__).parent.parent
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(_HOME.name) / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
}

if version("apache-airflow").startswith("2."):
    # To find a connection, Airflow 2 needs all its database models to be loaded, as in a task.
    import_module("airflow.models.dag")

CONN_ID = "oceanbase_default"
HOST = "https://api-cloud.oceanbase.com"
SECRET = "the-secret-of-the-tests"
URL = f"{HOST}/api/v2/instances/ob-1/backup/data/sets/bak-1"
# dag.test() of Airflow 3.0 passes a time as text to the base class of sensors: the second reschedule fails.
RETRIED_BY_AIRFLOW = {"reschedule_done"} if version("apache-airflow").startswith("3.0.") else set()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset proxies and CA bundles of this machine; set a valid connection."""
    unset_network(monkeypatch)
    set_connection(monkeypatch)


@pytest.fixture(autouse=True)
def no_masks_left() -> Iterator[None]:
    """Whatever a test had Airflow mask, such as a key of one letter, stays out of the next one's texts."""
    from put_back import masks  # imports Airflow

    restore = masks()
    yield
    restore()


def unset_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset proxies and CA bundles of this machine."""
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") or name.endswith(
            ("_CA_BUNDLE", "SSL_CERT_FILE")
        ):
            monkeypatch.delenv(name)


def set_connection(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Define the connection; ``extra`` is a dict."""
    connection = {"conn_type": "oceanbase", "login": "the-key", "password": SECRET, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook retries at once."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits of size and time of a response."""
    monkeypatch.setattr("airflow_provider_oceanbase.cloud.protocol.MAX_BODY_BYTES", 2**20)
    monkeypatch.setattr("airflow_provider_oceanbase.cloud.protocol.BODY_TIMEOUTS", 2)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudEmulator]:
    """An emulator that the connection points to; no client stays open."""
    from airflow_provider_oceanbase.testing import CloudEmulator
    from airflow_provider_oceanbase.transport import shared_poll, trigger_connection

    with CloudEmulator() as cloud:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
        yield cloud
    assert (shared_poll._clients, trigger_connection._connections) == ({}, {})


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what is logged up to now; Airflow's own loggers bypass the root logger, or all logging."""
    caplog.set_level(logging.INFO)

    def text() -> str:
        written = capfd.readouterr()
        # Some versions of Airflow both log and print a line: count it once.
        known = [message.partition("\n")[0] for message in caplog.messages if message]
        printed = (written.out + written.err).splitlines()
        rest = [line for line in printed if not any(message in line for message in known)]
        return caplog.text + "\n".join(rest)

    return text


_EXAMPLE = json.loads((Path(__file__).parent / "fixtures" / "backup_set.json").read_text())


def answer(**data: Any) -> dict[str, Any]:
    """Return the vendor's example response, with other data."""
    example = copy.deepcopy(_EXAMPLE)
    example["data"] |= data
    return example


def backup_set(**data: Any) -> BackupSet:
    """Return the backup set of the vendor's example, with other data."""
    from airflow_provider_oceanbase.cloud.backup_set import read_backup_set

    found = read_backup_set(answer(**data)["data"])
    assert found is not None
    return found


@pytest.fixture(scope="session")
def dag_runner() -> Iterator[DagRunner]:
    """Runs whole DAGs in a separate Airflow; tests that use it are marked ``whole_airflow``."""
    with tempfile.TemporaryDirectory(prefix="airflow-of-dags-") as home:
        runner = DagRunner(Path(home))
        yield runner
        runner.close()


#: Fixtures that take seconds, and the marker of the tests that share them.
SHARED = {"dag_runner": "whole_airflow", "dist": "builds"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, marker in SHARED.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
                # One worker of pytest-xdist runs them all, so that the fixture is set up once.
                if not item.get_closest_marker("xdist_group"):
                    item.add_marker(pytest.mark.xdist_group(marker))


def run(*command: object, **environ: str) -> str:
    """Run a command that must succeed; return its output."""
    completed = subprocess.run(
        [str(word) for word in command],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout
    return completed.stdout
