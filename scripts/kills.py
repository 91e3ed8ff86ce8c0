"""Kill waits by SIGKILL at random moments on a whole Airflow: none may succeed too early, or end wrongly.

PostgreSQL, an API server, a scheduler with LocalExecutor, a DAG processor and a triggerer. Half of the waits
poke; the others are deferrable, and are killed before they defer, or when they resume after the trigger's
event. What gets the SIGKILL is the process that runs the sensor, the worker process that supervises it (then
the sensor keeps polling, and Airflow ignores its result), or both. Half of the backups end DONE, half FAILED.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.cluster import DAGS, Cluster, started
from harness.command import DONE, aligned, cluster_options, run
from harness.database import decoded
from killing.kills import Kills
from killing.waits import Kind, Moment, Target, Wait, draw, name_of

from airflow_provider_oceanbase.testing import CloudEmulator

if TYPE_CHECKING:
    from sqlalchemy import Row

SPARES = 10
DEADLINE_SECONDS = 420
#: A task that resumes after the event lives for about 0.15 seconds.
WATCH_SECONDS = 0.01
SETTINGS = {
    # Nobody reports the end of a task whose worker process is killed: Airflow has to notice that no heartbeat
    # comes. As shipped, it waits five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


def ends_of(cluster: Cluster) -> dict[str, Row[Any]]:
    """Return how the waits have ended, as Airflow's database has it, by their names."""
    same = "task_id = wait.task_id AND map_index = wait.map_index"
    earlier = f"FROM task_instance_history WHERE {same} ORDER BY try_number"
    rows = cluster.database.rows(
        "SELECT task_id, map_index, state, try_number, end_date,"
        f" ARRAY(SELECT try_number {earlier}) AS earlier_tries,"
        f" ARRAY(SELECT state {earlier}) AS earlier_states,"
        f" (SELECT value FROM xcom WHERE {same} AND key = 'return_value') AS xcom"
        " FROM task_instance AS wait WHERE map_index >= 0"
    )
    return {name_of(row.task_id, row.map_index): row for row in rows}


def problems(wait: Wait, end: Row[Any], logs: str) -> list[str]:
    """Return what is wrong with the end of a wait."""
    is_done = wait.end == "DONE"
    tries = 2 if wait.wanted else 1
    expected = "success" if is_done else "failed"
    status = decoded(end.xcom)["status"] if end.xcom else None
    found = {
        f"it is {end.state}, not {expected}": end.state != expected,
        f"the status in its XCom is {status}": status != ("DONE" if is_done else None),
        "it ended before its backup set": wait.turned is None or end.end_date < wait.turned,
        f"it ended at try {end.try_number}, not {tries}": end.try_number != tries,
        f"its earlier tries: {end.earlier_tries}": end.earlier_tries != list(range(1, tries)),
        "an earlier try succeeded": "success" in end.earlier_states,
        "it was never killed": wait.wanted and wait.killed_at is None,
        "its log has no BackupSetFailedError": not is_done and "BackupSetFailedError" not in logs,
    }
    return [f"{wait.name}: {what}" for what, is_wrong in found.items() if is_wrong]


def check(kills: Kills, ends: dict[str, Row[Any]], wanted: int) -> None:
    """Check that all waits have ended as they should, so many of them killed."""
    wrong = []
    for name, wait in kills.waits.items():
        logs = kills.cluster.task_logs(wait.task_id, wait.map_index)
        if found := problems(wait, ends[name], logs):
            wrong += [logs, *found]
    killed = sum(wait.killed_at is not None for wait in kills.waits.values())
    if killed != wanted:
        wrong.append(f"{killed} waits were killed, not {wanted}")
    if wrong:
        raise kills.cluster.error("\n".join(wrong))


def moment_of(wait: Wait) -> str:
    """Return when a wait was killed."""
    if wait.kind is Kind.AFTER:
        return "resuming after an event"
    if wait.moment is Moment.REQUEST:
        return "amid a request"
    return "between requests" if wait.requests else "before the first request"


def table(kills: Kills, ends: dict[str, Row[Any]], seconds: float) -> str:
    """Return the results as a table of text."""
    killed = [wait for wait in kills.waits.values() if wait.killed_at is not None]
    lines = [f"  {'wait':<29}{'kills':>7}{'success':>9}{'failed':>8}  tries"]
    for kind in Kind:
        of_kind = [ends[wait.name] for wait in killed if wait.kind is kind]
        states = Counter(end.state for end in of_kind)
        tries = ", ".join(str(number) for number in sorted({end.try_number for end in of_kind}))
        lines.append(f"  {kind:<29}{len(of_kind):>7}{states['success']:>9}{states['failed']:>8}  {tries}")
    targets = Counter(wait.target for wait in killed)
    moments = Counter(moment_of(wait) for wait in killed)
    unheard = sum(wait.unheard for wait in killed if wait.target is Target.WORKER)
    rows = {
        "right ends": f"{len(ends)} of {len(ends)}, {len(ends) - len(killed)} of them without a kill",
        "killed": ", ".join(f"{targets[target]} {target}" for target in Target),
        "moments": ", ".join(f"{number} {moment}" for moment, number in sorted(moments.items())),
        "polls unheard": f"{unheard}, of processes whose worker process was dead",
        "came too late": f"{kills.missed} more kills",
        "wall time": f"{seconds:.0f} s",
    }
    return "\n".join([*lines, "", aligned(rows)])


def main() -> str:
    """Run it."""
    parser = cluster_options(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    options = parser.parse_args()
    began = time.monotonic()
    waits = draw(options.seed, options.kills, SPARES)
    with (
        # The first request comes from the DAG, which starts last.
        CloudEmulator(on_request=lambda seen: kills.on_request(seen)) as cloud,
        started(
            cloud, DAGS / "waits.py", backup_task_ids=[*waits], changed=SETTINGS, keep_logs=options.logs
        ) as cluster,
    ):
        kills = Kills(cluster, waits)
        cluster.start_dags()
        cluster.wait_for("all waits end", DEADLINE_SECONDS, kills.step, pause=WATCH_SECONDS)
        ends = ends_of(cluster)
        check(kills, ends, options.kills)
    print(f"\n{table(kills, ends, time.monotonic() - began)}\n")
    return DONE


if __name__ == "__main__":
    run(main)
