"""Runs of several DAGs against one emulator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conftest import SECRET
from dag_runs import DagRunner, Result

from airflow_provider_oceanbase.testing import CloudEmulator

WRONG_SECRET = "another-secret-of-the-tests"


class Runs:
    """The results of DAG runs, and the requests that the emulator received."""

    def __init__(self, cloud: CloudEmulator, runner: DagRunner) -> None:
        self.cloud = cloud
        self.runner = runner
        self.began = datetime.now(UTC)
        self.results: dict[str, Result] = {}

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AIRFLOW_CONN_OCEANBASE_DEFAULT": self.cloud.connection_uri,
            "AIRFLOW_CONN_OCEANBASE_WRONG": self.cloud.connection_uri.replace(SECRET, WRONG_SECRET),
            "NO_PROXY": "127.0.0.1",
        }

    def test(self, file: Path, dag_id: str, conf: Mapping[str, str] | None = None) -> None:
        self.results[dag_id] = self.runner.test(file, dag_id, conf, **self.environ)

    @property
    def printed(self) -> str:
        return "".join(result.printed for result in self.results.values())

    @property
    def printed_but_masks(self) -> str:
        """The output without the lines in which Airflow's supervisor prints the secrets that it masks.

        dag.test() runs the supervisor in the same process.
        """
        return "\n".join(line for line in self.printed.splitlines() if "MaskSecret" not in line)

    def states(self, dag_id: str) -> dict[str, str]:
        return self.results[dag_id].states

    def task(self, dag_id: str, task_id: str) -> Any:
        return self.results[dag_id].tasks[task_id]

    def seen(self, instance_id: str, backup_task_id: str) -> list[int]:
        path = f"/api/v2/instances/{instance_id}/backup/data/sets/{backup_task_id}"
        return [request.status for request in self.cloud.requests if request.path == path]
