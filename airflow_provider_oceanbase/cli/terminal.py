"""What a person reads beside the output: errors, log lines and progress, on standard error.

rich comes with Airflow.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command: rich would exit as after an error."""
        raise BrokenPipeError


_console = _Console(stderr=True)


def say(text: str) -> None:
    """Print a line, as it is; but its advice is that for commands."""
    # It imports Airflow, which some releases log: not before quiet().
    from airflow_provider_oceanbase.cli.advice import for_commands

    _console.print(for_commands(text), markup=False, highlight=False, emoji=False, soft_wrap=True)


class _Log(logging.Logger):
    """The log of what a command does: printed at once, whatever becomes of Airflow's own logs."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - name of the base class
        """Return whether to print it."""
        return level >= self.level

    def handle(self, record: logging.LogRecord) -> None:
        """Print it."""
        say(record.getMessage())


LOG: logging.Logger = _Log("airflow_provider_oceanbase.cli", logging.INFO)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Airflow logs on the way to a connection off the terminal, as its own commands do."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def progress(describe: Callable[[], str]) -> Iterator[None]:
    """Show a live line, if somebody watches.

    :param describe: returns what to show at this moment
    """
    if not _console.is_terminal:
        yield
        return

    def line() -> Text:
        return Text(describe(), style="dim", no_wrap=True, overflow="ellipsis")

    with Live(
        get_renderable=line, console=_console, transient=True, refresh_per_second=2, redirect_stdout=False
    ):
        yield
