"""Lose a triggerer, and a worker, while 200 deferred waits run on a whole Airflow.

PostgreSQL, an API server, a scheduler, a DAG processor and two triggerers, with LocalExecutor, or with
CeleryExecutor, Redis and two workers; the waits are for backup sets of an emulator of OceanBase Cloud. Once
all are deferred, one triggerer is killed by SIGKILL, and with Celery one of the two workers, whose slots are
idle then: a deferred wait needs none. All waits must end well, and none by a retry of its task.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from airflow_home import AIRFLOW
from cluster_airflow import INSTANCE_ID, SLOTS, TRIGGERERS, WORKERS, Cluster, started
from processes import RunError, run_script, say

from airflow_provider_oceanbase.testing import CloudEmulator

#: Long enough for the answers to requests whose sender has just been killed.
IN_FLIGHT_SECONDS = 2.0


@dataclass
class Loss:
    """What the kill of a triggerer did.

    :param triggers: how many triggers it had
    :param moved_after: seconds until the other triggerer had them all
    :param checked_after: seconds until each of their waits had been checked again
    """

    triggers: int
    moved_after: float
    checked_after: float


def defer_all(cluster: Cluster) -> None:
    """Start the waits, and wait until the triggerers share them."""
    cluster.processes.start("dag-processor", AIRFLOW, "dag-processor")
    cluster.processes.wait_for("all waits are deferred", 400, cluster.all_wait)
    shares = cluster.shares()
    say(f"all {len(cluster.ids)} waits are deferred; the triggerers have {sorted(shares.values())} of them")
    if len(shares) != len(TRIGGERERS):
        raise cluster.error("not every triggerer got a share of the triggers")


def lose_triggerer(cluster: Cluster) -> Loss:
    """Kill the triggerer with the most triggers, and wait until the other one has taken over."""
    shares = cluster.shares()
    job = max(shares, key=lambda job: shares[job])
    orphans = cluster.waits_of(job)
    name = TRIGGERERS[cluster.jobs().index(job)]
    cluster.processes.kill(name)
    killed = time.monotonic()
    say(f"{name} is killed with its {len(orphans)} triggers")
    if cluster.broker is not None:
        cluster.processes.kill(WORKERS[-1])
        say(f"{WORKERS[-1]} is killed too; no slot of it was in use, as deferred waits need none")

    def is_checked() -> bool:
        return orphans <= cluster.checked_since(killed + IN_FLIGHT_SECONDS)

    wait_for = cluster.processes.wait_for
    wait_for("the other triggerer takes over", 120, lambda: job not in cluster.shares())
    moved = time.monotonic()
    say(f"the other triggerer has them after {moved - killed:.1f} s")
    wait_for("each of these waits is checked again", 90, is_checked)
    checked = time.monotonic()
    say(f"each of these waits has been checked again after {checked - killed:.1f} s")
    return Loss(len(orphans), moved - killed, checked - killed)


def finish(cluster: Cluster) -> None:
    """Let the backups be done, wait for the end of the DAG run, and check how it went."""
    for backup_task_id in cluster.ids:
        cluster.cloud.set_status(INSTANCE_ID, backup_task_id, "DONE")
    say("all backups are DONE")

    def run_state() -> str | None:
        cluster.states()
        states = [row.state for row in cluster.rows("SELECT state FROM dag_run WHERE dag_id = 'waits'")]
        return str(states[0]) if states[0] in ("success", "failed") else None

    state = cluster.processes.wait_for("the DAG run ends", 400, run_state)
    query = "SELECT state, try_number, count(*) AS n FROM task_instance WHERE dag_id = 'waits' GROUP BY 1, 2"
    waits = [(row.state, row.try_number, row.n) for row in cluster.rows(query)]
    retries = cluster.rows("SELECT count(*) AS n FROM task_instance_history WHERE dag_id = 'waits'")[0].n
    if state != "success" or waits != [("success", 1, len(cluster.ids))] or retries:
        raise RunError(f"DAG run {state}, (state, try, waits) {waits}, {retries} former tries")
    say(f"the DAG run has succeeded, and all {len(cluster.ids)} waits at their first try")


def table(cluster: Cluster, loss: Loss, seconds: float) -> str:
    """Return the results as a table of text."""
    seen = Counter(request.status for request in cluster.cloud.requests)
    polls, challenges = seen.pop(200), seen.pop(401, 0)
    kinds = [f"{polls:,} polls", f"{challenges:,} challenges"]
    kinds += [f"{number:,} answered by HTTP {status}" for status, number in seen.items()]
    with_celery = cluster.broker is not None
    rows = {
        "executor": f"CeleryExecutor, {len(WORKERS)} workers" if with_celery else "LocalExecutor",
        "task slots": f"{SLOTS}, then {SLOTS // len(WORKERS)}" if with_celery else f"{SLOTS}",
        "waits": f"{len(cluster.ids)}, all succeeded",
        "task retries": "0",
        "killed": f"a triggerer with {loss.triggers} triggers" + (", an idle worker" if with_celery else ""),
        "triggers moved": f"after {loss.moved_after:.1f} s",
        "all checked again": f"after {loss.checked_after:.1f} s",
        "requests": f"{len(cluster.cloud.requests):,}: {', '.join(kinds)}",
        "wall time": f"{seconds:.0f} s",
    }
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows.items())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--executor", choices=("local", "celery"), default="local")
    parser.add_argument("--waits", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep all logs in a new folder")
    options = parser.parse_args()
    began = time.monotonic()
    ids = [f"bak-{number:03}" for number in range(options.waits)]
    celery = options.executor == "celery"
    with (
        CloudEmulator() as cloud,
        started("waits", cloud, ids, celery=celery, keep_logs=options.logs) as cluster,
    ):
        defer_all(cluster)
        loss = lose_triggerer(cluster)
        finish(cluster)
    print(f"\n{table(cluster, loss, time.monotonic() - began)}\n")


if __name__ == "__main__":
    run_script(main)
