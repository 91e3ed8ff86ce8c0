"""Run DAGs on backups that get done, on a whole Airflow whose triggerer is killed again and again.

PostgreSQL, an API server, a scheduler with LocalExecutor, a DAG processor and a triggerer. Two DAGs are
scheduled on the backup sets of an instance of an emulator of OceanBase Cloud, one on those that are VALID,
the other on all. Backups get done while the triggerer runs, while it is down, and just before it is killed by
SIGKILL, and while the DAGs are paused. Both must run for each; twice only where the kill came before the note
that they had been told. The example DAG runs beside them, on a backup of another instance.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_home import AIRFLOW, WATCH_SOON
from cluster_airflow import INSTANCE_ID, Cluster, started
from processes import run_script, say

from airflow_provider_oceanbase.testing import CloudEmulator

DAG_IDS = ("valid", "everything")
EXAMPLE = Path(__file__).parent.parent / "example_dags" / "oceanbase_on_backup.py"
EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP = "ob-demo", "bak-demo"
#: From the answer that has a new backup set to the note of it takes three to seven.
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
    :param done: for each DAG the IDs of the backup sets that it has to run for
    :param unnoted: those of them that the triggerer had not noted as told when it was killed
    :param starts: how often a triggerer was started
    """

    cluster: Cluster
    done: dict[str, set[str]] = field(default_factory=lambda: {dag_id: set() for dag_id in DAG_IDS})
    unnoted: set[str] = field(default_factory=set)
    starts: int = 1

    def add(self, backup_task_id: str, *, minutes_ago: int = 0, validity: str = "VALID") -> None:
        """Let a backup set be done."""
        end = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        self.cluster.cloud.add_backup_set(
            INSTANCE_ID, backup_task_id, statuses=("DONE",), start_time=end, end_time=end, validity=validity
        )
        self.expect(backup_task_id, valid=validity == "VALID")

    def expect(self, backup_task_id: str, *, valid: bool = True) -> None:
        """Note that a backup set has to be told of."""
        for dag_id in DAG_IDS:
            if valid or dag_id != "valid":
                self.done[dag_id].add(backup_task_id)

    def told(self, dag_id: str) -> list[str]:
        """Return the IDs of the backup sets that a DAG has run for, in order, as often as it has."""
        return list(itertools.chain.from_iterable(self.runs(dag_id)))

    def runs(self, dag_id: str) -> list[list[str]]:
        """Return for each run of a DAG the IDs of the backup sets that its task has read, in order."""
        query = "SELECT value FROM xcom JOIN dag_run ON dag_run.id = xcom.dag_run_id"
        query += " WHERE xcom.dag_id = :dag_id AND key = 'return_value' ORDER BY dag_run.id"
        values = [row.value for row in self.cluster.rows(query, dag_id=dag_id)]
        return [json.loads(value) if isinstance(value, str) else value for value in values]

    def wait_for_runs(self, what: str) -> None:
        """Wait until the DAGs have run for all there is, and a kill can make none of it come twice."""

        def all_told() -> bool:
            return all(self.done[dag_id] <= set(self.told(dag_id)) for dag_id in DAG_IDS)

        def all_noted() -> bool:
            return all(self.done["valid"] <= noted for noted in self.noted())

        self.cluster.processes.wait_for(what, 120, all_told)
        say(what)
        self.cluster.processes.wait_for("it is noted", 60, all_noted)

    def wait_for_polls(self, count: int) -> None:
        """Wait until the instance has been listed so often again."""
        seen = self._polls()
        self.cluster.processes.wait_for("the watch goes on", 120, lambda: self._polls() >= seen + count)

    def noted(self, instance_id: str = INSTANCE_ID) -> list[set[str]]:
        """Return for each asset of an instance which backup sets are noted as told."""
        query = "SELECT value FROM asset_state_store JOIN asset ON asset.id = asset_id WHERE uri LIKE :uri"
        rows = self.cluster.rows(query, uri=f"%/{instance_id}/backup-sets%")
        return [set(json.loads(row.value)["told"]) for row in rows]

    def kill(self) -> None:
        """Kill the triggerer."""
        self.cluster.processes.kill(f"triggerer-{self.starts}")

    def restart(self) -> None:
        """Start a triggerer in place of the one that was killed, and wait until it has taken over."""
        self.starts += 1
        name = f"triggerer-{self.starts}"
        self.cluster.processes.start(name, AIRFLOW, "triggerer", "--skip-serve-logs")
        self.wait_for_polls(1)

    def _polls(self) -> int:
        path = f"/api/v2/instances/{INSTANCE_ID}/backup/data/sets"
        return sum(request.status == 200 and request.path == path for request in self.cluster.cloud.requests)


