"""Processes that a command starts, waits for and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

import psutil

from harness.command import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

_STOP_SECONDS = 15.0
_TAIL_LINES = 25


@dataclass
class Processes:
    """Child processes, each in a session of its own; the end of the ``with`` block ends them all.

    :param environ: their environment
    :param logs: folder for what they print, a file each
    """

    environ: Mapping[str, str]
    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    #: CPU of those that were killed, in seconds.
    _spent: float = field(default=0.0, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self._running.values():
            process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        # The end of a grandchild raises no signal here.
        while time.monotonic() < end and any(_members(process.pid) for process in self._running.values()):
            time.sleep(0.1)
        for name in self.names:
            self.kill(name)

    @property
    def names(self) -> list[str]:
        """Names of those that run."""
        return list(self._running)

    def start(self, name: str, *command: str | Path, user: str | None = None) -> None:
        """Start a command that is to run until the end, as a user whose group has the same name."""
        with (self.logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=self.logs.parent,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[user] if user else None,
            )

    def run(self, name: str, seconds: float, *command: str | Path, user: str | None = None) -> None:
        """Run a command to its end, which must be a good one."""
        self.start(name, *command, user=user)
        try:
            code = self._running[name].wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.error(f"{name} did not end within {seconds:g} s", name) from None
        if code:
            raise self.error(f"{name} ended with code {code}", name)
        del self._running[name]

    def kill(self, name: str) -> None:
        """End a process and all its descendants by SIGKILL."""
        process = self._running.pop(name)
        self._spent += _cpu_seconds(process.pid)
        # One that is not killed yet may have started another.
        while alive := _members(process.pid):
            for member in alive:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            time.sleep(0.01)
        process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU that all have taken so far, with their descendants, in seconds."""
        return self._spent + sum(_cpu_seconds(process.pid) for process in self._running.values())

    def wait_for(
        self,
        what: str,
        seconds: float,
        condition: Callable[[], T | None],
        *,
        pause: float = 0.25,
        ignored: tuple[type[Exception], ...] = (),
    ) -> T:
        """Poll until the condition gives something true, and return it; all must stay alive meanwhile.

        :param what: the condition in words, for the error
        :param seconds: the most to wait
        :param pause: seconds between polls
        :param ignored: exceptions that mean "not yet"
        """
        end = time.monotonic() + seconds
        while True:
            with suppress(*ignored):
                if result := condition():
                    return result
            for name, process in self._running.items():
                if (code := process.poll()) is not None:
                    raise self.error(f"{name} ended with code {code}", name)
            if time.monotonic() > end:
                raise self.error(f"{what}: not within {seconds:g} s")
            time.sleep(pause)

    def error(self, what: str, *names: str) -> RunError:
        """Return an error that shows the end of the logs of these processes, else of all.

        What has failed comes last: where little of the output is kept, it is the end.
        """
        return RunError(f"{self.tails(*names)}\n{what}")

    def tails(self, *names: str) -> str:
        """Return the end of the logs of these processes, else of all."""
        shown = names or sorted(path.stem for path in self.logs.glob("*.log"))
        return "\n".join(tail(self.logs / f"{name}.log", name) for name in shown)


def tail(path: Path, name: str) -> str:
    """Return the last lines of a file, under its name."""
    lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"--- the end of the log of {name}:", *lines])


def _cpu_seconds(session: int) -> float:
    """Return the CPU of a session, in seconds: of the living, and of those whose end a parent has awaited."""
    total = 0.0
    for process in _members(session):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def _members(session: int) -> list[psutil.Process]:
    """Return the living processes of a session.

    Airflow puts each task into a process group of its own, and a parent may be dead: only the session holds
    all that a component has started.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
