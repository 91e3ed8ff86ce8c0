"""However the service answers: each job is right, or says what differs. The documentation has the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pages import ROOT
from realities import cells
from realities.table import CELLS, lines


@pytest.mark.parametrize(("name", "job"), CELLS)
def test_cell(name: str, job: str, logged: Callable[[], str]) -> None:
    assert cells.problems(name, job, cells.run(name, job, logged)) == []


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["reschedule", "deferrable"])
@pytest.mark.parametrize(("name", "job"), [cell for cell in CELLS if "wait" in cell[1]])
def test_cell_in_other_modes(name: str, job: str, mode: str, logged: Callable[[], str]) -> None:
    assert cells.problems(name, job, cells.run(name, job, logged, mode)) == []


def test_the_documentation_has_the_table() -> None:
    page = (ROOT / "docs" / "if-the-service-differs.md").read_text()
    assert "\n".join(lines()) in page, "run make realities"
