"""Run the emulator: ``python -m airflow_provider_oceanbase.testing --port 8199``."""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import shlex
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_oceanbase.testing import CloudEmulator, Profile, SeenRequest
from airflow_provider_oceanbase.testing._script import check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

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
  GET  /api/v2/instances/{instanceId}/backup/restore/tenants
  POST /api/v2/instances/{instanceId}/backup/data/start

It prints the Airflow connection, a curl command for each endpoint but the first, and a line for each
request. It keeps its state in memory only."""
#: What a log line says of a request without accepted credentials.
REFUSALS = {
    "missing": "challenge, as each client gets it first",
    "refused": "not this AccessKey",
    "stale": "new challenge, the former one has expired",
}


def main() -> int:
    """Serve until SIGINT or SIGTERM, or until nobody reads the output."""
    options = _parser().parse_args()
    stopped = threading.Event()

    def show(*lines: str) -> None:
        try:
            print(*lines, sep="\n", flush=True)
        except BrokenPipeError:
            # As with "| head". What is left in the buffer must not fail at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            stopped.set()

    try:
        cloud = CloudEmulator(
            options.host,
            options.port,
            access_key_id=options.access_key_id,
            access_key_secret=options.access_key_secret,
            profile=options.profile,
            algorithms=options.algorithm,
            seconds_per_status=options.seconds,
            on_request=lambda seen: show(_log_line(seen)),
        )
    except OSError as error:
        print(_why_not(options.host, options.port, error), file=sys.stderr)
        return 2
    for backup_task_id, statuses in BACKUP_SETS.items():
        cloud.add_backup_set(
            INSTANCE_ID,
            backup_task_id,
            statuses=statuses,
            seconds_per_status=options.seconds,
            tenants=TENANTS,
        )
    for tenant in TENANTS:
        begin, lag = datetime.now(UTC) - timedelta(days=1), timedelta(seconds=options.seconds)
        cloud.add_restorable_tenant(INSTANCE_ID, tenant, intervals=[(begin, None)], lag=lag)
    for status in options.fail:
        cloud.fail(status=status)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with cloud:
        show(*_usage(cloud, options.seconds))
        # None where the output is closed from the start, as with ">&-".
        if sys.stdout:
            threading.Thread(target=_when_unread, args=(stopped.set,), daemon=True).start()
        stopped.wait()
    show("Stopped.")
    return 0


def _when_unread(stop: Callable[[], None]) -> None:
    """Stop when the reader of the output has ended; without a request, nothing is written that would fail."""
    unread = select.poll()
    unread.register(sys.stdout.fileno(), 0)
    unread.poll()
    stop()


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken. Choose another --port, or 0 for a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} is not for this user. Choose a --port from 1024."
    return f"Cannot listen on --host {host} ({error.strerror}). Give an IPv4 address of this machine."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_oceanbase.testing",
        description="Emulate the OceanBase Cloud API, with real digest authentication, until Ctrl-C.",
        epilog=ENDPOINTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_whole_number(0, 65535),
        default=8199,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=5.0, help="duration of each status (default: %(default)s)"
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
        help="digest algorithm to offer; may be repeated (default: that of the profile, MD5)",
    )
    parser.add_argument(
        "--profile",
        type=_profile,
        metavar="FILE",
        help="answer as the service of which check --report has written this report",
    )
    parser.add_argument(
        "--fail",
        action="append",
        type=_whole_number(400, 599),
        default=[],
        metavar="STATUS",
        help="fail the first authorized request with this HTTP status, 400 to 599; may be repeated",
    )
    return parser


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text[:9]) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")

    return parse


def _profile(path: str) -> Profile:
    try:
        return Profile.from_report(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"{path!r} cannot be used: {reason}") from None


def _seconds(text: str) -> float:
    try:
        check_seconds(seconds := float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0.001") from None
    return seconds


def _usage(cloud: CloudEmulator, seconds: float) -> list[str]:
    fields = cloud.connection
    curl = f"curl --digest -u {shlex.quote('{login}:{password}'.format(**fields))}"
    data = f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(START))}"
    base = f"{cloud.url}/api/v2/instances/{INSTANCE_ID}/backup"
    details, sets, restorable, start = (
        shlex.quote(f"{base}/{path}?requestId=1")
        for path in (f"data/sets/{next(iter(BACKUP_SETS))}", "data/sets", "restore/tenants", "data/start")
    )
    return [
        f"The emulator of OceanBase Cloud listens on {cloud.url}; press Ctrl-C to stop it.",
        f"Backup sets of instance {INSTANCE_ID}; each begins with the first request for it, a status lasts "
        f"{seconds:g} s, the last one stays:",
        *(f"  {name:<11} {' > '.join(statuses)}" for name, statuses in BACKUP_SETS.items()),
        "Connection for the form of the web UI:",
        *(
            f"  {label:<16} {fields[name]}"
            for label, name in (
                ("Connection type", "conn_type"),
                ("Host", "host"),
                ("Port", "port"),
                ("Schema", "schema"),
                ("AccessKey ID", "login"),
                ("AccessKey secret", "password"),
            )
        ),
        "or for the environment:",
        f"export {CONNECTION_VARIABLE}={shlex.quote(cloud.connection_uri)}",
        "Read a backup set, list all backup sets, list what can be restored, start a backup:",
        f"{curl} {details}",
        f"{curl} {sets}",
        f"{curl} {restorable}",
        f"{curl} {data} {start}",
    ]


def _log_line(seen: SeenRequest) -> str:
    result = str(seen.status or "connection closed")
    comment = seen.backup_status if seen.authorized else REFUSALS[seen.credentials]
    time = f"{datetime.now():%H:%M:%S}"
    return f"{time} {seen.method} {seen.path} > {' '.join(filter(None, (result, comment)))}"


if __name__ == "__main__":
    sys.exit(main())
