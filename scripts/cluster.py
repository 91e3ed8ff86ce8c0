"""Lose a triggerer, and a worker, while 200 deferred waits run on a whole Airflow; count what they cost.

PostgreSQL, an API server, a scheduler, a DAG processor and two triggerers, with LocalExecutor, or with
CeleryExecutor, Redis and two workers; the waits are for backup sets of an emulator of OceanBase Cloud. Once
all are deferred, one triggerer is killed by SIGKILL, and with Celery one of the two workers, whose slots are
idle then: a deferred wait needs none. All waits must end well, and none by a retry of its task. They begin in
workers, or with ``--start trigger`` in the triggerer; at the end, other waits show which of them Airflow
begins there.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import redis
from beginnings import kinds
from beginnings.costs import Costs
from harness.cluster import DAGS, INSTANCE_ID, SLOTS, WORKERS, Cluster, started
from harness.command import DONE, RunError, aligned, cluster_options, run, say
from harness.settings import AIRFLOW

from airflow_provider_oceanbase.testing import CloudEmulator

TRIGGERERS = ("triggerer-1", "triggerer-2")
BAD_STATES = {"failed", "up_for_retry", "upstream_failed", "skipped"}
PROGRESS_SECONDS = 10.0
#: Long enough for the answers to requests whose sender has just been killed.
IN_FLIGHT_SECONDS = 2.0


@dataclass
class Waits:
    """The waits, as Airflow's database has them.

    :param cluster: Airflow
    :param ids: IDs of the backup tasks, one a wait, and of the tasks that wait
    :param costs: what they cost
    """

    cluster: Cluster
    ids: list[str]
    costs: Costs
    _shown: Counter[str] = field(default_factory=Counter, init=False)
    _shown_at: float = field(default=0.0, init=False)

    def states(self) -> Counter[str]:
        """Return how many waits are in which state, and show it now and then."""
        rows = self.cluster.database.rows(
            "SELECT coalesce(state, 'none') AS state, count(*) AS n, min(task_id) AS first"
            " FROM task_instance WHERE dag_id = 'waits' GROUP BY 1 ORDER BY 1"
        )
        states = Counter({row.state: row.n for row in rows})
        if states != self._shown and time.monotonic() - self._shown_at >= PROGRESS_SECONDS:
            self._shown, self._shown_at = states, time.monotonic()
            say("waits: " + ", ".join(f"{number} {state}" for state, number in states.items()))
        for row in rows:
            if row.state in BAD_STATES:
                raise RunError(f"{self.cluster.task_logs(row.first)}\n{row.n} waits are {row.state}")
        return states

    def shares(self) -> dict[int, int]:
        """Return how many triggers each triggerer has."""
        query = "SELECT triggerer_id, count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY 1"
        return {row.triggerer_id: row.n for row in self.cluster.database.rows(query)}

    def polled(self, since: float = 0.0) -> set[str]:
        """Return for which backup tasks the emulator has answered polls since then."""
        seen = (one for one in self.cluster.cloud.requests if one.at > since and one.status == 200)
        return {one.path.rpartition("/")[2] for one in seen}

    def all_deferred(self) -> bool:
        """Whether all waits have polled and are with a triggerer, and no worker has anything to do."""
        if min(self.states()["deferred"], sum(self.shares().values())) < len(self.ids):
            return False
        if not set(self.ids) <= self.polled():
            return False
        if self.cluster.broker is None:
            return True
        with redis.Redis.from_url(self.cluster.broker) as queue:
            return not (queue.hlen("unacked") or queue.llen("default"))


def defer_all(waits: Waits) -> None:
    """Start the waits, and wait until the triggerers share them."""
    set_prefix(waits.cluster, "deferred")
    waits.costs.begin()
    waits.cluster.start_dags()
    waits.cluster.wait_for("all waits are deferred and have polled", 400, waits.all_deferred)
    waits.costs.took("all wait", "the DAG run began", at=waits.costs.run_began)
    shares = waits.shares()
    say(f"all {len(waits.ids)} waits are deferred; the triggerers have {sorted(shares.values())} of them")
    if len(shares) != len(TRIGGERERS):
        raise waits.cluster.error("not every triggerer got a share of the triggers")


def set_prefix(cluster: Cluster, value: str) -> None:
    """Set the Variable with which the IDs of the backup tasks begin."""
    cluster.run(f"variable-{value}", 60, AIRFLOW, "variables", "set", "cluster_prefix", value)


def lose_triggerer(waits: Waits) -> dict[str, str]:
    """Kill the triggerer with the most triggers, wait until the other one has taken over, and return when."""
    cluster, shares = waits.cluster, waits.shares()
    job = max(shares, key=lambda job: shares[job])
    query = "SELECT task_id FROM task_instance JOIN trigger t ON t.id = trigger_id WHERE triggerer_id = :job"
    orphans = {row.task_id for row in cluster.database.rows(query, job=job)}
    name = TRIGGERERS[cluster.triggerer_jobs().index(job)]
    # The other triggerer has to wait for the same backups all the same.
    set_prefix(cluster, "other")
    cluster.kill(name)
    killed = time.monotonic()
    say(f"{name} is killed with its {len(orphans)} triggers")
    if cluster.broker:
        cluster.kill(WORKERS[-1])
        say(f"{WORKERS[-1]} is killed too; no slot of it was in use, as deferred waits need none")
    cluster.wait_for("the other triggerer takes over", 120, lambda: job not in waits.shares())
    moved = f"after {time.monotonic() - killed:.1f} s"
    say(f"the other triggerer has them {moved}")

    def all_polled() -> bool:
        return orphans <= waits.polled(killed + IN_FLIGHT_SECONDS)

    cluster.wait_for("each of these waits polls again", 90, all_polled)
    polled = f"after {time.monotonic() - killed:.1f} s"
    say(f"each of these waits has polled again {polled}")
    idle = ", an idle worker" if cluster.broker else ""
    return {
        "killed": f"a triggerer with {len(orphans)} triggers{idle}",
        "triggers moved": moved,
        "all polled again": polled,
    }


def finish(waits: Waits) -> None:
    """Let the backups complete, wait for the end of the DAG run, and check how it went."""
    database, number = waits.cluster.database, len(waits.ids)
    waits.costs.begin()
    done = time.time()
    for backup_task_id in waits.ids:
        waits.cluster.cloud.set_status(INSTANCE_ID, backup_task_id, "DONE")
    say("all backups are DONE")
    # Their states first: they are shown, and say which wait has failed.
    ends = waits.cluster.wait_for("the DAG run ends", 400, lambda: waits.states() and database.ends("waits"))
    waits.costs.took("all ended", "all backups were DONE", at=done)
    query = "SELECT state, try_number, count(*) AS n FROM task_instance WHERE dag_id = 'waits' GROUP BY 1, 2"
    tries = [(row.state, row.try_number, row.n) for row in database.rows(query)]
    retries = database.rows("SELECT count(*) AS n FROM task_instance_history WHERE dag_id = 'waits'")[0].n
    if ends != {"success"} or tries != [("success", 1, number)] or retries:
        raise RunError(f"DAG run {ends}, (state, try, waits) {tries}, {retries} earlier tries")
    say(f"the DAG run has succeeded, and all {number} waits at their first try")


def table(waits: Waits, loss: dict[str, str], seconds: float) -> str:
    """Return the results as a table of text."""
    requests = waits.cluster.cloud.requests
    seen = Counter(request.status for request in requests)
    polls, challenges = seen.pop(200), seen.pop(401, 0)
    kinds = [f"{polls:,} polls", f"{challenges:,} challenges"]
    kinds += [f"{number:,} answered by HTTP {status}" for status, number in seen.items()]
    celery = waits.cluster.broker is not None
    return aligned(
        {
            "executor": f"CeleryExecutor, {len(WORKERS)} workers" if celery else "LocalExecutor",
            "task slots": f"{SLOTS}, then {SLOTS // len(WORKERS)}" if celery else f"{SLOTS}",
            "waits": f"{len(waits.ids)}, all succeeded",
            **waits.costs.rows,
            "task retries": "0",
            **loss,
            "requests": f"{len(requests):,}: {', '.join(kinds)}",
            "wall time": f"{seconds:.0f} s",
        }
    )


def main() -> str:
    """Run it."""
    parser = cluster_options(__doc__)
    parser.add_argument("--executor", choices=("local", "celery"), default="local")
    parser.add_argument("--start", choices=("worker", "trigger"), default="worker", help="where they begin")
    parser.add_argument("--waits", type=int, default=200, help="how many (default: %(default)s)")
    options = parser.parse_args()
    began = time.monotonic()
    ids = [f"deferred-{number:03}" for number in range(options.waits)]
    with (
        CloudEmulator() as cloud,
        started(
            cloud,
            DAGS / "many.py",
            DAGS / "beginnings.py",
            backup_task_ids=ids,
            poke_interval=10,
            triggerers=TRIGGERERS,
            celery=options.executor == "celery",
            changed={"CLUSTER_START": options.start, **kinds.settings()},
            keep_logs=options.logs,
        ) as cluster,
    ):
        waits = Waits(cluster, ids, Costs(cluster))
        defer_all(waits)
        loss = lose_triggerer(waits)
        finish(waits)
        loss["begin in the triggerer"] = kinds.check(cluster)
    print(f"\n{table(waits, loss, time.monotonic() - began)}\n")
    return DONE


if __name__ == "__main__":
    run(main)
