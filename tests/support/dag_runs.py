"""Run DAGs on real Airflow, in one process for all tests: the first run takes as long as ten later ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

PROCESS = Path(__file__).with_name("dag_process.py")


class DagRunError(Exception):
    """A DAG could not run; the text has the reason and the output."""


class ProcessDiedError(DagRunError):
    """The process ended before the DAG."""

    def __init__(self, returncode: int, printed: str) -> None:
        super().__init__(f"The process of the DAG ended with status {returncode}.\n{printed}")
        self.returncode = returncode


@dataclass(frozen=True)
class Result:
    """The result of a DAG run."""

    run_id: str
    state: str
    #: By task ID, and ``task_id[map_index]``: its ``state``, ``tries``, and XComs.
    tasks: dict[str, Any]
    #: Output and logs since the previous run.
    printed: str

    @property
    def states(self) -> dict[str, str]:
        return {name: task["state"] for name, task in self.tasks.items()}


class DagRunner:
    """A separate Airflow with its own database, which logs at DEBUG and runs one DAG after another."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self._environ = {"AIRFLOW_HOME": str(home), "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", **environ}
        self._process: subprocess.Popen[str] | None = None

    def test(self, file: Path, dag_id: str, conf: Mapping[str, str] | None = None, **environ: str) -> Result:
        """Run a DAG with ``dag.test()``, its parameters in ``conf`` and more environment variables."""
        return self._result("test", environ, file=str(file), dag_id=dag_id, conf=conf)

    def retry(self, file: Path, dag_id: str, **environ: str) -> Result:
        """Retry the only task of a DAG, whose process was killed."""
        return self._result("retry", environ, file=str(file), dag_id=dag_id)

    def clear(self, file: Path, dag_id: str, **environ: str) -> Result:
        """Clear the latest run of a DAG, and run it again."""
        return self._result("clear", environ, file=str(file), dag_id=dag_id)

    def migrate(self) -> None:
        """Make the database, for other programs that use it."""
        self._start_once()

    @contextmanager
    def alone(self, **environ: str) -> Iterator[DagRunner]:
        """Run DAGs in a separate process, with the same database, if they could affect others."""
        runner = DagRunner(self.home, **environ)
        try:
            yield runner
        finally:
            runner.close()

    def kill(self) -> None:
        """Kill the process, and so the run."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        """Close stdin of the process and wait until it ends: it writes its coverage."""
        if process := self._process:
            self._forget()
            process.wait()

    def _result(self, action: str, environ: dict[str, str], **arguments: Any) -> Result:
        self._start_once()
        result, printed = self._send(action, environ, **arguments)
        return Result(**result, printed=printed)

    def _start_once(self) -> None:
        if self._process is None:
            self._start()
            migrated = self.home / "migrated"
            if not migrated.exists():
                self._send("migrate", {})
                migrated.touch()

    def _start(self) -> None:
        reading, writing = os.pipe()
        self._results = os.fdopen(reading)
        self._printed = TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self._read_to = 0
        self._process = subprocess.Popen(
            [sys.executable, PROCESS, str(writing)],
            env=os.environ | self._environ,
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            text=True,
        )
        os.close(writing)

    def _forget(self) -> None:
        """Close the files of the process; the next run starts another."""
        process, self._process = self._process, None
        if process and process.stdin:
            with suppress(BrokenPipeError):  # the process ended before it read a command
                process.stdin.close()
        self._results.close()
        self._printed.close()

    def _send(self, action: str, environ: dict[str, str], **arguments: Any) -> tuple[dict[str, Any], str]:
        process = self._process
        assert process
        assert process.stdin
        command = {"action": action, "environ": os.environ | self._environ | environ, **arguments}
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = self._results.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            returncode = process.wait()
            printed = self._new_output()
            self._forget()
            raise ProcessDiedError(returncode, printed)
        result = json.loads(line)
        printed = self._new_output()
        if "error" in result:
            raise DagRunError(result["error"] + printed)
        return result, printed

    def _new_output(self) -> str:
        """Return the output since the last call."""
        begin, self._read_to = self._read_to, os.fstat(self._printed.fileno()).st_size
        # The process writes at the file's position, which it shares: pread() does not move it.
        return os.pread(self._printed.fileno(), self._read_to - begin, begin).decode(errors="replace")
