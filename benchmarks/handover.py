"""Measure the way from DONE to the next task: ``python -m benchmarks.handover``.

A whole Airflow on PostgreSQL, as ``make cluster`` has it, with deferred waits and a task after each. One
backup after another becomes DONE, at any moment between two polls. Airflow's database, the emulator and the
tasks themselves say when what happened.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.cluster import INSTANCE_ID, Cluster, started
from harness.command import DONE, cluster_options, run, say

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks import report

INTERVAL = 10
WAITS = 20
HEAD = ("until", "median", "longest", "what")
BEGIN = "<!-- measured after DONE: begin, written by make bench-handover -->\n"
#: What ends each step, and whose time it is.
STEPS = (
    ("a poll sees it", "the interval, here 10 s"),
    ("the task is scheduled again", "triggerer"),
    ("it is queued", "scheduler"),
    ("its process starts", "executor"),
    ("the process has read the DAG file, and resumes the wait", "worker"),
    ("the wait has ended", "this provider"),
    ("Airflow knows", "worker"),
    ("the next task is scheduled", "scheduler"),
    ("it is queued", "scheduler"),
    ("its process starts", "executor"),
    ("the process has read the DAG file, and the task begins", "worker"),
)


def notes(folder: Path, task_id: str) -> list[dict[str, float]]:
    """Return what the processes of a task have noted, in order."""
    return [json.loads(line) for line in (folder / task_id).read_text().splitlines()]


def hand_over(cluster: Cluster, folder: Path, backup_task_id: str) -> tuple[list[float], float]:
    """Let a backup complete.

    :return: when each step began, the end of the last, and the seconds of importing the sensor on resuming
    """
    wait, after = f"wait-{backup_task_id}", f"next-{backup_task_id}"
    done, done_monotonic = time.time(), time.monotonic()
    cluster.cloud.set_status(INSTANCE_ID, backup_task_id, "DONE")

    def ended() -> dict[str, Any]:
        query = "SELECT * FROM task_instance WHERE state = 'success' AND task_id IN (:wait, :after)"
        return {row.task_id: row for row in cluster.database.rows(query, wait=wait, after=after)}

    cluster.wait_for(f"{after} has run", 120, lambda: len(ended()) == 2)
    polls = (seen.at for seen in cluster.cloud.requests if seen.backup_status == "DONE")
    polled = next(at for at in polls if at >= done_monotonic)
    first, second = (ended()[task_id] for task_id in (wait, after))
    *_, resumed, complete = notes(folder, wait)
    (begun,) = notes(folder, after)
    return [
        done,
        done + polled - done_monotonic,
        first.scheduled_dttm.timestamp(),
        first.queued_dttm.timestamp(),
        resumed["process"],
        resumed["begins"],
        complete["ends"],
        first.end_date.timestamp(),
        second.scheduled_dttm.timestamp(),
        second.queued_dttm.timestamp(),
        begun["process"],
        begun["begins"],
    ], resumed["import"]


def lines(runs: list[list[float]]) -> list[tuple[str, ...]]:
    """Return what each step took, as lines of the table."""
    steps = zip(*([end - began for began, end in pairwise(moments)] for moments in runs), strict=True)
    found = [
        (step, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s", what)
        for (step, what), seconds in zip(STEPS, steps, strict=True)
    ]
    wholes = [moments[-1] - moments[0] for moments in runs]
    return [*found, ("**in all**", f"{statistics.median(wholes):.1f} s", f"{max(wholes):.1f} s", "")]


def main() -> str:
    """Measure, print the table, and update ``README.md``."""
    parser = cluster_options(__doc__)
    parser.add_argument("--waits", type=int, help="how many; prints, and writes no file (default: 20)")
    options = parser.parse_args()
    ids = [f"bak-{number}" for number in range(options.waits or WAITS)]
    moments = random.Random(1)
    with tempfile.TemporaryDirectory() as name, CloudEmulator() as cloud:
        folder = Path(name)
        with started(
            cloud,
            Path(__file__).with_name("handover_dag.py"),
            backup_task_ids=ids,
            poke_interval=INTERVAL,
            changed={"BENCHMARK_NOTES": name},
            keep_logs=options.logs,
        ) as cluster:
            cluster.start_dags()
            query = "SELECT count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL"
            cluster.wait_for("all wait", 240, lambda: cluster.database.rows(query)[0].n == len(ids))
            runs, imports = [], []
            for backup_task_id in ids:
                # The moment between two polls is what is drawn: there is nothing to await.
                time.sleep(INTERVAL * moments.random())
                run_of, seconds = hand_over(cluster, folder, backup_task_id)
                say(f"{backup_task_id}: the next task began {run_of[-1] - run_of[0]:.1f} s after DONE")
                runs.append(run_of)
                imports.append(seconds)
    milliseconds = 1000 * statistics.median(imports)
    note = f"Medians and maxima of {len(runs)} waits. Of reading the DAG file, importing the sensor took "
    table = "\n".join((*report.table(HEAD, lines(runs)), "", f"{note}{milliseconds:.0f} ms."))
    report.publish(table, BEGIN, write=not options.waits)
    return DONE


if __name__ == "__main__":
    run(main)
