"""Thousands of waits against a cloud that fails one request in ten: ``python -m benchmarks.soak``.

The emulator runs in this process, and fails in every way that it supports; a front before it misbehaves in
others. The waits, real triggers, run in another process. Each backup becomes DONE at its own time. No wait
may be lost or end early, memory and connections must not grow once all waits have begun, and nothing may be
left of a fault: no lane, connection, session or task.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks.measures import CONN_ID, INSTANCE_ID, quantile
from benchmarks.processes import Child
from benchmarks.soak_front import Front

if TYPE_CHECKING:
    from airflow_provider_oceanbase.testing import SeenRequest

POKE_INTERVAL_SECONDS = 10
#: Together one request in ten.
FAULT_SHARE, FRONT_SHARE = 0.06, 0.04
#: Short, so that a request without an answer keeps its lane from others for a moment only.
TIMEOUT_SECONDS = 2
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 500},
    {"status": 502, "body": b"<html>Bad Gateway</html>"},
    {"status": 503, "headers": {"Retry-After": "15"}},
    {"status": 429, "headers": {"Retry-After": "20"}},
    {"status": 200, "body": b"<html>Please log in</html>"},
    {"status": 200, "body": b'{"success": true, "data": {"status": "DO'},
    {"status": 200, "body": b'{"success": true, "data": {"status": null}}'},
    {"drop": True},
)


class SoakError(Exception):
    """A wait failed, or something leaked."""


class Cloud:
    """The emulator, its faults, and when each backup became DONE."""

    def __init__(self, seed: int, waits: int, seconds: float) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.responses: dict[str, int] = {}
        self.emulator = CloudEmulator(nonce_seconds=30, on_request=self._seen)
        self.front = Front(self.emulator.port, FRONT_SHARE, seed)
        self.done_at = {f"bak-{number}": self._random.uniform(0.1, 0.9) * seconds for number in range(waits)}
        for backup_task_id in self.done_at:
            self.emulator.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",), tenants=None)

    def _seen(self, request: SeenRequest) -> None:
        kind = request.backup_status or f"HTTP {request.status or 'dropped'}"
        with self._lock:
            self.responses[kind] = self.responses.get(kind, 0) + 1
            if request.status != 401 and self._random.random() < FAULT_SHARE:
                self.emulator.fail(**self._random.choice(FAULTS))

    def finish_backups(self, began: float) -> None:
        """Set each backup to DONE at its time."""
        for backup_task_id, seconds in sorted(self.done_at.items(), key=lambda item: item[1]):
            time.sleep(max(began + seconds - time.monotonic(), 0))
            self.emulator.set_status(INSTANCE_ID, backup_task_id, "DONE")
            self.done_at[backup_task_id] = time.time()


def environment(cloud: Cloud) -> dict[str, str]:
    """Return the environment of the waits: the connection to the front."""
    connection = cloud.emulator.connection | {"port": cloud.front.port, "extra": {"timeout": TIMEOUT_SECONDS}}
    return {
        f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "NO_PROXY": "127.0.0.1",
    }


def soak(cloud: Cloud, waits: int, seconds: float) -> dict[str, Any]:
    """Run the waits to their end; return the report of their process."""
    arguments = (str(waits), str(POKE_INTERVAL_SECONDS), str(seconds))
    with (
        cloud.emulator,
        cloud.front,
        Child("benchmarks.soak_waits", *arguments, environ=dict(os.environ) | environment(cloud)) as child,
    ):
        child.receive()
        print(f"soak: {waits:,} waits for {seconds:.0f} s, one request in ten fails", flush=True)
        cloud.finish_backups(time.monotonic())
        return child.receive(timeout=seconds)


def check(cloud: Cloud, report: dict[str, Any]) -> dict[str, str]:
    """Return the results in words.

    :raises SoakError: a wait was lost or ended early, or something leaked
    """
    ended = {event["id"]: event for event in report["events"]}
    lost = [name for name in cloud.done_at if ended.get(name, {}).get("status") != "DONE"]
    early = [name for name, event in ended.items() if event["at"] < cloud.done_at[name]]
    late = [event["at"] - cloud.done_at[name] for name, event in ended.items()]
    samples = report["samples"]
    left_open = report["files"] - report["files_before"]
    # The first fifth is warm-up. After it, most waits are still running, so memory must not grow.
    warm, peak = samples[len(samples) // 5], max(samples[len(samples) // 5 :])
    if lost or early:
        raise SoakError(f"{len(lost)} waits lost {lost[:3]}, {len(early)} ended early {early[:3]}")
    if peak > 1.05 * warm:
        raise SoakError(f"memory grew from {warm / 2**20:.1f} to {peak / 2**20:.1f} MiB")
    if report["before"] != report["after"] or left_open > 0 or report["connections"] > 32:
        left = {key: report[key] for key in ("before", "after", "files_before", "files", "connections")}
        raise SoakError(f"left over: {left}")
    total = sum(cloud.responses.values())
    return {
        "waits": f"{len(ended):,}, none lost, none early",
        "seen DONE after": f"{quantile(late, 0.5):.1f} s (p50), {quantile(late, 0.99):.1f} s (p99)",
        "requests": f"{total:,}: "
        + ", ".join(f"{count:,} {kind}" for kind, count in sorted(cloud.responses.items())),
        "front": ", ".join(f"{count:,} {kind}" for kind, count in cloud.front.played.items()),
        "left over": f"nothing: {report['after']}",
        "memory": f"{warm / 2**20:.1f} MiB warm, {peak / 2**20:.1f} MiB at most after that",
        "connections": f"{report['connections']} at most, {left_open} left open",
    }


def main() -> None:
    """Run the soak test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--waits", type=int, default=2000, help="number of waits (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="duration (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed of faults and ends (default: %(default)s)"
    )
    options = parser.parse_args()
    cloud = Cloud(options.seed, options.waits, options.seconds)
    try:
        results = check(cloud, soak(cloud, options.waits, options.seconds))
    except SoakError as error:
        sys.exit(f"soak: {error}")
    for name, value in results.items():
        print(f"  {name:<16} {value}")


if __name__ == "__main__":
    main()
