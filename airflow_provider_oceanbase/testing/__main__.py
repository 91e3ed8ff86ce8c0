"""Run the emulator: ``python -m airflow_provider_oceanbase.testing --port 8199``."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading

from airflow_provider_oceanbase.testing import CloudEmulator, SeenRequest

CONNECTION_VARIABLE = "AIRFLOW_CONN_OCEANBASE_DEFAULT"
INSTANCE_ID = "ob-demo"
BACKUP_SETS = {
    "bak-demo": ("BEGINNING", "DOING", "DONE"),
    "bak-failed": ("BEGINNING", "DOING", "FAILED"),
    "bak-stuck": ("DOING",),
}
TENANTS = ("orders", "billing", "analytics")
START = {"backupObjectType": "tenant", "backupPolicy": "manual"}
ENDPOINTS = """\
endpoints:
  GET  /api/v2/instances
  GET  /api/v2/instances/{instanceId}/backup/data/sets
  GET  /api/v2/instances/{instanceId}/backup/data/sets/{backupTaskId}
  POST /api/v2/instances/{instanceId}/backup/data/start

It prints the Airflow connection, a curl command for each of the last three endpoints, and a line for each
request. It keeps its state in memory only."""


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    options = _parser().parse_args()
    try:
        cloud = CloudEmulator(
            options.host,
            options.port,
            access_key_id=options.access_key_id,
            access_key_secret=options.access_key_secret,
            algorithms=options.algorithm or ("MD5",),
            seconds_per_status=options.seconds,
            on_request=_print_request,
        )
    except (OSError, OverflowError) as error:
        address = f"{options.host}:{options.port}"
        print(f"Cannot listen on {address} ({error}); choose another --port", file=sys.stderr)
        return 2
    for backup_task_id, statuses in BACKUP_SETS.items():
        cloud.add_backup_set(
            INSTANCE_ID,
            backup_task_id,
            statuses=statuses,
            seconds_per_status=options.seconds,
            tenants=TENANTS,
        )
    for status in options.fail:
        cloud.fail(status=status)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with cloud:
        _print_usage(cloud, options.seconds)
        stopped.wait()
    print("Stopped.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_oceanbase.testing",
        description="Emulate the OceanBase Cloud API, with real digest authentication, until Ctrl-C.",
        epilog=ENDPOINTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8199, help="port to listen on, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="duration of each status (default: %(default)s)"
    )
    parser.add_argument(
        "--access-key-id", default="emulator-key", help="accepted AccessKey ID (default: %(default)s)"
    )
    parser.add_argument(
        "--access-key-secret",
        default="emulator-secret",
        help="accepted AccessKey secret (default: %(default)s)",
    )
    parser.add_argument(
        "--algorithm",
        action="append",
        choices=("MD5", "SHA-256"),
        help="digest algorithm to offer; may be repeated (default: MD5)",
    )
    parser.add_argument(
        "--fail",
        action="append",
        type=int,
        default=[],
        metavar="STATUS",
        help="fail the first authorized request with this HTTP status; may be repeated",
    )
    return parser


def _print_usage(cloud: CloudEmulator, seconds: float) -> None:
    login, secret = (cloud.connection[name] for name in ("login", "password"))
    curl = f"curl --digest -u {shlex.quote(f'{login}:{secret}')}"
    data = f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(START))}"
    base = f"{cloud.url}/api/v2/instances/{INSTANCE_ID}/backup/data"
    details, sets, start = (
        shlex.quote(f"{base}/{path}?requestId=1")
        for path in (f"sets/{next(iter(BACKUP_SETS))}", "sets", "start")
    )
    print(f"The emulator of OceanBase Cloud listens on {cloud.url}; press Ctrl-C to stop it.")
    print(f"Backup sets of instance {INSTANCE_ID}; each status lasts {seconds:g} s, the last one stays:")
    for backup_task_id, statuses in BACKUP_SETS.items():
        print(f"  {backup_task_id:<11} {' > '.join(statuses)}")
    print(f"export {CONNECTION_VARIABLE}={shlex.quote(cloud.connection_uri)}")
    print("Read a backup set, list all backup sets, start a backup:")
    print(f"{curl} {details}")
    print(f"{curl} {sets}")
    print(f"{curl} {data} {start}", flush=True)


def _print_request(seen: SeenRequest) -> None:
    result = str(seen.status or "connection closed")
    print(f"{seen.method} {seen.path} > {' '.join(filter(None, (result, seen.backup_status)))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
