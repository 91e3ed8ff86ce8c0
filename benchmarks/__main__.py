"""Measure, print the tables, and renew ``README.md`` and ``chart.svg`` here: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks import chart, report
from benchmarks.contenders import CONTENDERS
from benchmarks.measures import median
from benchmarks.processes import BenchmarkError, Child, Server, client, make_certificates
from benchmarks.results import Import, Polling, Refusals, Results, Waits

#: A poll is on time when it comes no later than this after it was due.
TOLERANCE_SECONDS = 1.0
JITTER_SECONDS = 0.005
IMPORTS = ("airflow_provider_oceanbase.sensors", "airflow.providers.http.sensors.http", "requests")


@dataclass(frozen=True)
class Extent:
    """How much is measured; seconds where no other unit is named."""

    rounds: int
    poll_seconds: float
    clients: int
    waits: int
    poke_interval: float
    settle: float
    window: float
    session_waits: int
    shared_waits: int


FULL = Extent(
    rounds=7,
    # In a shorter round the garbage collector looks through all of Airflow's objects, or does not.
    poll_seconds=3.0,
    clients=10,
    waits=10_000,
    poke_interval=10.0,
    settle=15.0,
    window=60.0,
    session_waits=500,
    shared_waits=1_000,
)
QUICK = Extent(
    rounds=3,
    poll_seconds=0.3,
    clients=2,
    waits=500,
    poke_interval=2.0,
    settle=3.0,
    window=5.0,
    session_waits=50,
    shared_waits=100,
)


def progress(what: str) -> None:
    """Tell what is measured now."""
    print(f"bench: {what}", flush=True)


def measure_polling(folder: Path, extent: Extent) -> dict[str, Polling]:
    """Let every client poll, in turns, so that a change of the machine's mood meets all of them."""
    with ExitStack() as stack:
        digest, without = (stack.enter_context(Server(kind, folder)) for kind in ("rising", "open"))
        servers = {name: without if name == "http_sensor" else digest for name in CONTENDERS}
        pairs = {
            name: (server, stack.enter_context(client(server, "benchmarks.contenders", name)))
            for name, server in servers.items()
        }
        for _, child in pairs.values():
            child.said()
        rounds = [
            {name: poll(server, child, extent.poll_seconds) for name, (server, child) in pairs.items()}
            for _ in range(extent.rounds)
        ]
    return {name: Polling.of([measured[name] for measured in rounds]) for name in CONTENDERS}


def poll(server: Server, child: Child, seconds: float) -> dict[str, float]:
    """Let one client poll; connections and nonces are there before the measured time begins."""
    child.ask(str(seconds / 4))
    server.ask("reset")
    cpu = child.ask(str(seconds))["cpu"]
    return {"cpu": cpu, **server.ask("report 0")}


def measure_refusals(folder: Path, extent: Extent) -> dict[str, Refusals]:
    """Count what a correct key is refused, by client and kind of server."""
    counts = {}
    for who in ("lanes", "shared"):
        for kind in ("rising", "once"):
            with (
                Server(kind, folder, JITTER_SECONDS) as server,
                client(server, "benchmarks.refusals", who, str(extent.clients)) as child,
            ):
                counts[f"{who} {kind}"] = Refusals(**child.said())
    return counts


def ask_http_sensor(folder: Path) -> str:
    """Return what ``HttpSensor(deferrable=True)`` says to a server that wants digest."""
    with (
        Server("rising", folder) as server,
        client(server, "benchmarks.refusals", "http_sensor", "0") as child,
    ):
        return str(child.said()["error"])


def measure_waits(folder: Path, extent: Extent, name: str, waits: int, window: float) -> Waits:
    """Run many waits in one loop."""
    arguments = map(str, (waits, extent.poke_interval, extent.settle, window))
    with Server("rising", folder) as server, client(server, "benchmarks.waits", name, *arguments) as child:
        child.said()
        server.ask("reset")
        measured: dict[str, Any] = child.said()
        seen = server.ask(f"report {extent.poke_interval + TOLERANCE_SECONDS}")
    return Waits.of(waits, extent.poke_interval, measured, seen)


def measure_imports(folder: Path, extent: Extent) -> dict[str, Import]:
    """Import each module in new processes; the first compiles, and does not count."""
    seconds: dict[str, list[float]] = {module: [] for module in IMPORTS}
    with Server("open", folder) as server:
        for turn in range(extent.rounds + 1):
            for module in IMPORTS:
                with client(server, "benchmarks.imports", module) as child:
                    said = child.said()["seconds"]
                if turn:
                    seconds[module].append(said)
    return {module: Import(median(values), len(values)) for module, values in seconds.items()}


def foreign_cores(began: float, busy: float) -> float:
    """Return how many cores other processes kept busy since then."""
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(busy_seconds() - busy - own, 0.0) / (time.monotonic() - began)


def busy_seconds() -> float:
    """Return the CPU seconds that the machine has spent on anything."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def run(extent: Extent) -> Results:
    """Measure everything."""
    began, busy = time.monotonic(), busy_seconds()
    with tempfile.TemporaryDirectory(prefix="oceanbase-bench-") as name:
        folder = Path(name)
        make_certificates(folder)
        progress(f"CPU and round trips per poll, {len(CONTENDERS)} clients in turns, {extent.rounds} rounds")
        polling = measure_polling(folder, extent)
        progress("401s with 40 polls in flight")
        refusals, http_sensor = measure_refusals(folder, extent), ask_http_sensor(folder)
        progress(f"{extent.waits} waits in one loop")
        waits = measure_waits(folder, extent, "triggers", extent.waits, extent.window)
        progress(f"{extent.session_waits} waits with a session each")
        # Of them memory and connections count alone, and those stay as they are.
        sessions = measure_waits(folder, extent, "sessions", extent.session_waits, extent.poke_interval)
        progress(f"{extent.shared_waits} waits for one backup set, {extent.shared_waits} on one instance")
        one_set, checkpoints = (
            measure_waits(folder, extent, name, extent.shared_waits, extent.window)
            for name in ("one_set", "checkpoints")
        )
        progress("imports")
        imports = measure_imports(folder, extent)
    return Results(
        polling=polling,
        refusals=refusals,
        http_sensor=http_sensor,
        waits=waits,
        sessions=sessions,
        one_set=one_set,
        checkpoints=checkpoints,
        imports=imports,
        poll_seconds=extent.poll_seconds,
        window=extent.window,
        tolerance=TOLERANCE_SECONDS,
        jitter=JITTER_SECONDS,
        foreign_cores=foreign_cores(began, busy),
        took=time.monotonic() - began,
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure little, and write no file")
    quick = parser.parse_args().quick
    results = run(QUICK if quick else FULL)
    text, picture = report.markdown(results), chart.svg(results)
    print(f"\n{text}")
    if quick:
        print("bench: a quick run proves that the benchmark runs, not what it measures; no file was written")
        return
    report.renew_readme(text)
    chart.PATH.write_text(picture)
    print(f"bench: renewed {report.README.name} and {chart.PATH.name} in {report.README.parent}")


if __name__ == "__main__":
    # Whoever ends it early gets the same clean-up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
