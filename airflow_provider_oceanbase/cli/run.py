"""What all commands have in common: the connection, exit codes, and quiet ends."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._texts import frames
from airflow_provider_oceanbase.cli.terminal import LOG, quiet, say
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError
from airflow_provider_oceanbase.hooks import OceanBaseHook

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator


class Exit(IntEnum):
    """Exit codes, as documented."""

    DONE = 0
    ERROR = 1
    #: By argparse: unusable arguments.
    USAGE = 2
    BACKUP_FAILED = 3
    TIMED_OUT = 4
    DIFFERS = 5
    INTERRUPTED = 130
    #: What reads the output has ended, as with "| head": the code of a process that SIGPIPE ends.
    BROKEN_PIPE = 141


def command(function: Callable[[Namespace], Exit]) -> Callable[[Namespace], None]:
    """Make a command of a function: it prints errors as one sentence, and exits with a code of its own."""

    @functools.wraps(function)
    def run(arguments: Namespace) -> None:
        try:
            code = _exit_code(function, arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is left in the buffers must not fail at the end.
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = Exit.BROKEN_PIPE
        if code:
            sys.exit(int(code))

    return run


def _exit_code(function: Callable[[Namespace], Exit], arguments: Namespace) -> Exit:
    try:
        with quiet():
            return function(arguments)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except OceanBaseCloudError as error:
        say(str(error))
    except Exception as error:
        # A bug. Its own text may hold a secret.
        say(f"The command stopped unexpectedly ({type(error).__name__}). Please report it, with these lines:")
        say(frames(error))
    return Exit.ERROR


def needs(arguments: Namespace, flag: str, *others: str) -> None:
    """Refuse arguments that would do nothing: those that go with a flag which is not given."""
    for name in others:
        if getattr(arguments, name) is not None and not getattr(arguments, flag):
            arguments.parser.error(f"argument --{name}: needs --{flag}")


class _Hook(OceanBaseHook):
    """The hook, with the log of the command line."""

    @property
    def log(self) -> Any:
        """Where retries and warnings are logged."""
        return LOG


@contextmanager
def opened(arguments: Namespace) -> Iterator[OceanBaseHook]:
    """Return a hook for the connection that the arguments name; close it at the end.

    :raises OceanBaseCloudError: there is no such connection, or it is unusable
    """
    hook = _Hook(arguments.conn_id)
    try:
        # At once: a request would look for a missing connection for half a minute.
        _ = hook.endpoint
        yield hook
    finally:
        hook.close()
