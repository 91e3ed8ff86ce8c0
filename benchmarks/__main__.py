"""Measure, print the tables, and update ``README.md`` and ``chart.svg``: ``python -m benchmarks``."""

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

#: A poll is on time if it is at most this late.
TOLERANCE_SECONDS = 1.0
JITTER_SECONDS = 0.005
IMPORTS = (
    "airflow_provider_oceanbase.sensors",
    "airflow.providers.standard.sensors.time_delta",
    "airflow.providers.http.sensors.http",
    "requests",
)


@dataclass(frozen=True)
class Extent:
    """The size of a run; durations are in seconds."""

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
    # In shorter rounds, a full garbage collection occurs in some, but not in others.
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
    """Print what is measured now."""
    print(f"bench: {what}", flush=True)


def measure_polling(folder: Path, extent: Extent) -> dict[str, Polling]:
    """Let the clients poll in turns, so that changes of the machine's load affect all of them."""
    with ExitStack() as stack:
        digest, without = (stack.enter_context(Server(kind, folder)) for kind in ("rising", "open"))
        servers = {name: without if name == "http_sensor" else digest for name in CONTENDERS}
        pairs = {
            name: (server, stack.enter_context(client(server, "benchmarks.contenders", name)))
            for name, server in servers.items()
        }
        for _, child in pairs.values():
            child.receive()
        rounds = [
            {name: poll(server, child, extent.poll_seconds) for name, (server, child) in pairs.items()}
            for _ in range(extent.rounds)
        ]
    return {name: Polling.of([measured[name] for measured in rounds]) for name in CONTENDERS}


def poll(server: Server, child: Child, seconds: float) -> dict[str, float]:
    """Let one client poll; it opens connections and gets nonces before the measurement."""
    child.request(str(seconds / 4))
    server.request("reset")
    cpu = child.request(str(seconds))["cpu"]
    return {"cpu": cpu, **server.request("report 0")}


def measure_refusals(folder: Path, extent: Extent) -> dict[str, Refusals]:
    """Count refused polls with a correct key, by client and kind of server."""
    counts = {}
    for name in ("lanes", "shared"):
        for kind in ("rising", "once"):
            with (
                Server(kind, folder, JITTER_SECONDS) as server,
                client(server, "benchmarks.refusals", name, str(extent.clients)) as child,
            ):
                counts[f"{name} {kind}"] = Refusals(**child.receive())
    return counts


def http_sensor_error(folder: Path) -> str:
    """Return the error of ``HttpSensor(deferrable=True)`` with a server that requires digest."""
    with (
        Server("rising", folder) as server,
        client(server, "benchmarks.refusals", "http_sensor", "0") as child,
    ):
        return str(child.receive()["error"])


def measure_waits(folder: Path, extent: Extent, name: str, waits: int, window: float) -> Waits:
    """Run many waits in one loop."""
    arguments = map(str, (waits, extent.poke_interval, extent.settle, window))
    with Server("rising", folder) as server, client(server, "benchmarks.waits", name, *arguments) as child:
        child.receive()
        server.request("reset")
        measured: dict[str, Any] = child.receive()
        seen = server.request(f"report {extent.poke_interval + TOLERANCE_SECONDS}")
    return Waits.of(waits, extent.poke_interval, measured, seen)


def measure_imports(folder: Path, extent: Extent) -> dict[str, Import]:
    """Import each module in new processes; the first one compiles it, and is not counted."""
    seconds: dict[str, list[float]] = {module: [] for module in IMPORTS}
    with Server("open", folder) as server:
        for turn in range(extent.rounds + 1):
            for module in IMPORTS:
                with client(server, "benchmarks.imports", module) as child:
                    measured = child.receive()["seconds"]
                if turn:
                    seconds[module].append(measured)
    return {module: Import(median(values), len(values)) for module, values in seconds.items()}


def foreign_cores(began: float, busy: float) -> float:
    """Return how many cores other processes used since the start."""
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(busy_seconds() - busy - own, 0.0) / (time.monotonic() - began)


def busy_seconds() -> float:
    """Return the CPU seconds of all processes of the machine."""
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
        refusals, http_sensor = measure_refusals(folder, extent), http_sensor_error(folder)
        progress(f"{extent.waits} waits in one loop")
        waits = measure_waits(folder, extent, "triggers", extent.waits, extent.window)
        progress(f"{extent.waits} bare coroutines that sleep and poll")
        bare_waits = measure_waits(folder, extent, "bare", extent.waits, extent.window)
        progress(f"{extent.session_waits} waits with a session each")
        # Only their memory and connections are measured, which do not change.
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
        bare_waits=bare_waits,
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
    parser.add_argument("--quick", action="store_true", help="a short run that writes no file")
    quick = parser.parse_args().quick
    results = run(QUICK if quick else FULL)
    text, picture = report.markdown(results), chart.svg(results)
    print(f"\n{text}")
    if quick:
        print("bench: a quick run only tests the benchmark; its numbers mean little, and no file was written")
        return
    report.update_readme(text)
    chart.PATH.write_text(picture)
    print(f"bench: updated {report.README.name} and {chart.PATH.name} in {report.README.parent}")


if __name__ == "__main__":
    # SIGTERM cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
