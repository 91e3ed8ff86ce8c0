"""Waits of each kind that are to begin in the triggerer, on a whole Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from harness.cluster import INSTANCE_ID
from harness.command import RunError, say
from harness.settings import AIRFLOW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.cluster import Cluster

DAG_ID = "beginnings"
#: A backup for each ID that the templates must come to.
_IDS = ("plain", "rendered-variable-oceanbase-2-scheduled-templates", "told", "previous")
#: The tenant that is waited for by a point in time, and the backup that holds it.
_TENANT, _LAST = "night", "last"
_HOUR = timedelta(hours=1)
#: How each wait must end, and how many worker processes it takes: one to resume, and one to begin.
_EXPECTED = {
    "plain": ("success", 1),
    "templates": ("success", 1),
    "xcom": ("success", 2),
    "macro": ("success", 2),
    "previous": ("success", 2),
    "output": ("success", 2),
    "mapped": ("success", 2),
    "min_checkpoint": ("success", 1),
    "restore_time": ("success", 1),
    # An unknown host: the first poll fails, after its retries.
    "wrong": ("failed", 1),
}
_WAITING = {task_id: {"success": "deferred"}.get(end, end) for task_id, (end, _) in _EXPECTED.items()}
_LONGEST_FAILURE_SECONDS = 60.0


def settings() -> Mapping[str, str]:
    """Return what the DAG's templates find."""
    return {
        "AIRFLOW_VAR_SECOND": "variable",
        "AIRFLOW_CONN_OCEANBASE_WRONG": "oceanbase://key:secret@oceanbase.invalid",
    }


def check(cluster: Cluster) -> str:
    """Run the DAG; return in words what came of it.

    :raises RunError: a wait has ended otherwise, or has begun elsewhere, than it should
    """
    cloud, now = cluster.cloud, datetime.now(UTC)
    for backup_task_id in _IDS:
        cloud.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",))
    cloud.add_backup_set(INSTANCE_ID, _LAST, statuses=("DOING",), tenants=(_TENANT,))
    cloud.add_restorable_tenant(INSTANCE_ID, _TENANT, intervals=[(now - 2 * _HOUR, now - _HOUR)])
    cluster.run("unpause", 60, AIRFLOW, "dags", "unpause", DAG_ID)
    # By then the scheduler knows that the workers of the others have ended. If it did not, it might take that
    # for a failure of what follows.
    cluster.wait_for("all wait, and the wrong one has failed", 180, lambda: _states(cluster) == _WAITING)
    for backup_task_id in (*_IDS, _LAST):
        cloud.set_status(INSTANCE_ID, backup_task_id, "DONE")
    cloud.add_restorable_tenant(INSTANCE_ID, _TENANT, intervals=[(now - 2 * _HOUR, None)])
    cluster.wait_for(f"{DAG_ID} ends", 300, lambda: cluster.database.ends(DAG_ID))
    query = (
        "SELECT task_id, state, extract(epoch FROM end_date - start_date) AS seconds, (SELECT count(*)"
        " FROM log WHERE log.dag_id = ti.dag_id AND log.task_id = ti.task_id AND event = 'running') AS n"
        " FROM task_instance ti WHERE dag_id = :dag_id AND task_id <> 'tell'"
    )
    rows = cluster.database.rows(query, dag_id=DAG_ID)
    found = {row.task_id: (row.state, row.n) for row in rows}
    if found != _EXPECTED:
        raise RunError(f"{DAG_ID}: (state, worker processes) {found}, not {_EXPECTED}")
    seconds = next(float(row.seconds) for row in rows if row.task_id == "wrong")
    if seconds > _LONGEST_FAILURE_SECONDS:
        raise RunError(f"an unknown host showed only after {seconds:.0f} s")
    begun = sum(workers == 1 for _, workers in found.values())
    say(
        f"{begun} of {len(found)} kinds of waits began in the triggerer, the others in a worker, as they must"
    )
    return f"{begun} of {len(found)} kinds; an unknown host shows after {seconds:.0f} s"


def _states(cluster: Cluster) -> dict[str, str]:
    query = "SELECT task_id, state FROM task_instance WHERE dag_id = :dag_id AND task_id <> 'tell'"
    return {row.task_id: row.state for row in cluster.database.rows(query, dag_id=DAG_ID)}
