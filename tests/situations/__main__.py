"""python -m situations write: write the table of situations into the documentation."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from dag_runs import DagRunner
from pages import write_rows
from situations.table import HEADING, LOG_SETTINGS, PAGE, cells

if __name__ == "__main__":
    with TemporaryDirectory() as home:
        runner = DagRunner(Path(home), **LOG_SETTINGS)
        try:
            write_rows(PAGE, HEADING, cells(runner))
        finally:
            runner.close()
