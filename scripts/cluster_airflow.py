"""Airflow as users run it at scale: its components, its settings, and what its database says."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from airflow_home import AIRFLOW, base_settings, clean_environ
from cluster_services import start_postgres, start_redis
from cryptography.fernet import Fernet
from processes import HOST, Processes, RunError, fetch, say, tail
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Engine, Row

    from airflow_provider_oceanbase.testing import CloudEmulator

DAGS = Path(__file__).with_name("cluster_dags")
INSTANCE_ID = "ob-cluster"
SLOTS = 8
TRIGGERERS = ("triggerer-1", "triggerer-2")
WORKERS = ("worker-1", "worker-2")
BAD_STATES = {"failed", "up_for_retry", "upstream_failed", "skipped"}
PROGRESS_SECONDS = 10.0


def settings(home: Path, engine: Engine, redis_port: int | None, connection_uri: str) -> dict[str, str]:
    """Return Airflow's configuration; [triggerer] stays as shipped, so that its times are those of users."""
    database = engine.url.render_as_string(hide_password=False)
    changed = base_settings(home, home / "dags") | {
        "AIRFLOW_CONN_OCEANBASE_DEFAULT": connection_uri,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor" if redis_port is None else "CeleryExecutor",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        # As many tasks at once as a small machine stands.
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
    }
    if redis_port is not None:
        changed["AIRFLOW__CELERY__BROKER_URL"] = f"redis://{HOST}:{redis_port}/0"
        changed["AIRFLOW__CELERY__RESULT_BACKEND"] = f"db+{database}"
        changed["AIRFLOW__CELERY__WORKER_CONCURRENCY"] = str(SLOTS // len(WORKERS))
    return changed


@dataclass
class Cluster:
    """A running Airflow with its waits.

    :param dag_id: the one DAG, whose file in the folder of DAGs has its name
    :param processes: the components of Airflow
    :param engine: Airflow's database
    :param cloud: the emulator
    :param broker: Celery's Redis, None with LocalExecutor
    :param ids: IDs of the backup tasks, one a wait, in the order of ``map_index``
    :param triggerers: names of the triggerers
    """

    dag_id: str
    processes: Processes
    engine: Engine
    cloud: CloudEmulator
    broker: redis.Redis | None
    ids: list[str]
    triggerers: Sequence[str]
    _shown: Counter[str] = field(default_factory=Counter)
    _shown_at: float = 0.0

    def rows(self, query: str, **parameters: Any) -> list[Row[Any]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters))

    def start(self) -> None:
        """Start every component but the DAG processor, and wait until they work."""
        environ, start = self.processes.environ, self.processes.start
        self.processes.run("db-migrate", 180, AIRFLOW, "db", "migrate")
        start("api-server", AIRFLOW, "api-server", "--workers", "1")
        # Task logs are read from the disk: nobody needs the log servers, and their ports would collide.
        start("scheduler", AIRFLOW, "scheduler", "--skip-serve-logs")
        if self.broker is not None:
            for name in WORKERS:
                pid_file = self.processes.logs / f"{name}.pid"
                options = ("--skip-serve-logs", "--celery-hostname", name, "--pid", pid_file)
                start(name, AIRFLOW, "celery", "worker", *options)
        for count, name in enumerate(self.triggerers, 1):
            start(name, AIRFLOW, "triggerer", "--skip-serve-logs")
            # One after the other, so that the order of their jobs tells which is which.
            self.processes.wait_for(f"{name} works", 120, lambda count=count: len(self.jobs()) == count)
        url = f"{environ['AIRFLOW__API__BASE_URL']}/api/v2/monitor/health"
        self.processes.wait_for("the API server answers", 120, lambda: fetch(url))
        if self.broker is not None:
            self.processes.wait_for("both workers listen", 120, self.workers_listen)

    def jobs(self) -> list[int]:
        """Return the IDs of the triggerers' jobs, in the order of their start."""
        return [row.id for row in self.rows("SELECT id FROM job WHERE job_type = 'TriggererJob' ORDER BY id")]

    def workers_listen(self) -> bool:
        """Whether each worker has said that it is ready."""
        logs = ((self.processes.logs / f"{name}.log").read_text(errors="replace") for name in WORKERS)
        return all(" ready." in log for log in logs)

    def states(self) -> Counter[str]:
        """Return how many waits are in which state, and show it now and then."""
        query = "SELECT coalesce(state, 'none') AS state, count(*) AS n FROM task_instance"
        query += " WHERE dag_id = :dag_id AND map_index >= 0 GROUP BY 1 ORDER BY 1"
        rows = self.rows(query, dag_id=self.dag_id)
        states = Counter({row.state: row.n for row in rows})
        if states != self._shown and time.monotonic() - self._shown_at >= PROGRESS_SECONDS:
            self._shown, self._shown_at = states, time.monotonic()
            say("waits: " + ", ".join(f"{number} {state}" for state, number in states.items()))
        if bad := BAD_STATES & states.keys():
            raise RunError(f"{self.task_logs(bad)}\nwaits are {', '.join(sorted(bad))}")
        return states

    def task_logs(self, states: set[str]) -> str:
        """Return the end of the log of a wait in one of these states."""
        query = "SELECT task_id, map_index FROM task_instance WHERE dag_id = :dag_id AND state = ANY(:states)"
        rows = self.rows(f"{query} LIMIT 1", dag_id=self.dag_id, states=list(states))
        return "".join(self.logs_of(row.task_id, row.map_index) for row in rows)

    def logs_of(self, task_id: str, map_index: int) -> str:
        """Return the end of each log of a wait."""
        logs = Path(self.processes.environ["AIRFLOW_HOME"]) / "logs"
        paths = logs.glob(f"dag_id={self.dag_id}/*/task_id={task_id}/map_index={map_index}/*")
        return "\n".join(tail(path, str(path.relative_to(logs))) for path in sorted(paths))

    def error(self, what: str) -> RunError:
        """Return an error that shows the end of every log, and then what has failed."""
        return self.processes.error(what)

    def shares(self) -> dict[int, int]:
        """Return how many triggers each triggerer has."""
        query = "SELECT triggerer_id, count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY 1"
        return {row.triggerer_id: row.n for row in self.rows(query)}

    def all_wait(self) -> bool:
        """Whether all waits are deferred, each with a triggerer, and no worker has anything to do."""
        if self.states()["deferred"] < len(self.ids) or sum(self.shares().values()) < len(self.ids):
            return False
        return self.broker is None or not (self.broker.hlen("unacked") or self.broker.llen("default"))

    def waits_of(self, job: int) -> set[str]:
        """Return the IDs of the backup tasks that a triggerer waits for."""
        join = "task_instance JOIN trigger ON trigger.id = task_instance.trigger_id"
        rows = self.rows(f"SELECT map_index FROM {join} WHERE triggerer_id = :job", job=job)
        return {self.ids[row.map_index] for row in rows}

    def checked_since(self, moment: float) -> set[str]:
        """Return the IDs of the backup tasks that were checked since a moment of the monotonic clock."""
        seen = (request for request in self.cloud.requests if request.at > moment and request.status == 200)
        return {request.path.rpartition("/")[2] for request in seen}


