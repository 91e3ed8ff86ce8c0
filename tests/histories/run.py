"""Random histories keep what a model says: in ``model.py``, and ``point_model.py``.

pytest runs this file only if it is named: ``test_histories.py`` does, and ``make histories``.
"""

from __future__ import annotations

import importlib
import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import run_state_machine_as_test

#: How many histories, and which: ``make histories`` runs more of them, and others.
EXAMPLES = int(os.environ.get("HISTORIES", "40"))
SEED = os.environ.get("SEED")
#: How long a history that fails is made shorter: Hypothesis itself takes minutes.
SHRINKING_SECONDS = 60.0


@pytest.mark.parametrize("name", ["machine.Histories", "point_machine.PointHistories"])
def test_histories(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, machine_class = name.rpartition(".")
    machine = getattr(importlib.import_module(f"histories.{module}"), machine_class)
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINKING_SECONDS)
    limits = settings(
        max_examples=EXAMPLES,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=SEED is None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    machine = seed(int(SEED))(machine) if SEED else machine
    run_state_machine_as_test(machine, settings=limits)
