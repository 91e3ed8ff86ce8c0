"""Run DAGs on backups that complete, on a whole Airflow whose triggerer is killed again and again.

PostgreSQL, an API server, a scheduler with LocalExecutor, a DAG processor and a triggerer. Two DAGs are
scheduled on the backup sets of an instance of an emulator of OceanBase Cloud, one on those that are VALID,
the other on all. Backups complete while the triggerer runs, while it is down, just before it is killed by
SIGKILL, and while the DAGs are paused. Both must run for each; twice only if the kill came before the record
that they had been reported. The example DAG runs beside them, on a backup of another instance, and on an
event that a person creates, which names no backup.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import requests
from harness.cluster import DAGS, INSTANCE_ID, Cluster, started
from harness.command import DONE, cluster_options, run, say
from harness.database import decoded
from harness.network import listings
from harness.settings import AIRFLOW, EXAMPLE_DAGS, WATCH_SOON

from airflow_provider_oceanbase.testing import CloudEmulator

DAG_IDS = ("valid", "everything")
EXAMPLE = "oceanbase_on_backup"
EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP = "ob-demo", "bak-demo"
#: The key of the record of reported backup sets in the asset's state.
RECORD = "reported"
#: Seconds: the record of a new backup set is saved three to seven seconds after the response that lists it.
KILL_WITHIN_SECONDS = 7.0
SETTINGS = {
    **WATCH_SOON,
    # The next triggerer takes over sooner than by default.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}


@dataclass
class Watch:
    """What is watched, and what has come of it.

    :param cluster: Airflow
    :param expected: for each DAG the IDs of the backup sets that it has to run for
    :param unrecorded: those of them that the triggerer had not recorded as reported when it was killed
    :param starts: how often a triggerer was started
    """

    cluster: Cluster
    expected: dict[str, set[str]] = field(default_factory=lambda: {dag_id: set() for dag_id in DAG_IDS})
    unrecorded: set[str] = field(default_factory=set)
    starts: int = 1

    def complete(self, backup_task_id: str, *, minutes_ago: int = 0, validity: str = "VALID") -> None:
        """Let a new backup complete."""
        end = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        self.cluster.cloud.add_backup_set(
            INSTANCE_ID, backup_task_id, statuses=("DONE",), start_time=end, end_time=end, validity=validity
        )
        self.expect(backup_task_id, valid=validity == "VALID")

    def expect(self, backup_task_id: str, *, valid: bool = True) -> None:
        """Note that the DAGs have to run for a backup set."""
        for dag_id in DAG_IDS if valid else DAG_IDS[1:]:
            self.expected[dag_id].add(backup_task_id)

    def runs(self, dag_id: str) -> list[list[str]]:
        """Return for each run of a DAG the IDs of the backup sets that its task has read, in order."""
        return self.cluster.database.xcoms(dag_id, "read")

    def counts(self, dag_id: str) -> Counter[str]:
        """Return how often a DAG has run for each backup set, by their IDs."""
        return Counter(name for ids in self.runs(dag_id) for name in ids)

    def recorded(self, instance_id: str = INSTANCE_ID) -> list[set[str]]:
        """Return for each asset of an instance which backup sets are recorded as reported."""
        query = "SELECT value FROM asset_state_store JOIN asset ON asset.id = asset_id WHERE uri LIKE :uri"
        rows = self.cluster.database.rows(query, uri=f"%/{instance_id}/backup-sets%")
        return [set(decoded(row.value)[RECORD]) for row in rows]

    def wait_for_runs(self, what: str) -> None:
        """Wait until the DAGs have run for all there is, and a kill can make none of it come twice."""
        wanted = self.expected
        self.cluster.wait_for(
            what, 120, lambda: all(wanted[dag_id] <= self.counts(dag_id).keys() for dag_id in DAG_IDS)
        )
        say(what)
        self.cluster.wait_for(
            "it is recorded", 60, lambda: all(wanted["valid"] <= recorded for recorded in self.recorded())
        )

    def wait_for_polls(self, count: int) -> None:
        """Wait until the instance has been listed so often again."""
        cloud = self.cluster.cloud
        wanted = listings(cloud, INSTANCE_ID) + count
        self.cluster.wait_for("the watch polls", 120, lambda: listings(cloud, INSTANCE_ID) >= wanted)

    def kill(self) -> None:
        """Kill the triggerer."""
        self.cluster.kill(f"triggerer-{self.starts}")

    def restart(self) -> None:
        """Start a triggerer in place of the one that was killed, and wait until it has taken over."""
        self.starts += 1
        self.cluster.start_triggerer(f"triggerer-{self.starts}")
        self.wait_for_polls(1)


def begin(watch: Watch) -> None:
    """Wait until the instances are watched: what completes before is nothing new."""
    watch.cluster.start_dags()
    old = [{"bak-old"}, {"bak-old"}, set()]
    watch.cluster.wait_for(
        "the assets are watched",
        180,
        lambda: [*watch.recorded(), *watch.recorded(EXAMPLE_INSTANCE_ID)] == old,
    )
    say("the assets are watched; bak-old was complete before")
    watch.complete("bak-1")
    watch.wait_for_runs("the DAGs have run for bak-1")


def create_event(watch: Watch) -> None:
    """Create an event of the example's asset, as a person does in the web UI."""
    cluster = watch.cluster
    url = cluster.environ["AIRFLOW__API__BASE_URL"]
    query = "SELECT id FROM asset WHERE uri LIKE :uri"
    (row,) = cluster.database.rows(query, uri=f"%/{EXAMPLE_INSTANCE_ID}/backup-sets")
    with requests.Session() as session:
        session.trust_env = False
        token = session.get(f"{url}/auth/token", timeout=10).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        answer = session.post(f"{url}/api/v2/assets/events", json={"asset_id": row.id}, timeout=10)
        answer.raise_for_status()
    cluster.wait_for(
        f"{EXAMPLE} runs for an event by hand", 120, lambda: cluster.database.ends(EXAMPLE) == {"success"}
    )
    say(f"{EXAMPLE} has run for an event by hand")


