"""What the cluster runs on: processes that end with it, PostgreSQL and Redis from Debian."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine

T = TypeVar("T")

HOST = "127.0.0.1"
#: The system user that Debian's package makes; PostgreSQL refuses to run as root.
POSTGRES_USER = "postgres"
_STOP_SECONDS = 15.0
_TAIL_LINES = 25
_SCRIPT = Path(sys.argv[0]).stem


class ClusterError(Exception):
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
    except ClusterError as error:
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
            raise ClusterError(f"{name} did not end within {seconds:g} s\n{self.tail(name)}") from None
        if code:
            raise ClusterError(f"{name} ended with code {code}\n{self.tail(name)}")
        del self._running[name]

    def kill(self, name: str) -> None:
        """End a process and all its descendants by SIGKILL."""
        process = self._running.pop(name)
        while alive := members(process.pid):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        process.wait()

    def wait_for(self, what: str, seconds: float, condition: Callable[[], T], *, pause: float = 0.25) -> T:
        """Poll until the condition gives something true, and return it; all must stay alive meanwhile."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            for name, process in self._running.items():
                if (code := process.poll()) is not None:
                    raise ClusterError(f"{name} ended with code {code}\n{self.tail(name)}")
            if time.monotonic() > end:
                raise ClusterError(f"{what}: not within {seconds:g} s\n{self.tails()}")
            time.sleep(pause)
        return result

    def tails(self) -> str:
        """Return the end of every log."""
        return "\n".join(self.tail(path.stem) for path in sorted(self.logs.glob("*.log")))

    def tail(self, name: str) -> str:
        """Return the end of a process's log."""
        return tail(self.logs / f"{name}.log", name)


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


def start_postgres(processes: Processes, folder: Path) -> Engine:
    """Start a PostgreSQL of its own in a new folder, and return the way to its database."""
    server = _from_debian("postgresql", "postgres")
    user = POSTGRES_USER if os.geteuid() == 0 else None
    folder.mkdir()
    data, password_file = folder / "data", folder / "password"
    password = secrets.token_hex(16)
    password_file.touch(0o600)
    password_file.write_text(password)
    if user:
        for path in (folder, password_file):
            shutil.chown(path, user)
    initdb = [server.with_name("initdb"), "-D", data, "-U", POSTGRES_USER, "-E", "UTF8", "--locale=C.UTF-8"]
    initdb += ["-A", "scram-sha-256", "--no-sync"]
    processes.run("initdb", 60, *initdb, f"--pwfile={password_file}", user=user)
    port = free_port()
    # The data is thrown away in the end: nothing is gained by waiting for the disk.
    options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    processes.start("postgres", server, "-D", data, *flags, user=user)
    url = f"postgresql+psycopg2://{POSTGRES_USER}:{password}@{HOST}:{port}/postgres"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    processes.wait_for("PostgreSQL answers", 60, lambda: _answers(engine))
    return engine


def _answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError:
        return False
    return True


def start_redis(processes: Processes, folder: Path) -> int:
    """Start a Redis of its own that keeps nothing on disk, and return its port."""
    server = _from_debian("redis-server", "redis-server")
    folder.mkdir()
    port = free_port()
    flags = ["--bind", HOST, "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
    processes.start("redis", server, *flags)
    processes.wait_for("Redis listens", 30, lambda: _listens(port))
    return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _from_debian(package: str, binary: str) -> Path:
    """Return where a program is, once its package is installed."""
    if found := _find(binary):
        return found
    if os.geteuid() != 0:
        raise ClusterError(
            f"{package} is missing; as root: apt-get install --no-install-recommends {package}"
        )
    say(f"apt-get install {package}")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", package)
    for command in (("apt-get", "update", "-q"), install):
        problem = _problem(command, environ)
        if problem:
            raise ClusterError(f"{package} is missing, and `{' '.join(command)}` failed: {problem}")
    if found := _find(binary):
        return found
    raise ClusterError(f"{package} is installed, but its program {binary} is not to be found")


def _problem(command: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if not done.returncode:
        return None
    return (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]


def _find(binary: str) -> Path | None:
    if in_path := shutil.which(binary):
        return Path(in_path)
    # Debian keeps PostgreSQL's programs out of PATH, a folder each version.
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{binary}")
    return max(versions, key=lambda path: int(path.parts[4]), default=None)
