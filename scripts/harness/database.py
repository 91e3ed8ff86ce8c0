"""What Airflow's database says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine, Row


@dataclass(frozen=True)
class Database:
    """The database of an Airflow, SQLite or PostgreSQL.

    :param engine: the way to it
    """

    engine: Engine

    def rows(self, query: str, **parameters: Any) -> Sequence[Row[Any]]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def ends(self, dag_id: str) -> set[str]:
        """Return the states of a DAG's runs once all have ended, an empty set before."""
        states = {row.state for row in self.rows("SELECT state FROM dag_run WHERE dag_id = :id", id=dag_id)}
        return states if states <= {"success", "failed"} else set()

    def xcoms(self, dag_id: str, task_id: str) -> list[Any]:
        """Return what a task has returned, in the order of the DAG's runs."""
        query = "SELECT value FROM xcom WHERE dag_id = :dag_id AND task_id = :task_id"
        query += " AND key = 'return_value' ORDER BY dag_run_id"
        return [decoded(row.value) for row in self.rows(query, dag_id=dag_id, task_id=task_id)]


def decoded(value: Any) -> Any:
    """Return a list or an object of the database, which may be JSON within JSON."""
    while isinstance(value, str):
        value = json.loads(value)
    return value
