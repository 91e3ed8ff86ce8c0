"""Thousands of waits against a cloud that fails one request in ten: ``make soak``.

The emulator runs in this process, and fails; a front before it, with a proxy and TLS, plays each fault of the
tests' table, and twice answers nothing at all. The waits, real triggers, run in another process. Each backup
becomes DONE at its own time. No wait may be lost, end early or be stuck, memory and connections must not grow
once all waits have begun, and nothing may be left of a fault: no lane, connection, session or task.

A fault that ends a wait, such as HTTP 404, has a wait of its own, which must end with its error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing import CloudEmulator
from benchmarks.measures import INSTANCE_ID
from benchmarks.processes import BenchmarkError, Child
from benchmarks.soak_checks import GRACE_SECONDS, problems, results
from benchmarks.soak_front import DIRECT, ENDING, PASSING, PROXY, TUNNEL, Front

if TYPE_CHECKING:
    from airflow_provider_oceanbase.testing import SeenRequest

POKE_INTERVAL_SECONDS = 10
#: Together one request in ten.
FAULT_SHARE, FRONT_SHARE = 0.04, 0.06
#: Waits that a triggerer gives up, and another takes over.
MOVED_SHARE = 0.1
#: Short, so that a request without an answer keeps its lane from others for a moment only.
TIMEOUT_SECONDS = 2
#: When the front falls silent, as parts of the duration, and for how long: all lanes hang. The first time is
#: part of the warm-up: then each connection has been open once.
SILENCES, SILENCE_SECONDS = (0.1, 0.6), 3 * TIMEOUT_SECONDS
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


class Cloud:
    """The emulator, its faults, and when each backup became DONE."""

    def __init__(self, seed: int, waits: int, seconds: float) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.responses: dict[str, int] = {}
        self.emulator = CloudEmulator(nonce_seconds=30, on_request=self._seen)
        self.seconds = seconds
        #: The fault that ends a wait, by its backup task ID.
        self.ends = {f"end-{number}": name for number, name in enumerate(ENDING)}
        ids = [*(f"bak-{number}" for number in range(waits)), *self.ends]
        #: When each backup is to be DONE, in seconds from the begin; and when it became so, since the epoch.
        self._planned = {backup_task_id: self._random.uniform(0.1, 0.9) * seconds for backup_task_id in ids}
        self.done_at: dict[str, float] = {}
        self._silences: list[tuple[float, float]] = []
        self.front = Front(
            self.emulator.port,
            FRONT_SHARE,
            seed,
            ends=self.ends,
            is_complete=self.done_at.__contains__,
            silences=self._silences,
        )
        for backup_task_id in ids:
            self.emulator.add_backup_set(INSTANCE_ID, backup_task_id, statuses=("DOING",), tenants=None)

    @property
    def waits(self) -> dict[str, str]:
        """The connection ID of each wait, by its backup task ID."""
        return {
            backup_task_id: self.front.route(backup_task_id, number)
            for number, backup_task_id in enumerate(self._planned)
        }

    @property
    def moved(self) -> dict[str, float]:
        """When some waits are moved to another triggerer, by backup task ID: half of them in a silence."""
        chosen = self._random.sample(list(self._planned), int(MOVED_SHARE * len(self._planned)))
        moments = [self._random.random() * self.seconds for _ in chosen[::2]]
        moments += [
            self._random.choice(SILENCES) * self.seconds + self._random.random() * SILENCE_SECONDS
            for _ in chosen[1::2]
        ]
        return dict(zip(chosen, moments, strict=True))

    def outcome(self, backup_task_id: str) -> str:
        """Return how a wait has to end: with a status, or an error."""
        if backup_task_id not in self.ends:
            return "DONE"
        error = ENDING[self.ends[backup_task_id]].error
        assert error
        return error.__name__

    def _seen(self, request: SeenRequest) -> None:
        kind = request.backup_status or f"HTTP {request.status or 'dropped'}"
        with self._lock:
            self.responses[kind] = self.responses.get(kind, 0) + 1
            if request.status != 401 and self._random.random() < FAULT_SHARE:
                self.emulator.fail(**self._random.choice(FAULTS))

    def run(self) -> threading.Thread:
        """Set each backup to DONE at its time, in a thread, until ``stop()``."""
        began = time.monotonic()
        self._silences += [
            (began + share * self.seconds, began + share * self.seconds + SILENCE_SECONDS)
            for share in SILENCES
        ]
        thread = threading.Thread(target=self._finish_backups, args=(began,))
        thread.start()
        return thread

    def stop(self) -> None:
        """Finish no more backups."""
        self._stopped.set()

    def _finish_backups(self, began: float) -> None:
        for backup_task_id, seconds in sorted(self._planned.items(), key=lambda item: item[1]):
            if self._stopped.wait(max(began + seconds - time.monotonic(), 0)):
                return
            # Before it is DONE: no wait can see it earlier.
            self.done_at[backup_task_id] = time.time()
            self.emulator.set_status(INSTANCE_ID, backup_task_id, "DONE")


def environment(cloud: Cloud) -> dict[str, str]:
    """Return the environment of the waits: the connections to the front."""
    key = {name: cloud.emulator.connection[name] for name in ("conn_type", "login", "password")}
    connections = {}
    for conn_id, fields in cloud.front.connections.items():
        extra = {"timeout": TIMEOUT_SECONDS} | {name: fields[name] for name in fields if name != "host"}
        connection = key | {"host": fields["host"], "extra": extra}
        connections[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return connections | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL", "NO_PROXY": "127.0.0.1"}


def soak(cloud: Cloud) -> dict[str, Any]:
    """Run the waits to their end; return the report of their process."""
    with (
        cloud.emulator,
        cloud.front,
        Child("benchmarks.soak_waits", environ=dict(os.environ) | environment(cloud)) as child,
    ):
        plan = {
            "waits": cloud.waits,
            "anchors": [DIRECT, PROXY, TUNNEL],
            "moved": cloud.moved,
            "poke_interval": POKE_INTERVAL_SECONDS,
            "seconds": cloud.seconds + GRACE_SECONDS,
        }
        child.request(json.dumps(plan))
        count = f"{len(cloud.waits):,} waits for {cloud.seconds:.0f} s"
        print(f"soak: {count}, one request in ten fails", flush=True)
        finishing = cloud.run()
        try:
            return child.receive(timeout=cloud.seconds + 2 * GRACE_SECONDS)
        finally:
            cloud.stop()
            finishing.join()


def needed_waits(seconds: float) -> int:
    """Return how many waits it takes to meet each fault."""
    # A wait takes half of the duration, and each fault is to be met about twice.
    polls_per_wait = max(seconds / 2 / POKE_INTERVAL_SECONDS, 1.0)
    return math.ceil(2 * len(PASSING) / FRONT_SHARE / polls_per_wait)


def main() -> None:
    """Run the soak test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--waits", type=int, default=2000, help="number of waits (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="duration (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed of faults and ends (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.waits < (needed := needed_waits(options.seconds)):
        parser.error(
            f"{options.waits} waits for {options.seconds:g} s send too few requests to meet each of "
            f"{len(PASSING)} faults; they must be {needed} or more"
        )
    cloud = Cloud(options.seed, options.waits, options.seconds)
    try:
        report = soak(cloud)
    except BenchmarkError as error:
        sys.exit(f"soak: {error}")
    if found := problems(cloud, report):
        sys.exit("\n".join(f"soak: {problem}" for problem in found))
    for name, value in results(cloud, report).items():
        print(f"  {name:<16} {value}")


if __name__ == "__main__":
    main()