def outlast(watch: Watch, status: int, level: str) -> None:
    """Let requests fail for a while, until the triggerer logs it, and polls again."""
    log, line = watch.cluster.logs / "triggerer-1.log", re.compile(rf"\[{level}.*HTTP {status}")
    watch.cluster.cloud.fail(status=status, times=4)
    watch.cluster.wait_for(
        f"the log reports HTTP {status}", 60, lambda: line.search(log.read_text(errors="replace"))
    )
    watch.wait_for_polls(1)
    say(f"the watch keeps polling after HTTP {status}")


def lose_triggerer(watch: Watch) -> None:
    """Let backups complete while the triggerer is down."""
    watch.kill()
    say("the triggerer is killed")
    watch.complete("bak-3", minutes_ago=1)
    watch.complete("bak-2", minutes_ago=2)
    watch.complete("bak-invalid", minutes_ago=3, validity="INVALID")
    watch.cluster.cloud.set_status(INSTANCE_ID, "bak-long", "DONE")
    # Not before: the failures are for the watch, and would fail a task of the example.
    watch.cluster.cloud.set_status(EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP, "DONE")
    watch.expect("bak-long")
    watch.restart()
    watch.wait_for_runs("the DAGs have run for what completed while it was down")
    last = [watch.runs(dag_id)[-1] for dag_id in DAG_IDS]
    valid = ["bak-2", "bak-3", "bak-long"]
    if last != [valid, ["bak-invalid", *valid]]:
        raise watch.cluster.error(f"not a run for all of them, in the order of their end: {last}")


def kill_amid_events(watch: Watch, kills: int, rng: random.Random) -> None:
    """Kill the triggerer soon after a poll has listed a new backup set, again and again."""
    for number in range(kills):
        name, delay = f"bak-kill-{number}", rng.uniform(0, KILL_WITHIN_SECONDS)
        watch.complete(name)
        watch.wait_for_polls(1)
        # The moment of the kill is what is tried; nothing is waited for.
        time.sleep(delay)
        watch.kill()
        recorded = sum(name in ids for ids in watch.recorded())
        if recorded < len(DAG_IDS):
            watch.unrecorded.add(name)
        say(f"the triggerer is killed {delay:.2f} s after it listed {name}; {recorded} of 2 recorded it")
        watch.restart()
        watch.wait_for_runs(f"the DAGs have run for {name}")


