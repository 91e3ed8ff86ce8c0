"""Airflow as users run it at scale: a process for each component, and PostgreSQL."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from harness.command import say
from harness.network import fetch
from harness.processes import Processes, tail
from harness.services import start_postgres, start_redis
from harness.settings import AIRFLOW, base_settings, clean_environ

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_oceanbase.testing import CloudEmulator
    from harness.database import Database

DAGS = Path(__file__).parents[1] / "dags"
INSTANCE_ID = "ob-cluster"
#: As many tasks at once as a small machine stands.
SLOTS = 8
WORKERS = ("worker-1", "worker-2")


@dataclass
class Cluster(Processes):
    """The components of an Airflow that runs.

    :param database: Airflow's database
    :param cloud: the emulator
    :param broker: URL of Celery's Redis, None with LocalExecutor
    """

    database: Database
    cloud: CloudEmulator
    broker: str | None

    def start_all(self, triggerers: Sequence[str]) -> None:
        """Start every component but the DAG processor, and wait until they work."""
        self.run("db-migrate", 180, AIRFLOW, "db", "migrate")
        self.start("api-server", AIRFLOW, "api-server", "--workers", "1")
        # Task logs are read from the disk: nobody needs the log servers, and their ports would collide.
        self.start("scheduler", AIRFLOW, "scheduler", "--skip-serve-logs")
        workers = WORKERS if self.broker else ()
        for name in workers:
            options = ("--skip-serve-logs", "--celery-hostname", name, "--pid", self.logs / f"{name}.pid")
            self.start(name, AIRFLOW, "celery", "worker", *options)
        # One after the other, so that the order of their jobs says which is which.
        for name in triggerers:
            self.start_triggerer(name)
        url = f"{self.environ['AIRFLOW__API__BASE_URL']}/api/v2/monitor/health"
        self.wait_for("the API server answers", 120, lambda: fetch(url))
        logs = [self.logs / f"{name}.log" for name in workers]
        self.wait_for("workers listen", 120, lambda: all(b" ready." in log.read_bytes() for log in logs))

    def start_triggerer(self, name: str) -> None:
        """Start a triggerer, and wait until it works."""
        before = len(self.triggerer_jobs())
        self.start(name, AIRFLOW, "triggerer", "--skip-serve-logs")
        self.wait_for(f"{name} works", 120, lambda: len(self.triggerer_jobs()) > before)

    def start_dags(self) -> None:
        """Start the DAG processor: a DAG starts as soon as it is read."""
        self.start("dag-processor", AIRFLOW, "dag-processor")

    def triggerer_jobs(self) -> list[int]:
        """Return the IDs of the triggerers' jobs, in the order of their start."""
        query = "SELECT id FROM job WHERE job_type = 'TriggererJob' ORDER BY id"
        return [row.id for row in self.database.rows(query)]

    def task_logs(self, task_id: str, map_index: int | None = None) -> str:
        """Return the end of each log of a task, or of one of a mapped task."""
        folder = f"task_id={task_id}" if map_index is None else f"task_id={task_id}/map_index={map_index}"
        logs = Path(self.environ["AIRFLOW_HOME"]) / "logs"
        paths = logs.glob(f"*/*/{folder}/*.log*")
        return "\n".join(tail(path, str(path.relative_to(logs))) for path in sorted(paths))


@contextmanager
def started(
    cloud: CloudEmulator,
    *dags: Path,
    backup_task_ids: Sequence[str] = (),
    poke_interval: int = 2,
    triggerers: Sequence[str] = ("triggerer",),
    celery: bool = False,
    changed: Mapping[str, str] | None = None,
    keep_logs: Path | None = None,
) -> Iterator[Cluster]:
    """Give a new Airflow that runs, all but the DAG processor.

    :param cloud: the emulator, which gets a backup set for each ID
    :param dags: files of DAGs, which find the parameters that follow as ``CLUSTER_…`` in the environment
    :param backup_task_ids: IDs of the backup tasks
    :param poke_interval: seconds between polls
    :param triggerers: names of the triggerers
    :param celery: with CeleryExecutor, rather than LocalExecutor
    :param changed: further settings of Airflow
    :param keep_logs: a new folder to keep all logs in
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oceanbase-cluster-")))
        # PostgreSQL runs as another user, and has to get through to its own folder.
        folder.chmod(0o711)
        logs, home = folder / "logs", folder / "logs" / "airflow"
        (home / "dags").mkdir(parents=True)
        for dag in dags:
            shutil.copy(dag, home / "dags")
        if keep_logs:
            stack.callback(shutil.copytree, logs, keep_logs)
        for backup_task_id in backup_task_ids:
            cloud.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",))
        services = stack.enter_context(Processes(clean_environ(), logs))
        database = start_postgres(services, folder / "postgres")
        # A connection that is left open would keep PostgreSQL from stopping.
        stack.callback(database.engine.dispose)
        broker = start_redis(services, folder / "redis") if celery else None
        running = "PostgreSQL and Redis run" if celery else "PostgreSQL runs"
        say(f"{running}; the emulator listens on {cloud.url}")
        environ = {
            **services.environ,
            **base_settings(home, home / "dags"),
            **_settings(database, broker),
            **(changed or {}),
            "AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri,
            "CLUSTER_INSTANCE_ID": INSTANCE_ID,
            "CLUSTER_BACKUP_TASK_IDS": " ".join(backup_task_ids),
            "CLUSTER_POKE_INTERVAL": str(poke_interval),
        }
        cluster = stack.enter_context(Cluster(environ, logs, database, cloud, broker))
        cluster.start_all(triggerers)
        say("Airflow runs: " + ", ".join(cluster.names))
        yield cluster


def _settings(database: Database, broker: str | None) -> dict[str, str]:
    """Return Airflow's configuration; [triggerer] stays as shipped, so that its times are those of users."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = {
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if broker else "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
    }
    if broker:
        settings["AIRFLOW__CELERY__BROKER_URL"] = broker
        settings["AIRFLOW__CELERY__RESULT_BACKEND"] = f"db+{url}"
        settings["AIRFLOW__CELERY__WORKER_CONCURRENCY"] = str(SLOTS // len(WORKERS))
    return settings
