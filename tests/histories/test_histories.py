from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="Airflow keeps the state of tasks from 3.3 on"
)
def test_histories() -> None:
    """In a process of their own: they take over threads and clocks, where coverage cannot measure."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    files = [Path(__file__).with_name(name) for name in ("fixed.py", "run.py", "agreement.py")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [*command, *files], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
