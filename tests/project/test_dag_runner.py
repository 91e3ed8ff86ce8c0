"""DagRunner: no DAG run sees traces of another."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow import settings
from conftest import ROOT
from dag_runs import DagRunError, DagRunner, ProcessDiedError
from put_back import SIGNALS, _maskers, put_back
from sqlalchemy import text

FILE = ROOT / "tests" / "fixtures" / "traces" / "traces.py"
TRACES_OF_A_RUN = [
    "environment",
    "directory",
    "import path",
    "module",
    "handler",
    "mask",
    "filter of warnings",
]
TASK_RUNNER: Any = None
with suppress(ModuleNotFoundError):  # Airflow 2
    TASK_RUNNER = import_module("airflow.sdk.execution_time.task_runner")


def leave_module() -> None:
    sys.modules["left"] = ModuleType("left")
    sys.modules["left"].__file__ = str(Path(settings.DAGS_FOLDER) / "left.py")


OLD = logging.getLogger("there before")


def state_of_new_logger() -> Any:
    new = logging.root.manager.loggerDict.get("left")
    return list(getattr(new, "handlers", ())), getattr(new, "disabled", False)


def leave_new_logger() -> None:
    logging.getLogger("left").addHandler(logging.StreamHandler())
    logging.getLogger("left").disabled = True


def attribute(owner: Any, name: str, value: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return how to read an attribute, and how to set it."""
    return lambda: getattr(owner, name, None), lambda: setattr(owner, name, value)


def handler_of(number: signal.Signals) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: signal.getsignal(number), lambda: signal.signal(number, lambda *_: None)


#: How to see each trace, and how to leave it.
TRACES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "new variable": (lambda: os.environ.get("LEFT"), lambda: os.environ.update(LEFT="yes")),
    "variable taken away": (lambda: "AIRFLOW_HOME" in os.environ, lambda: os.environ.pop("AIRFLOW_HOME")),
    "directory": (Path.cwd, lambda: os.chdir("/usr")),
    "import path": (lambda: list(sys.path), lambda: sys.path.append("/left")),
    "meta path": (lambda: list(sys.meta_path), lambda: sys.meta_path.append(MagicMock())),
    "filter of warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("ignore")),
    "other filters of warnings": attribute(warnings, "filters", []),
    "module": (lambda: "left" in sys.modules, leave_module),
    "handler": (lambda: list(OLD.handlers), lambda: OLD.addHandler(logging.StreamHandler())),
    "filter": (lambda: list(OLD.filters), lambda: OLD.addFilter(lambda record: True)),
    "level": (lambda: OLD.level, lambda: OLD.setLevel(logging.CRITICAL)),
    "propagate": attribute(OLD, "propagate", False),
    "disabled": attribute(OLD, "disabled", True),
    "logging disabled": (lambda: logging.root.manager.disable, logging.disable),
    "new logger": (state_of_new_logger, leave_new_logger),
    "masks": (
        lambda: [(sorted(masker.patterns), masker.replacer) for masker in _maskers()],
        lambda: [masker.add_mask("left-behind") for masker in _maskers()],
    ),
    "supervisor": attribute(TASK_RUNNER, "SUPERVISOR_COMMS", "left"),
    **{number.name: handler_of(number) for number in SIGNALS},
    "alarm": (lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda: signal.alarm(1000)),
    "folder of DAGs": attribute(settings, "DAGS_FOLDER", "/usr"),
    "stdout": attribute(sys, "stdout", sys.__stderr__),
    "stderr": attribute(sys, "stderr", sys.__stdout__),
    "session": (
        lambda: settings.Session.registry.has(),
        lambda: settings.Session().execute(text("SELECT 1")),
    ),
}


if TASK_RUNNER is None:
    del TRACES["supervisor"]


@pytest.mark.parametrize("trace", TRACES)
def test_trace_is_removed(trace: str) -> None:
    look, leave = TRACES[trace]
    before = look()
    with suppress(RuntimeError), put_back():
        leave()
        assert look() != before
        raise RuntimeError
    assert look() == before


def test_run_sees_no_trace_of_another(dag_runner: DagRunner) -> None:
    left = dag_runner.test(FILE, "leaves", GIVEN="yes")
    assert sorted(left.tasks["leave"]["return_value"]) == sorted([*TRACES_OF_A_RUN, "given to one run"])
    assert "dag_id=leaves" in left.printed
    found = dag_runner.test(FILE, "finds")
    assert found.tasks["find"]["return_value"] == []
    assert "dag_id=finds" in found.printed
    assert "dag_id=leaves" not in found.printed
    assert dag_runner.test(FILE, "finds").run_id != found.run_id


def test_dag_that_cannot_be_imported(dag_runner: DagRunner) -> None:
    with pytest.raises(DagRunError, match=r"(?s)traces\.py.*RuntimeError: broken with \['environment', 'dir"):
        dag_runner.test(FILE, "finds", BREAK="yes")
    assert dag_runner.test(FILE, "finds").tasks["find"]["return_value"] == []


@pytest.mark.xdist_group("killed")
def test_run_after_a_crash(dag_runner: DagRunner) -> None:
    # It kills its process; in the shared one, the next run would have to start Airflow again.
    with dag_runner.alone() as runner:
        with pytest.raises(ProcessDiedError, match=r"(?s)ended with status -6\..*about to die") as died:
            runner.test(FILE, "finds", DIE="yes")
        assert died.value.returncode == -signal.SIGABRT
        assert runner.test(FILE, "finds").states == {"find": "success"}


def test_tests_that_use_the_runner_are_marked(request: pytest.FixtureRequest, dag_runner: DagRunner) -> None:
    assert request.node.get_closest_marker("whole_airflow")
