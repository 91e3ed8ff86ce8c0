"""Run a command: ``python -m airflow_provider_oceanbase backups ob-1``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser


def get_parser() -> ArgumentParser:
    """Return the parser of the arguments, with the same commands as ``airflow oceanbase``."""
    from airflow_provider_oceanbase.cli.definition import COMMANDS, EPILOG, HELP, short_errors

    parser = ArgumentParser(
        prog="python -m airflow_provider_oceanbase", description=f"{HELP}.", epilog=EPILOG
    )
    short_errors(parser)
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in COMMANDS:
        of_command = commands.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.args:
            argument.add_to_parser(of_command)
        of_command.set_defaults(func=command.func)
    return parser


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        # Importing Airflow takes seconds, in which somebody may press Ctrl-C. Some releases log it, too.
        from airflow_provider_oceanbase.cli.terminal import quiet

        with quiet():
            arguments = get_parser().parse_args()
            arguments.func(arguments)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
