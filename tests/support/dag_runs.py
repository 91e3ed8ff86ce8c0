"""Run DAGs on real Airflow, in one process for all tests: the first run costs as much as ten later ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

PROCESS = Path(__file__).with_name("dag_process.py")


class DagRunError(Exception):
    """A DAG could not be run; the text says why, and what was printed."""


class ProcessDiedError(DagRunError):
    """The process ended before the DAG did."""

    def __init__(self, returncode: int, printed: str) -> None:
        super().__init__(f"The process of the DAG ended with status {returncode}.\n{printed}")
        self.returncode = returncode


@dataclass(frozen=True)
class Result:
    """What came of a DAG run."""

    run_id: str
    state: str
    #: By task ID, and ``task_id[map_index]``: its ``state``, ``tries``, and XComs.
    tasks: dict[str, Any]
    #: What was printed and logged since the run before.
    printed: str

    @property
    def states(self) -> dict[str, str]:
        return {name: task["state"] for name, task in self.tasks.items()}


class DagRunner:
    """An Airflow with a home and a database of its own, at DEBUG, which runs one DAG after another."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self._environ = {"AIRFLOW_HOME": str(home), "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", **environ}
        self._process: subprocess.Popen[str] | None = None

    def test(self, file: Path, dag_id: str, **environ: str) -> Result:
        """Run a DAG with ``dag.test()``, with its own environment variables."""
        return self._result("test", environ, file=str(file), dag_id=dag_id)

    def retry(self, file: Path, dag_id: str, **environ: str) -> Result:
        """Run the only task of a DAG once more, whose process was killed."""
        return self._result("retry", environ, file=str(file), dag_id=dag_id)

    @contextmanager
    def alone(self, **environ: str) -> Iterator[DagRunner]:
        """Give a process of its own, on the same database, to runs that would harm others, or be harmed."""
        runner = DagRunner(self.home, **environ)
        try:
            yield runner
        finally:
            runner.close()

    def kill(self) -> None:
        """Kill the process, and with it the run."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        """End the process, in its own time: it writes its coverage."""
        if process := self._process:
            self._forget()
            process.wait()

    def _result(self, action: str, environ: dict[str, str], **arguments: str) -> Result:
        self._start_once()
        answer, printed = self._ask(action, environ, **arguments)
        return Result(**answer, printed=printed)

    def _start_once(self) -> None:
        if self._process is None:
            self._start()
            migrated = self.home / "migrated"
            if not migrated.exists():
                self._ask("migrate", {})
                migrated.touch()

    def _start(self) -> None:
        reading, writing = os.pipe()
        self._answers = os.fdopen(reading)
        self._printed = TemporaryFile()  # noqa: SIM115 - as long as the process lives
        self._told = 0
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
        """The next run starts another process."""
        process, self._process = self._process, None
        if process and process.stdin:
            with suppress(BrokenPipeError):  # a request that it did not live to read
                process.stdin.close()
        self._answers.close()
        self._printed.close()

    def _ask(self, action: str, environ: dict[str, str], **arguments: str) -> tuple[dict[str, Any], str]:
        process = self._process
        assert process
        assert process.stdin
        request = {"action": action, "environ": os.environ | self._environ | environ, **arguments}
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            returncode = process.wait()
            printed = self._tell()
            self._forget()
            raise ProcessDiedError(returncode, printed)
        answer = json.loads(line)
        printed = self._tell()
        if "error" in answer:
            raise DagRunError(answer["error"] + printed)
        return answer, printed

    def _tell(self) -> str:
        """Return what was printed and has not been told yet."""
        begin, self._told = self._told, os.fstat(self._printed.fileno()).st_size
        # The process appends where it shares the file's position: it is not moved here.
        return os.pread(self._printed.fileno(), self._told - begin, begin).decode(errors="replace")
