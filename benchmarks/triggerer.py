"""Measure many waits in one real triggerer: ``python -m benchmarks.triggerer``.

A whole Airflow on PostgreSQL, as ``make cluster`` has it, starts the waits in its triggerer, without workers.
Once all have polled, the CPU and memory of the triggerer's processes are measured, and how late polls are.
Then the same with triggers that poll by aiohttp alone, and with triggers that only sleep: the differences are
what of it is the provider's, and what is aiohttp's.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from harness.cluster import Cluster, started
from harness.command import DONE, cluster_options, run, say
from sqlalchemy import text

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks import report
from benchmarks.processes import ROOT, Server, make_certificates

INTERVAL = 10.0
TOLERANCE_SECONDS = 1.0
SETTLING_SECONDS = 2.5 * INTERVAL
WAITS = (1_000, 3_000)
KINDS = {"waits": "**this provider's waits**", "bare": "poll by aiohttp alone", "clock": "only sleep"}
HEAD = ("triggers", "that", "CPU of the triggerer", "memory of another", "polls", "late")
BEGIN = "<!-- measured in a triggerer: begin, written by make bench-triggerer -->\n"


def processes() -> list[psutil.Process]:
    """Return the processes of the triggerer: its supervisor, and the one with the event loop."""
    for child in psutil.Process().children():
        if "triggerer" in " ".join(child.cmdline()):
            return [child, *child.children(recursive=True)]
    return []


def cpu_seconds() -> float:
    """Return what these processes have used."""
    return sum(sum(one.cpu_times()[:2]) for one in processes())


def resident() -> float:
    """Return the resident bytes of the process with the event loop."""
    return sum(one.memory_info().rss for one in processes()[1:])


def begin(cluster: Cluster, waits: int) -> None:
    """Wait until so many waits are in the triggerer, and have settled."""
    query = "SELECT count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL"
    began = time.monotonic()

    def all_run() -> bool:
        return int(cluster.database.rows(query)[0].n) >= waits

    cluster.wait_for(f"{waits} waits are in the triggerer", 240, all_run)
    say(f"{waits} waits are in the triggerer after {time.monotonic() - began:.0f} s")
    # Its runner may take a while to start them, and each polls first within an interval.
    time.sleep(SETTLING_SECONDS)


def measure(server: Server, cluster: Cluster, waits: int, window: float) -> dict[str, float]:
    """Start half of the waits, then the others, and measure once all run."""
    cluster.start_dags()
    begin(cluster, waits // 2)
    half = resident()
    with cluster.database.engine.begin() as connection:
        connection.execute(text("UPDATE dag SET is_paused = false"))
    begin(cluster, waits)
    server.request("reset")
    cpu, at = cpu_seconds(), time.monotonic()
    time.sleep(window)
    core = (cpu_seconds() - cpu) / (time.monotonic() - at)
    seen = server.request(f"report {INTERVAL + TOLERANCE_SECONDS}")
    return {
        "core": core,
        "memory": (resident() - half) / (waits - waits // 2),
        "rate": seen["polls"] / (time.monotonic() - at),
        "late": seen["late"],
        "latest": max(seen["pause_max"] - INTERVAL, 0.0),
        "sets": seen["paths"],
    }


def measured(kind: str, waits: int, window: float, logs: Path | None) -> dict[str, float]:
    """Run an Airflow for one kind of trigger."""
    with tempfile.TemporaryDirectory() as name, CloudEmulator() as cloud:
        folder = Path(name)
        make_certificates(folder)
        with Server("rising", folder) as server:
            names = ("AIRFLOW_CONN_BENCHMARK", "SSL_CERT_FILE", "BENCHMARK_ORIGIN", "BENCHMARK_BUNDLE")
            environ = server.environ()
            changed = {
                **{name: environ[name] for name in names},
                "AIRFLOW__TRIGGERER__CAPACITY": str(waits + 100),
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(waits),
                "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "0",
                "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
                "PYTHONPATH": str(ROOT),
                "BENCHMARK_WAITS": str(waits),
                "BENCHMARK_KIND": kind,
                "BENCHMARK_INTERVAL": str(INTERVAL),
            }
            dag = Path(__file__).with_name("many_dag.py")
            with started(cloud, dag, changed=changed, keep_logs=logs and logs / kind) as cluster:
                return measure(server, cluster, waits, window)


def rows(waits: int, window: float, logs: Path | None) -> list[tuple[str, ...]]:
    """Measure each kind of trigger; return the lines of the table."""
    lines = []
    for kind, words in KINDS.items():
        say(f"{waits:,} triggers: {words.strip('*')}")
        seen = measured(kind, waits, window, logs and logs / str(waits))
        polls = seen["rate"] > 0
        lines.append(
            (
                f"{waits:,}",
                words,
                f"{seen['core']:.1%} of a core",
                f"{seen['memory'] / 1024:.1f} KiB",
                f"{seen['rate']:,.0f} a second for {seen['sets']:,.0f} sets" if polls else "none",
                f"{seen['late']:,.0f}, the latest by {seen['latest']:.2f} s" if polls else "",
            )
        )
    return lines


def main() -> str:
    """Measure, print the table, and update ``README.md``."""
    parser = cluster_options(__doc__)
    parser.add_argument(
        "--waits", type=int, nargs="+", help="how many; prints, and writes no file (default: 1000, then 3000)"
    )
    parser.add_argument("--window", type=float, default=30.0, help="seconds (default: %(default)s)")
    options = parser.parse_args()
    lines = [line for waits in options.waits or WAITS for line in rows(waits, options.window, options.logs)]
    table = "\n".join(report.table(HEAD, lines))
    report.publish(table, BEGIN, write=not options.waits)
    return DONE


if __name__ == "__main__":
    run(main)
