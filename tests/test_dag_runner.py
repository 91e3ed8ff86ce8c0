"""What runs the DAGs of the tests: no run finds anything of another."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow import settings
from conftest import ROOT
from dag_runs import DagRunError, DagRunner, ProcessDiedError
from put_back import put_back
from sqlalchemy import text

FILE = ROOT / "tests" / "fixtures" / "traces" / "traces.py"
TRACES_OF_A_RUN = ["environment", "directory", "import path", "module", "handler", "filter of warnings"]
#: Each version has it elsewhere, and has imported it.
MASKER: Any = next(
    sys.modules[name]
    for name in (
        "airflow._shared.secrets_masker",
        "airflow.sdk.execution_time.secrets_masker",
        "airflow.utils.log.secrets_masker",
    )
    if name in sys.modules
)


def leave_module() -> None:
    sys.modules["left"] = ModuleType("left")
    sys.modules["left"].__file__ = str(Path(settings.DAGS_FOLDER) / "left.py")


def look_at_logging() -> Any:
    root, new = logging.getLogger(), logging.root.manager.loggerDict.get("left")
    return list(root.handlers), list(root.filters), root.level, list(getattr(new, "handlers", ()))


def leave_logging() -> None:
    logging.getLogger().addHandler(logging.StreamHandler())
    logging.getLogger().addFilter(lambda record: True)
    logging.getLogger().setLevel(logging.CRITICAL)
    logging.getLogger("left").addHandler(logging.StreamHandler())


#: How each trace is seen, and left.
TRACES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "new variable": (lambda: os.environ.get("LEFT"), lambda: os.environ.update(LEFT="yes")),
    "variable taken away": (lambda: "AIRFLOW_HOME" in os.environ, lambda: os.environ.pop("AIRFLOW_HOME")),
    "directory": (Path.cwd, lambda: os.chdir("/usr")),
    "import path": (lambda: list(sys.path), lambda: sys.path.append("/left")),
    "filter of warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("ignore")),
    "module": (lambda: "left" in sys.modules, leave_module),
    "logging": (look_at_logging, leave_logging),
    "mask": (lambda: MASKER.redact("a-secret"), lambda: MASKER.mask_secret("a-secret")),
    "signal": (
        lambda: signal.getsignal(signal.SIGALRM),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    ),
    "alarm": (lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda: signal.alarm(1000)),
    "folder of DAGs": (lambda: settings.DAGS_FOLDER, lambda: setattr(settings, "DAGS_FOLDER", "/usr")),
    "stdout": (lambda: sys.stdout, lambda: setattr(sys, "stdout", sys.__stderr__)),
    "session": (
        lambda: settings.Session.registry.has(),
        lambda: settings.Session().execute(text("SELECT 1")),
    ),
}


@pytest.mark.parametrize("trace", TRACES)
def test_trace_is_put_back(trace: str) -> None:
    look, leave = TRACES[trace]
    before = look()
    with suppress(RuntimeError), put_back():
        leave()
        assert look() != before
        raise RuntimeError
    assert look() == before


def test_run_finds_nothing_of_another(dag_runner: DagRunner) -> None:
    left = dag_runner.test(FILE, "leaves", GIVEN="yes")
    assert sorted(left.tasks["leave"]["return_value"]) == sorted([*TRACES_OF_A_RUN, "given to one run"])
    assert "dag_id=leaves" in left.printed
    found = dag_runner.test(FILE, "finds")
    assert found.tasks["find"]["return_value"] == []
    assert "dag_id=leaves" not in found.printed
    assert dag_runner.test(FILE, "finds").run_id != found.run_id


def test_dag_that_cannot_be_imported(dag_runner: DagRunner) -> None:
    with pytest.raises(DagRunError, match=r"(?s)traces\.py.*RuntimeError: broken with \['environment', 'dir"):
        dag_runner.test(FILE, "finds", BREAK="yes")
    assert dag_runner.test(FILE, "finds").tasks["find"]["return_value"] == []


@pytest.mark.xdist_group("killed")
def test_run_after_one_that_killed_its_process(dag_runner: DagRunner) -> None:
    # It kills its process, which others would have to warm again.
    with dag_runner.alone() as runner:
        with pytest.raises(ProcessDiedError, match=r"(?s)ended with status -6\..*about to die") as died:
            runner.test(FILE, "finds", DIE="yes")
        assert died.value.returncode == -signal.SIGABRT
        assert runner.test(FILE, "finds").states == {"find": "success"}


def test_users_of_the_runner_are_marked(request: pytest.FixtureRequest, dag_runner: DagRunner) -> None:
    assert request.node.get_closest_marker("whole_airflow")
