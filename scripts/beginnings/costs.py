"""What the waits cost an Airflow until all wait, and after all backups are DONE."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cluster import Cluster


@dataclass
class Costs:
    """Starts of worker processes, seconds and CPU, from one moment to the next.

    :param cluster: Airflow
    :param rows: what was measured, by what it is
    """

    cluster: Cluster
    rows: dict[str, str] = field(default_factory=dict)
    _at: float = field(default=0.0, init=False)
    _cpu: float = field(default=0.0, init=False)
    _workers: int = field(default=0, init=False)

    def begin(self) -> None:
        """Measure from now on."""
        self._at, self._cpu, self._workers = time.time(), self.cluster.cpu_seconds(), self._started()

    def took(self, what: str, since: str, *, at: float) -> None:
        """Record what it took from the last :meth:`begin` on.

        :param what: what is so now
        :param since: the moment to which the seconds count, in words
        :param at: that moment, in seconds since the epoch
        """
        workers = self._started() - self._workers
        cpu = self.cluster.cpu_seconds() - self._cpu
        self.rows[what] = (
            f"{time.time() - at:.1f} s after {since}; {workers} worker processes, {cpu:.0f} s of CPU in"
            f" {time.time() - self._at:.0f} s"
        )

    @property
    def run_began(self) -> float:
        """When the DAG run of the waits began, in seconds since the epoch."""
        query = "SELECT start_date FROM dag_run WHERE dag_id = 'waits'"
        return float(self.cluster.database.rows(query)[0].start_date.timestamp())

    def _started(self) -> int:
        query = "SELECT count(*) AS n FROM log WHERE dag_id = 'waits' AND event = 'running'"
        return int(self.cluster.database.rows(query)[0].n)
