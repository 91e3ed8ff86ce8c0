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

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks import report
from benchmarks.processes import ROOT, Server, make_certificates

INTERVAL = 10.0
TOLERANCE_SECONDS = 1.0
WAITS = (1_000, 3_000)
KINDS = {"waits": "**this provider's waits**", "bare": "poll by aiohttp alone", "clock": "only sleep"}
HEAD = ("triggers", "that", "CPU of the triggerer", "memory, each", "polls", "late")
BEGIN = "<!-- measured in a triggerer: begin, written by make bench-triggerer -->\n"


def processes() -> list[psutil.Process]:
    """Return the processes of the triggerer: its supervisor, and the one with the event loop."""
    for child in psutil.Process().children():
        if "triggerer" in " ".join(child.cmdline()):
            return [child, *child.children(recursive=True)]
    return []


def used() -> tuple[float, float]:
    """Return CPU seconds and resident bytes of these processes."""
    alive = processes()
    return sum(sum(one.cpu_times()[:2]) for one in alive), sum(one.memory_info().rss for one in alive)


def measure(server: Server, cluster: Cluster, waits: int, window: float) -> dict[str, float]:
    """Start the waits, and measure once all run."""
    _, idle = used()
    began = time.monotonic()
    cluster.start_dags()
    query = "SELECT count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL"

    def all_run() -> bool:
        return int(cluster.database.rows(query)[0].n) >= waits

    cluster.wait_for(f"all {waits} waits are in the triggerer", 240, all_run)
    begun = time.monotonic() - began
    say(f"all {waits} waits are in the triggerer after {begun:.0f} s")
    # Its runner may take a while to start them, and each polls first within an interval.
    time.sleep(2 * INTERVAL)
    server.request("reset")
    cpu, _ = used()
    at = time.monotonic()
    time.sleep(window)
    after, memory = used()
    seconds = time.monotonic() - at
    seen = server.request(f"report {INTERVAL + TOLERANCE_SECONDS}")
    return {
        "begun": begun,
        "core": (after - cpu) / seconds,
        "memory": (memory - idle) / waits,
        "rate": seen["polls"] / seconds,
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
    text = "\n".join(report.table(HEAD, lines))
    print(f"\n{text}\n")
    if not options.waits:
        report.update_readme(f"{text}\n", BEGIN)
    return DONE


if __name__ == "__main__":
    run(main)