def begin(watch: Watch) -> None:
    """Wait until the instances are watched: what is done before is nothing new."""
    watch.cluster.processes.start("dag-processor", AIRFLOW, "dag-processor")

    def all_watched() -> bool:
        return watch.noted() == [{"bak-old"}, {"bak-old"}] and watch.noted(EXAMPLE_INSTANCE_ID) == [set()]

    watch.cluster.processes.wait_for("the assets are watched", 180, all_watched)
    say("the assets are watched; bak-old was done before")
    watch.add("bak-1")
    watch.wait_for_runs("the DAGs have run for bak-1")


def outlast_failures(watch: Watch) -> None:
    """Let requests fail for a while, and then in a way that would end a wait."""
    log = watch.cluster.processes.logs / "triggerer-1.log"
    for status, level in ((503, "[warning"), (403, "[error")):
        told = (level, "The check failed; the wait goes on", f"HTTP status {status}")

        def is_told(told: tuple[str, ...] = told) -> bool:
            lines = log.read_text(errors="replace").splitlines()
            return any(all(part in line for part in told) for line in lines)

        watch.cluster.cloud.fail(status=status, times=4)
        watch.cluster.processes.wait_for(f"the log tells of HTTP {status}", 60, is_told)
        watch.wait_for_polls(1)
        say(f"the watch goes on after HTTP {status}")


def pause(watch: Watch) -> None:
    """Let a backup get done while the DAGs are paused, so that nobody watches."""
    run, wait_for = watch.cluster.processes.run, watch.cluster.processes.wait_for
    for dag_id in DAG_IDS:
        run(f"pause-{dag_id}", 120, AIRFLOW, "dags", "pause", "--yes", dag_id)
    wait_for("nobody watches", 120, lambda: watch.cluster.rows("SELECT count(*) AS n FROM trigger")[0].n == 1)
    watch.add("bak-paused")
    for dag_id in DAG_IDS:
        run(f"unpause-{dag_id}", 120, AIRFLOW, "dags", "unpause", "--yes", dag_id)
    watch.wait_for_runs("the DAGs have run for what got done while they were paused")


def lose_triggerer(watch: Watch) -> None:
    """Let backups get done while the triggerer is down."""
    watch.kill()
    say("the triggerer is killed")
    watch.add("bak-3", minutes_ago=1)
    watch.add("bak-2", minutes_ago=2)
    watch.add("bak-invalid", minutes_ago=3, validity="INVALID")
    watch.cluster.cloud.set_status(INSTANCE_ID, "bak-long", "DONE")
    # Not before: the failures are for the watch, and would fail a task of the example.
    watch.cluster.cloud.set_status(EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP, "DONE")
    watch.expect("bak-long")
    watch.restart()
    watch.wait_for_runs("the DAGs have run for what got done while it was down")
    last = [watch.runs(dag_id)[-1] for dag_id in DAG_IDS]
    valid = ["bak-2", "bak-3", "bak-long"]
    if last != [valid, ["bak-invalid", *valid]]:
        raise watch.cluster.error(f"not a run for all of them, in the order of their end: {last}")


