from __future__ import annotations

from importlib.util import find_spec

import pytest
from dag_runs import DagRunner
from pages import rows
from situations.table import HEADING, LOG_SETTINGS, PAGE, cells

# They share no Airflow with other tests: any worker can run them.
pytestmark = pytest.mark.xdist_group("situations")


@pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"), reason="the page shows the log of Airflow 3.3"
)
def test_the_page_has_the_table(dag_runner: DagRunner) -> None:
    with dag_runner.alone(**LOG_SETTINGS) as runner:
        assert rows(PAGE, HEADING) == cells(runner)
