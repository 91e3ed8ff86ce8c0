from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from pages import ROOT, rows


@pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="Airflow has retry policies from 3.3 on"
)
def test_the_page_has_the_table() -> None:
    """In a process of its own, which takes over threads and clocks, where coverage cannot measure."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    folders = (ROOT, ROOT / "tests", ROOT / "tests" / "support")
    environ["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    command = [sys.executable, "-m", "outages"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = ROOT / "docs" / "how-to" / "ride-out-an-outage.md"
    assert rows(page, "Which outage a task rides out") == json.loads(done.stdout.splitlines()[-1])
