"""Kill waits by SIGKILL at random moments on a whole Airflow: none may succeed too early, or end wrongly.

PostgreSQL, an API server, a scheduler with LocalExecutor, a DAG processor and a triggerer. Half of the waits
poke; the others are deferrable, and are killed before they defer, or when they go on with the trigger's
event. What gets the SIGKILL is the process that runs the sensor, the worker process that supervises it (then
the sensor's goes on, and nobody hears it), or both. Half of the backups end DONE, half FAILED.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_home import AIRFLOW
from cluster_airflow import Cluster, started
from kills_plan import Kind, Moment, Target, plans
from kills_run import Kills, Victim
from processes import run_script

from airflow_provider_oceanbase.testing import CloudEmulator

if TYPE_CHECKING:
    from datetime import datetime

SPARES = 10
DEADLINE_SECONDS = 420
#: What goes on with an event lives for about 0.15 seconds.
WATCH_SECONDS = 0.01
SETTINGS = {
    # Nobody reports the end of a task whose worker process is killed: Airflow has to notice that no heartbeat
    # comes. As shipped, it waits five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


@dataclass
class End:
    """How a wait has ended, as Airflow's database has it.

    :param state: state of the task
    :param try_number: its last try
    :param at: when it ended
    :param former: tries and states of the former tries
    :param status: status in its XCom
    """

    state: str
    try_number: int
    at: datetime
    former: list[tuple[int, str]]
    status: str | None


def end_of(cluster: Cluster, victim: Victim) -> End:
    """Ask how a wait has ended."""
    where = "dag_id = :dag_id AND task_id = :task_id AND map_index = :map_index"
    key = {"dag_id": cluster.dag_id, "task_id": victim.plan.task_id, "map_index": victim.plan.map_index}
    row = cluster.rows(f"SELECT state, try_number, end_date FROM task_instance WHERE {where}", **key)[0]
    query = f"SELECT try_number, state FROM task_instance_history WHERE {where} ORDER BY try_number"
    former = [(row.try_number, row.state) for row in cluster.rows(query, **key)]
    xcoms = cluster.rows(f"SELECT value FROM xcom WHERE key = 'return_value' AND {where}", **key)
    return End(row.state, row.try_number, row.end_date, former, _status(xcoms[0].value) if xcoms else None)


def _status(value: Any) -> str:
    summary = json.loads(value) if isinstance(value, str) else value
    return str(summary["status"])


def problems(cluster: Cluster, victim: Victim, end: End) -> list[str]:
    """Return what is wrong with the end of a wait."""
    is_done = victim.plan.end == "DONE"
    tries = 2 if victim.wanted else 1
    expected = "success" if is_done else "failed"
    found = {
        f"it is {end.state}, not {expected}": end.state != expected,
        f"the status in its XCom is {end.status}": end.status != ("DONE" if is_done else None),
        "it ended before its backup set": victim.turned is None or end.at < victim.turned,
        f"it ended at try {end.try_number}, not {tries}": end.try_number != tries,
        f"its former tries: {end.former}": [number for number, _ in end.former] != list(range(1, tries)),
        "a former try succeeded": any(state == "success" for _, state in end.former),
        "it was never killed": victim.wanted and victim.killed_at is None,
        "its log does not tell of a BackupSetFailedError": not is_done
        and "BackupSetFailedError" not in cluster.logs_of(victim.plan.task_id, victim.plan.map_index),
    }
    return [f"{victim.plan.backup_task_id}: {what}" for what, is_wrong in found.items() if is_wrong]


def check(cluster: Cluster, kills: Kills, wanted: int) -> dict[str, End]:
    """Return how the waits have ended, all of them as they should."""
    ends = {name: end_of(cluster, victim) for name, victim in kills.victims.items()}
    wrong = []
    for name, victim in kills.victims.items():
        if found := problems(cluster, victim, ends[name]):
            wrong += [cluster.logs_of(victim.plan.task_id, victim.plan.map_index), *found]
    killed = sum(victim.killed_at is not None for victim in kills.victims.values())
    if killed != wanted:
        wrong.append(f"{killed} waits were killed, not {wanted}")
    if wrong:
        raise cluster.error("\n".join(wrong))
    return ends


def moment_of(victim: Victim) -> str:
    """Return when a wait was killed."""
    if victim.kind is Kind.AFTER:
        return "going on with an event"
    if victim.moment is Moment.CHECK:
        return "amid a request"
    return "between requests" if victim.requests else "before the first request"


def table(kills: Kills, ends: dict[str, End], seconds: float) -> str:
    """Return the results as a table of text."""
    killed = {name: victim for name, victim in kills.victims.items() if victim.killed_at is not None}
    lines = [f"  {'wait':<29}{'kills':>7}{'success':>9}{'failed':>8}  tries"]
    for kind in Kind:
        of_kind = [ends[name] for name, victim in killed.items() if victim.kind is kind]
        states = Counter(end.state for end in of_kind)
        tries = ", ".join(str(number) for number in sorted({end.try_number for end in of_kind}))
        lines.append(f"  {kind:<29}{len(of_kind):>7}{states['success']:>9}{states['failed']:>8}  {tries}")
    targets = Counter(victim.plan.target for victim in killed.values())
    moments = Counter(moment_of(victim) for victim in killed.values())
    unheard = sum(victim.unheard for victim in killed.values() if victim.plan.target is Target.WORKER)
    rows = {
        "right ends": f"{len(ends)} of {len(ends)}, {len(ends) - len(killed)} of them without a kill",
        "killed": ", ".join(f"{targets[target]} {target}" for target in Target),
        "moments": ", ".join(f"{number} {moment}" for moment, number in sorted(moments.items())),
        "polls unheard": f"{unheard}, of processes whose worker process was dead",
        "came too late": f"{kills.missed} more kills",
        "wall time": f"{seconds:.0f} s",
    }
    return "\n".join([*lines, "", *(f"  {name:<15}{value}" for name, value in rows.items())])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep all logs in a new folder")
    options = parser.parse_args()
    began = time.monotonic()
    drawn = plans(options.seed, options.kills, SPARES)
    victims = {
        plan.backup_task_id: Victim(plan, plan.kind, wanted=index < options.kills)
        for index, plan in enumerate(drawn)
    }
    kills = Kills(victims)
    with (
        CloudEmulator(on_request=kills.on_request) as cloud,
        started(
            "kills", cloud, list(victims), triggerers=["triggerer"], changed=SETTINGS, keep_logs=options.logs
        ) as cluster,
    ):
        cluster.processes.start("dag-processor", AIRFLOW, "dag-processor")
        cluster.processes.wait_for(
            "all waits end", DEADLINE_SECONDS, lambda: kills.go_on(cluster), pause=WATCH_SECONDS
        )
        ends = check(cluster, kills, options.kills)
    print(f"\n{table(kills, ends, time.monotonic() - began)}\n")


if __name__ == "__main__":
    run_script(main)
