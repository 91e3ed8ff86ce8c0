"""The commands and their arguments. Light: Airflow imports it with every command of its own."""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import NoReturn

from airflow_provider_oceanbase.compat.sdk import (
    ARG_OUTPUT,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

#: Ten years: far enough for any backup, and no date that cannot be written.
_MOST_DAYS = 3650
HELP = "Look at instances and backups of OceanBase Cloud"
EPILOG = (
    "Exit codes: 0 done; 1 the request or the connection failed; 2 unusable arguments; 3 the backup failed; "
    "4 the wait timed out; 5 check found a difference; 130 Ctrl-C; 141 what reads the output has ended."
)


class _Arg(Arg):
    """An argument of a command: unusable ones end the command with two lines, not with all its help."""

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add it."""
        short_errors(parser)
        super().add_to_parser(parser)


def short_errors(parser: argparse.ArgumentParser) -> None:
    """Let a parser, which may be Airflow's own, say what is wrong, and where the help is."""
    parser.error = partial(_fail, parser)  # type: ignore[method-assign]
    # For what only a command can tell of its arguments.
    parser.set_defaults(parser=parser)


def _fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.exit(2, f"{parser.prog}: {message}\nFor help: {parser.prog} --help\n")


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST_DAYS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {_MOST_DAYS}")


def _status(text: str) -> str:
    if text.strip():
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no status")


def _identifier(text: str) -> str:
    from airflow_provider_oceanbase.cloud.query import path_segment
    from airflow_provider_oceanbase.exceptions import OceanBaseInputError

    try:
        path_segment("ID", text)
    except OceanBaseInputError:
        usable = False
    else:
        # The API's IDs have neither: two words were one argument, or a line was pasted.
        usable = text.isprintable() and " " not in text
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no ID")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above zero")
    return seconds


def _interval(needed: str) -> Arg:
    # Without a default: a command refuses it without the other argument.
    return _Arg(
        ("--interval",),
        type=_seconds,
        metavar="SECONDS",
        help=f"with {needed}: seconds between two polls (default: a minute)",
    )


def _parameter(text: str) -> tuple[str, str]:
    from airflow_provider_oceanbase.cloud.restorable import restorable_tenants_request
    from airflow_provider_oceanbase.exceptions import OceanBaseInputError

    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        restorable_tenants_request("any", query_parameters={name: value})
    except OceanBaseInputError:
        # Blank, or what the provider sends itself.
        raise argparse.ArgumentTypeError(f"{text!r} cannot be sent") from None
    return name, value


_CONN_ID = _Arg(
    ("--conn-id",),
    type=_identifier,
    default="oceanbase_default",
    metavar="CONN_ID",
    help="ID of the Airflow connection (default: %(default)s)",
)
_INSTANCE = _Arg(
    ("instance_id",), type=_identifier, metavar="INSTANCE", help="ID of the instance (OceanBase cluster)"
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
            _Arg(
                ("--days",),
                type=_days,
                default=7,
                metavar="DAYS",
                help="days to look back (default: %(default)s)",
            ),
            _Arg(
                ("--status",),
                type=_status,
                action="append",
                metavar="STATUS",
                help="show only sets with this status, such as FAILED; may be repeated",
            ),
            _Arg(("--watch",), action="store_true", help="list again at each interval, until Ctrl-C"),
            _interval("--watch"),
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
            _Arg(
                ("backup_task_id",),
                type=_identifier,
                metavar="ID",
                help="ID of the backup task, such as bak-********",
            ),
            _Arg(
                ("--wait",), action="store_true", help="wait until it is complete, by the rule of the sensors"
            ),
            _Arg(
                ("--timeout",),
                type=_seconds,
                metavar="SECONDS",
                help="with --wait: seconds to wait at most (default: a week)",
            ),
            _interval("--wait"),
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
            _Arg(
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
            _Arg(
                ("instance_id",),
                type=_identifier,
                nargs="?",
                metavar="INSTANCE",
                help="ID of the instance to look at (default: the first one that has backup sets)",
            ),
            _Arg(
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
