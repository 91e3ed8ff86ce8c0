"""``.ci/run`` with a fake make: the steps, and the exit code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

STEPS = [
    "make test",
    "make matrix",
    "make docs",
    "make demo DAG=oceanbase_backup_etl",
    "make demo DAG=oceanbase_nightly_etl",
    "make demo DAG=oceanbase_backup_and_verify",
    "make demo DAG=oceanbase_on_backup",
    "make demo DAG=oceanbase_guarded_purge",
    "make cluster",
    "make events",
    "make ui",
]


def run_ci(folder: Path, fails: str) -> tuple[int, list[str]]:
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    (folder / "make").write_text(
        f'#!/bin/sh\necho "made $*"\nif [ "$*" = "{fails}" ]; then echo "1 failed, 2 passed"; exit 7; fi\n'
    )
    (folder / "make").chmod(0o755)
    completed = subprocess.run(
        [folder / ".ci" / "run"],
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return completed.returncode, completed.stdout.splitlines()


def timed(lines: list[str]) -> list[str]:
    return [found[1] for line in lines if (found := re.fullmatch(r" *\d+ s  (.*)", line))]


def test_each_step_is_timed(tmp_path: Path) -> None:
    status, lines = run_ci(tmp_path, fails="nothing")
    assert status == 0
    assert timed(lines) == STEPS
    assert [line for line in lines if line.startswith("made ")] == [
        step.replace("make", "made", 1) for step in STEPS
    ]
    assert re.fullmatch(r"passed: all, in \d+ s", lines[-1])


@pytest.mark.parametrize("step", ["test", "demo DAG=oceanbase_on_backup", "ui"])
def test_stops_at_the_first_failure(step: str, tmp_path: Path) -> None:
    status, lines = run_ci(tmp_path, fails=step)
    assert status == 7
    assert timed(lines) == STEPS[: STEPS.index(f"make {step}") + 1]
    assert "1 failed, 2 passed" in lines
    assert lines[-1] == f"failed: make {step} (exit code 7)"
