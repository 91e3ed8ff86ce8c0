"""Restore what a DAG run changes in its process.

What Airflow creates once per process stays: its API server, plugins, providers.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow import settings

#: Signals whose handlers Airflow sets.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR2)
#: Restores one thing.
Restore = Callable[[], object]


@contextmanager
def put_back() -> Iterator[None]:
    """Restore the process at the end of the block, whatever happens in it."""
    with ExitStack() as stack:
        for keep in KEPT:
            stack.callback(keep())
        yield


def environment() -> Restore:
    before = dict(os.environ)

    def restore() -> None:
        set_environment(before)

    return restore


def set_environment(wanted: dict[str, str]) -> None:
    """Change only what differs: other threads read the environment at the same time."""
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(dict(wanted.items() - os.environ.items()))


def directory() -> Restore:
    before = Path.cwd()
    return lambda: os.chdir(before)


def lists_of_the_process() -> Restore:
    """Import paths and filters of warnings."""
    owners = ((sys, "path"), (sys, "meta_path"), (warnings, "filters"))
    before = [(owner, name, alive := getattr(owner, name), list(alive)) for owner, name in owners]

    def restore() -> None:
        for owner, name, alive, content in before:
            # The run may have replaced the list.
            setattr(owner, name, alive)
            alive[:] = content
        # Clear the record of warnings that were already shown.
        warnings._filters_mutated()  # type: ignore[attr-defined]

    return restore


def modules() -> Restore:
    """Modules of DAG files and of their folder; what Airflow imports stays."""
    before = set(sys.modules)

    def restore() -> None:
        folder = Path(settings.DAGS_FOLDER)
        for name, module in list(sys.modules.items()):
            if name not in before and _is_in(folder, name, module):
                del sys.modules[name]

    return restore


def _is_in(folder: Path, name: str, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return name.startswith("unusual_prefix_") or (file is not None and Path(file).is_relative_to(folder))


def dags_folder() -> Restore:
    before = settings.DAGS_FOLDER

    def restore() -> None:
        settings.DAGS_FOLDER = before

    return restore


def sessions() -> Restore:
    def restore() -> None:
        if settings.Session is not None:
            settings.Session.remove()

    return restore


def loggers() -> Restore:
    """Handlers, filters and levels. A new logger keeps the level that its library set."""
    before = {logger: _configuration(logger) for logger in _loggers()}
    disabled_up_to = logging.root.manager.disable

    def restore() -> None:
        logging.disable(disabled_up_to)
        for logger in _loggers():
            if logger in before:
                handlers, filters, *rest = before[logger]
                logger.handlers[:], logger.filters[:] = handlers, filters
                logger.propagate, logger.disabled, level = rest
                if logger.level != level:
                    logger.setLevel(level)
            else:
                logger.handlers[:] = [one for one in logger.handlers if type(one) is logging.NullHandler]
                logger.disabled = False

    return restore


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(one for one in known if isinstance(one, logging.Logger))]


def _configuration(logger: logging.Logger) -> tuple[Any, ...]:
    return list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled, logger.level


def masks() -> Restore:
    """The secrets that logs mask: those of another run must not be masked."""
    before = {id(masker): (set(masker.patterns), masker.replacer) for masker in _maskers()}

    def restore() -> None:
        for masker in _maskers():
            masker.patterns, masker.replacer = before.get(id(masker), (set(), None))

    return restore


def _maskers() -> list[Any]:
    """Return the secrets maskers; Airflow 3 has several."""
    found = [vars(one).get("_secrets_masker") for one in list(sys.modules.values()) if one is not None]
    return [get() for get in dict.fromkeys(found) if get is not None and not isinstance(get, ModuleType)]


def supervisor_comms() -> Restore:
    """The variable that marks a process as a task of Airflow 3."""
    name, attribute = "airflow.sdk.execution_time.task_runner", "SUPERVISOR_COMMS"
    missing = object()

    def current() -> object:
        return getattr(sys.modules.get(name), attribute, missing)

    before = current()

    def restore() -> None:
        if before is not missing:
            setattr(sys.modules[name], attribute, before)
        elif current() is not missing:
            delattr(sys.modules[name], attribute)

    return restore


def signals() -> Restore:
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def streams() -> Restore:
    before = sys.stdout, sys.stderr

    def restore() -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before

    return restore


#: Restored in reverse order: modules() needs the DAGs folder of the run.
KEPT: tuple[Callable[[], Restore], ...] = (
    environment,
    directory,
    lists_of_the_process,
    dags_folder,
    modules,
    sessions,
    loggers,
    masks,
    supervisor_comms,
    signals,
    streams,
)
