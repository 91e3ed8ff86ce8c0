"""Thousands of waits against a cloud that fails one request in ten: ``python -m benchmarks.soak``.

The emulator, in this process, fails by every means it has; the waits, real triggers, run in another. Each
backup becomes DONE at a moment of its own. No wait may be lost or end early, and memory and connections must
stay where they are once all has begun.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks.measures import CONN_ID, INSTANCE_ID, quantile
from benchmarks.processes import Child

if TYPE_CHECKING:
    from airflow_provider_oceanbase.testing import SeenRequest

POKE_INTERVAL_SECONDS = 10
FAULT_SHARE = 0.1
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
    """A wait went wrong, or something leaked."""


class Cloud:
    """The emulator, its faults, and when each backup became DONE."""

    def __init__(self, seed: int, waits: int, seconds: float) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.answers: dict[str, int] = {}
        self.emulator = CloudEmulator(nonce_seconds=30, on_request=self._seen)
        self.done_at = {f"bak-{number}": self._random.uniform(0.1, 0.9) * seconds for number in range(waits)}
        for backup_task_id in self.done_at:
            self.emulator.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",), tenants=None)

    def _seen(self, request: SeenRequest) -> None:
        kind = request.backup_status or f"HTTP {request.status or 'dropped'}"
        with self._lock:
            self.answers[kind] = self.answers.get(kind, 0) + 1
            if request.status != 401 and self._random.random() < FAULT_SHARE:
                self.emulator.fail(**self._random.choice(FAULTS))

    def finish_backups(self, began: float) -> None:
        """Let each backup be DONE when its time has come."""
        for backup_task_id, seconds in sorted(self.done_at.items(), key=lambda item: item[1]):
            # A timetable, not a condition to wait for.
            time.sleep(max(began + seconds - time.monotonic(), 0))
            self.emulator.set_status(INSTANCE_ID, backup_task_id, "DONE")
            self.done_at[backup_task_id] = time.time()


def soak(cloud: Cloud, waits: int, seconds: float) -> dict[str, Any]:
    """Run the waits to their end; return what their process says of them."""
    environ = dict(os.environ) | {
        f"AIRFLOW_CONN_{CONN_ID.upper()}": cloud.emulator.connection_uri,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "NO_PROXY": "127.0.0.1",
    }
    arguments = (str(waits), str(POKE_INTERVAL_SECONDS), str(seconds))
    with cloud.emulator, Child("benchmarks.soak_waits", *arguments, environ=environ) as child:
        child.said()
        print(f"soak: {waits:,} waits for {seconds:.0f} s, one request in ten fails", flush=True)
        cloud.finish_backups(time.monotonic())
        return child.said(patience=seconds)


def check(cloud: Cloud, said: dict[str, Any]) -> dict[str, str]:
    """Return the results in words.

    :raises SoakError: a wait was lost or ended early, or something leaked
    """
    ended = {event["id"]: event for event in said["events"]}
    lost = [name for name in cloud.done_at if ended.get(name, {}).get("status") != "DONE"]
    early = [name for name, event in ended.items() if event["at"] < cloud.done_at[name]]
    late = [event["at"] - cloud.done_at[name] for name, event in ended.items()]
    samples = said["samples"]
    # The first fifth warms up; after it most waits still wait, so that memory may only fall.
    warm, peak = samples[len(samples) // 5], max(samples[len(samples) // 5 :])
    if lost or early:
        raise SoakError(f"{len(lost)} waits lost {lost[:3]}, {len(early)} ended early {early[:3]}")
    if peak > 1.05 * warm:
        raise SoakError(f"memory grew from {warm / 2**20:.1f} to {peak / 2**20:.1f} MiB")
    if said["clients"] or said["files"] > said["files_before"] or said["connections"] > 32:
        raise SoakError(f"left open: { {key: said[key] for key in ('clients', 'files', 'connections')} }")
    total = sum(cloud.answers.values())
    return {
        "waits": f"{len(ended):,}, none lost, none early",
        "seen DONE after": f"{quantile(late, 0.5):.1f} s (p50), {quantile(late, 0.99):.1f} s (p99)",
        "requests": f"{total:,}: "
        + ", ".join(f"{count:,} {kind}" for kind, count in sorted(cloud.answers.items())),
        "memory": f"{warm / 2**20:.1f} MiB warm, {peak / 2**20:.1f} MiB at most after that",
        "connections": f"{said['connections']} at most, {said['files'] - said['files_before']} left open",
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--waits", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="for how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of faults and ends (default: %(default)s)")
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