@contextmanager
def started(
    dag_id: str,
    cloud: CloudEmulator,
    ids: Sequence[str],
    *,
    celery: bool = False,
    triggerers: Sequence[str] = TRIGGERERS,
    changed: Mapping[str, str] | None = None,
    keep_logs: Path | None = None,
) -> Iterator[Cluster]:
    """Give a new Airflow that runs, all but the DAG processor: the DAG starts as soon as it is read.

    :param dag_id: the one DAG, which finds the IDs in ``CLUSTER_BACKUP_TASK_IDS``
    :param cloud: the emulator, which gets a backup set for each ID
    :param ids: IDs of the backup tasks
    :param celery: with CeleryExecutor, rather than LocalExecutor
    :param triggerers: names of the triggerers
    :param changed: further settings of Airflow
    :param keep_logs: a new folder to keep all logs in
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oceanbase-cluster-")))
        # PostgreSQL runs as another user, and has to get through to its own folder.
        folder.chmod(0o711)
        logs, home = folder / "logs", folder / "logs" / "airflow"
        (home / "dags").mkdir(parents=True)
        shutil.copy(DAGS / f"{dag_id}.py", home / "dags")
        if keep_logs:
            stack.callback(shutil.copytree, logs, keep_logs)
        for backup_task_id in ids:
            cloud.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",))
        environ = clean_environ()
        services = stack.enter_context(Processes(environ, logs))
        engine = start_postgres(services, folder / "postgres")
        # A connection that is left open would keep PostgreSQL from stopping.
        stack.callback(engine.dispose)
        port = start_redis(services, folder / "redis") if celery else None
        say("PostgreSQL " + ("and Redis run" if port else "runs") + f"; the emulator listens on {cloud.url}")
        environ |= settings(home, engine, port, cloud.connection_uri) | dict(changed or {})
        environ |= {"CLUSTER_INSTANCE_ID": INSTANCE_ID, "CLUSTER_BACKUP_TASK_IDS": " ".join(ids)}
        processes = stack.enter_context(Processes(environ, logs))
        broker = redis.Redis(HOST, port) if port else None
        cluster = Cluster(dag_id, processes, engine, cloud, broker, list(ids), triggerers)
        cluster.start()
        say("Airflow runs: " + ", ".join(processes.names))
        yield cluster
