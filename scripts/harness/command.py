"""How a command runs: its options, its lines of progress, and its end."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMAND = Path(sys.argv[0]).stem
#: The last words of a command that has run as it should.
DONE = "done; nothing is left running."


class RunError(Exception):
    """The run has failed; the text says how."""


def say(line: str) -> None:
    """Print a line of progress."""
    print(f"{_COMMAND}: {time.strftime('%H:%M:%S')}  {line}", flush=True)


def run(main: Callable[[], str]) -> None:
    """Run a command to its end, and print its last words; an early end, too, says why."""
    # SIGTERM and SIGHUP clean up as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        print(f"{_COMMAND}: {main()}")
    except RunError as error:
        sys.exit(f"{_COMMAND}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{_COMMAND}: stopped")


def cluster_options(doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that runs a cluster; its help is the first line of the docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep all logs in a new folder")
    return parser


def aligned(rows: dict[str, str]) -> str:
    """Return names and values as two columns of text."""
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows.items())
