"""The commands and their arguments. Light: Airflow imports it with every command of its own."""

from __future__ import annotations

import argparse
import math

from airflow_provider_oceanbase.compat.sdk import (
    ARG_OUTPUT,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
    positive_int,
)

HELP = "Look at instances and backups of OceanBase Cloud"
EPILOG = (
    "Exit codes: 0 done; 1 the request or the connection failed; 2 unusable arguments; 3 the backup failed; "
    "4 the wait timed out; 5 check found a difference; 130 Ctrl-C."
)
#: Seconds: as for a sensor, without its configuration.
_INTERVAL, _TIMEOUT = 60.0, 604800.0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above zero")
    return seconds


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


_CONN_ID = Arg(
    ("--conn-id",),
    default="oceanbase_default",
    metavar="CONN_ID",
    help="ID of the Airflow connection (default: %(default)s)",
)
_INSTANCE = Arg(("instance_id",), metavar="INSTANCE", help="ID of the instance (OceanBase cluster)")
_POLL_SECONDS = Arg(
    ("--interval",),
    type=_seconds,
    default=_INTERVAL,
    metavar="SECONDS",
    help="seconds between two polls (default: %(default)s)",
)

_COMMANDS = "airflow_provider_oceanbase.cli.commands"
COMMANDS = (
    ActionCommand(
        name="instances",
        help="List the instances that the AccessKey can see",
        func=lazy_load_command(f"{_COMMANDS}.instances"),
        args=(_CONN_ID, ARG_OUTPUT),
    ),
    ActionCommand(
        name="backups",
        help="List the backup sets of an instance, newest first",
        func=lazy_load_command(f"{_COMMANDS}.backups"),
        args=(
            _INSTANCE,
            Arg(
                ("--days",),
                type=positive_int(allow_zero=False),
                default=7,
                metavar="DAYS",
                help="days to look back (default: %(default)s)",
            ),
            Arg(
                ("--status",),
                action="append",
                metavar="STATUS",
                help="show only sets with this status, such as FAILED; may be repeated",
            ),
            Arg(("--watch",), action="store_true", help="list again at each interval, until Ctrl-C"),
            _POLL_SECONDS,
            _CONN_ID,
            ARG_OUTPUT,
        ),
    ),
    ActionCommand(
        name="backup",
        help="Show one backup set and its tenants",
        func=lazy_load_command(f"{_COMMANDS}.backup"),
        args=(
            _INSTANCE,
            Arg(("backup_task_id",), metavar="ID", help="ID of the backup task, such as bak-********"),
            Arg(
                ("--wait",), action="store_true", help="wait until it is complete, by the rule of the sensors"
            ),
            Arg(
                ("--timeout",),
                type=_seconds,
                default=_TIMEOUT,
                metavar="SECONDS",
                help="seconds to wait at most (default: %(default)s, a week)",
            ),
            _POLL_SECONDS,
            _CONN_ID,
            ARG_OUTPUT,
        ),
    ),
    ActionCommand(
        name="restorable",
        help="Show up to when the tenants of an instance can be restored",
        func=lazy_load_command("airflow_provider_oceanbase.cli.restorable.restorable"),
        args=(
            _INSTANCE,
            Arg(
                ("--parameter",),
                type=_parameter,
                action="append",
                metavar="NAME=VALUE",
                help="send a further parameter, such as openRequest=true; may be repeated",
            ),
            _CONN_ID,
            ARG_OUTPUT,
        ),
    ),
    ActionCommand(
        name="check",
        help="Compare the service with what the provider relies on; it only reads, by about 30 requests",
        func=lazy_load_command("airflow_provider_oceanbase.cli.check.check"),
        args=(
            Arg(
                ("instance_id",),
                nargs="?",
                metavar="INSTANCE",
                help="ID of the instance to look at (default: the first one that has backup sets)",
            ),
            Arg(
                ("--report",),
                metavar="FILE",
                help="write what was found as JSON, without IDs, names and hosts",
            ),
            _CONN_ID,
            ARG_OUTPUT,
        ),
    ),
)


def get_commands() -> list[GroupCommand]:
    """Return what Airflow adds to its command line."""
    return [GroupCommand(name="oceanbase", help=HELP, description=f"{HELP}. {EPILOG}", subcommands=COMMANDS)]
