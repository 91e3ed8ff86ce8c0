"""Processes that a script starts and ends, and how it speaks of them."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

HOST = "127.0.0.1"
_STOP_SECONDS = 15.0
_TAIL_LINES = 25
_SCRIPT = Path(sys.argv[0]).stem


class RunError(Exception):
    """The run has failed; the text says how."""


def say(line: str) -> None:
    """Print a line of progress."""
    print(f"{_SCRIPT}: {time.strftime('%H:%M:%S')}  {line}", flush=True)


def run_script(main: Callable[[], None]) -> None:
    """Run a script to its end; an early one, too, says why."""
    # Whoever ends it early gets the same clean-up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except RunError as error:
        sys.exit(f"{_SCRIPT}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{_SCRIPT}: stopped")
    print(f"{_SCRIPT}: done; nothing is left running.")


class Processes:
    """Child processes, each in a session of its own; the end of the ``with`` block ends them all.

    :param environ: their environment
    :param logs: folder for what they print, a file each
    """

    def __init__(self, environ: Mapping[str, str], logs: Path) -> None:
        self.environ = dict(environ)
        self.logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < end and any(members(process.pid) for process in self._running.values()):
            # Nothing tells of the end of grandchildren: they are looked for, until the deadline.
            time.sleep(0.1)
        for name in list(self._running):
            self.kill(name)

    @property
    def names(self) -> list[str]:
        """Names of those that run."""
        return list(self._running)

    def start(self, name: str, *command: str | Path, user: str | None = None) -> None:
        """Start a command that is to run until the end."""
        group = pwd.getpwnam(user).pw_gid if user else None
        with (self.logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.logs.parent,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[group] if group else None,
            )

    def run(self, name: str, seconds: float, *command: str | Path, user: str | None = None) -> None:
        """Run a command to its end, which must be a good one."""
        self.start(name, *command, user=user)
        process = self._running[name]
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.error(f"{name} did not end within {seconds:g} s", name) from None
        if code:
            raise self.error(f"{name} ended with code {code}", name)
        del self._running[name]

    def kill(self, name: str) -> None:
        """End a process and all its descendants by SIGKILL."""
        process = self._running.pop(name)
        while alive := members(process.pid):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Until the kernel has ended them; meanwhile one may have started another.
            time.sleep(0.01)
        process.wait()

    def wait_for(self, what: str, seconds: float, condition: Callable[[], T], *, pause: float = 0.25) -> T:
        """Poll until the condition gives something true, and return it; all must stay alive meanwhile."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            for name, process in self._running.items():
                if (code := process.poll()) is not None:
                    raise self.error(f"{name} ended with code {code}", name)
            if time.monotonic() > end:
                raise self.error(f"{what}: not within {seconds:g} s")
            # Airflow tells nobody of its states: they are asked for, until the deadline.
            time.sleep(pause)
        return result

    def error(self, what: str, *names: str) -> RunError:
        """Return an error that shows the end of the logs of these processes, else of all.

        What has failed comes last: where little of the output is kept, it is the end.
        """
        shown = names or sorted(path.stem for path in self.logs.glob("*.log"))
        return RunError("\n".join([*(tail(self.logs / f"{name}.log", name) for name in shown), what]))


def tail(path: Path, name: str) -> str:
    """Return the last lines of a file, under its name."""
    lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"--- the end of the log of {name}:", *lines])


def members(session: int) -> list[int]:
    """Return the living processes of a session.

    Airflow puts each task into a process group of its own: only the session holds all that a component
    has started.
    """
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if (family := _family(pid)) and family[1] == session]


def parent(pid: int) -> int | None:
    """Return the parent of a living process."""
    family = _family(pid)
    return family[0] if family else None


def _family(pid: int) -> tuple[int, int] | None:
    """Return parent and session of a living process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, its_parent, _, session = stat.rpartition(")")[2].split()[:4]
    return None if state == "Z" else (int(its_parent), int(session))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> bytes | None:
    """Return what a URL of this machine answers with HTTP 200, None for anything else."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=10) as answer:
            return bytes(answer.read()) if answer.status == 200 else None
    except OSError:
        return None