def pause(watch: Watch) -> None:
    """Let a backup complete while the DAGs are paused, so that nothing watches."""
    cluster = watch.cluster
    for dag_id in DAG_IDS:
        cluster.run(f"pause-{dag_id}", 120, AIRFLOW, "dags", "pause", "--yes", dag_id)
    query = "SELECT count(*) AS n FROM trigger"
    cluster.wait_for("only the example is watched", 120, lambda: cluster.database.rows(query)[0].n == 1)
    watch.complete("bak-paused")
    for dag_id in DAG_IDS:
        cluster.run(f"unpause-{dag_id}", 120, AIRFLOW, "dags", "unpause", "--yes", dag_id)
    watch.wait_for_runs("the DAGs have run for what completed while they were paused")


def check(watch: Watch, kills: int) -> None:
    """Check that the DAGs ran for nothing else, and twice only where the kill explains it."""
    cluster = watch.cluster
    for dag_id in DAG_IDS:
        counts = watch.counts(dag_id)
        if counts.keys() != watch.expected[dag_id]:
            raise cluster.error(f"{dag_id}: ran for {sorted(counts)}, not {sorted(watch.expected[dag_id])}")
        twice = {name for name, count in counts.items() if count > 1}
        if max(counts.values()) > 2 or not twice <= watch.unrecorded:
            raise cluster.error(f"{dag_id}: ran more than once for {sorted(twice)}")
        say(f"{dag_id}: {len(watch.runs(dag_id))} runs for {len(counts)} backup sets, {len(twice)} twice")
    events = cluster.database.rows("SELECT count(*) AS n FROM asset_event")[0].n
    say(f"{kills + 1} kills of the triggerer, {events} events, no backup set lost")
    # The example ran, once or again, and well.
    ends = cluster.database.ends
    cluster.wait_for(f"{EXAMPLE} ends", 120, lambda: len(task_states(watch)) > 1 and ends(EXAMPLE))
    first, *others = task_states(watch)
    if first != {("new_backups", "success"), ("get_backup_set", "skipped"), ("process", "skipped")}:
        raise cluster.error(f"{EXAMPLE}, for an event by hand: {first}")
    done = {(name, "success") for name in ("new_backups", "get_backup_set", "process")}
    if not others or any(states != done for states in others):
        raise cluster.error(f"{EXAMPLE}: {others}")
    say(f"{EXAMPLE} has run for {EXAMPLE_BACKUP}")


def task_states(watch: Watch) -> list[set[tuple[str, str]]]:
    """Return the names and states of the example's tasks, run by run."""
    query = "SELECT run_id, task_id, state FROM task_instance WHERE dag_id = :dag_id ORDER BY start_date"
    runs: dict[str, set[tuple[str, str]]] = {}
    for row in watch.cluster.database.rows(query, dag_id=EXAMPLE):
        runs.setdefault(row.run_id, set()).add((row.task_id, row.state))
    return list(runs.values())


def main() -> str:
    """Run it."""
    parser = cluster_options(__doc__)
    parser.add_argument("--kills", type=int, default=5, help="amid events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="when they come (default: %(default)s)")
    options = parser.parse_args()
    days_ago = datetime.now(UTC) - timedelta(days=5)
    dags = (DAGS / "events.py", EXAMPLE_DAGS / f"{EXAMPLE}.py")
    with CloudEmulator() as cloud:
        cloud.add_backup_set(INSTANCE_ID, "bak-old", statuses=("DONE",))
        cloud.add_backup_set(INSTANCE_ID, "bak-long", statuses=("DOING",), start_time=days_ago)
        cloud.add_backup_set(EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP, statuses=("DOING",))
        with started(
            cloud, *dags, triggerers=("triggerer-1",), changed=SETTINGS, keep_logs=options.logs
        ) as cluster:
            watch = Watch(cluster)
            begin(watch)
            create_event(watch)
            outlast(watch, 503, "warning")
            # This one would end a wait.
            outlast(watch, 403, "error")
            lose_triggerer(watch)
            kill_amid_events(watch, options.kills, random.Random(options.seed))
            pause(watch)
            watch.wait_for_polls(5)
            check(watch, options.kills)
    return DONE


if __name__ == "__main__":
    run(main)