def kill_amid_events(watch: Watch, kills: int, rng: random.Random) -> None:
    """Kill the triggerer soon after it has learnt of a new backup set, again and again."""
    for number in range(kills):
        name, delay = f"bak-kill-{number}", rng.uniform(0, KILL_WITHIN_SECONDS)
        watch.add(name)
        watch.wait_for_polls(1)
        # The moment of the kill is what is tried; nothing is waited for.
        time.sleep(delay)
        watch.kill()
        noted = sum(name in told for told in watch.noted())
        if noted < len(DAG_IDS):
            watch.unnoted.add(name)
        say(f"the triggerer is killed {delay:.2f} s after a poll with {name}, noted for {noted} assets of 2")
        watch.restart()
        watch.wait_for_runs(f"the DAGs have run for {name}")


def check(watch: Watch, kills: int) -> None:
    """Check that the DAGs ran for nothing else, and twice only where the kill explains it."""
    for dag_id in DAG_IDS:
        counts = Counter(watch.told(dag_id))
        if counts.keys() != watch.done[dag_id]:
            raise watch.cluster.error(f"{dag_id}: ran for {sorted(counts)}, not {sorted(watch.done[dag_id])}")
        twice = {name for name, count in counts.items() if count > 1}
        if max(counts.values()) > 2 or not twice <= watch.unnoted:
            raise watch.cluster.error(f"{dag_id}: ran more than once for {sorted(twice)}")
        say(f"{dag_id}: {len(watch.runs(dag_id))} runs for {len(counts)} backup sets, {len(twice)} twice")
    events = watch.cluster.rows("SELECT count(*) AS n FROM asset_event")[0].n
    say(f"{kills + 1} kills of the triggerer, {events} events, no backup set lost")
    check_example(watch)


def check_example(watch: Watch) -> None:
    """Check that the example DAG ran, once or again, and well."""

    def ended() -> bool:
        query = "SELECT state FROM dag_run WHERE dag_id = :dag_id"
        states = {row.state for row in watch.cluster.rows(query, dag_id=EXAMPLE.stem)}
        return bool(states) and states <= {"success", "failed"}

    watch.cluster.processes.wait_for(f"{EXAMPLE.stem} ends", 120, ended)
    query = "SELECT task_id, state FROM task_instance WHERE dag_id = :dag_id"
    states = {(row.task_id, row.state) for row in watch.cluster.rows(query, dag_id=EXAMPLE.stem)}
    if states != {(name, "success") for name in ("new_backups", "get_backup_set", "process")}:
        raise watch.cluster.error(f"{EXAMPLE.stem}: {states}")
    say(f"{EXAMPLE.stem} has run for {EXAMPLE_BACKUP}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=5, help="amid events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="when they come (default: %(default)s)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep all logs in a new folder")
    options = parser.parse_args()
    days_ago = datetime.now(UTC) - timedelta(days=5)
    with CloudEmulator() as cloud:
        cloud.add_backup_set(INSTANCE_ID, "bak-old", statuses=("DONE",))
        cloud.add_backup_set(INSTANCE_ID, "bak-long", statuses=("DOING",), start_time=days_ago)
        cloud.add_backup_set(EXAMPLE_INSTANCE_ID, EXAMPLE_BACKUP, statuses=("DOING",))
        triggerers = ("triggerer-1",)
        with started(
            "events", cloud, (), triggerers=triggerers, changed=SETTINGS, keep_logs=options.logs
        ) as cluster:
            shutil.copy(EXAMPLE, cluster.processes.environ["AIRFLOW__CORE__DAGS_FOLDER"])
            watch = Watch(cluster)
            begin(watch)
            outlast_failures(watch)
            lose_triggerer(watch)
            kill_amid_events(watch, options.kills, random.Random(options.seed))
            pause(watch)
            watch.wait_for_polls(5)
            check(watch, options.kills)


if __name__ == "__main__":
    run_script(main)
