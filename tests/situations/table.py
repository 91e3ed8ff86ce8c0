"""What a person sees of ten situations in Airflow's UI: lines of real tasks, as far as they fit a screen."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from conftest import SECRET
from dag_runs import DagRunner
from faults.server import answer, serve
from harness.network import free_port
from pages import ROOT, SEEN_CHARACTERS
from watches import trigger

from airflow_provider_oceanbase.testing import CloudEmulator

PAGE = ROOT / "docs" / "how-to" / "read-the-log.md"
HEADING = "Ten situations"
#: Lets Airflow print its log as JSON, as in the files that the UI shows.
LOG_SETTINGS = {"AIRFLOW__LOGGING__JSON_LOGS": "True", "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"}
#: How many lines a person reads first.
LINES = 3
#: Of an instance and a backup task, as long as real ones.
IDS = ("ob317v4uif0042", "bak-5g8h2k1m")
#: What differs from run to run, and what the page has instead.
_VOLATILE = {
    r"http://127\.0\.0\.1:\d+": "https://api-cloud.oceanbase.com",
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "1b5ab457-105e-49fd-9765-6f62737570c1",
    r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ": "2026-03-02T03:00:00Z",
    r"\bafter [\d.]+ s\b": "after 5 min",
    r"\btook [\d.]+ s\b": "took 40 min",
    r"\b\d\d:\d\d UTC\b": "03:00 UTC",
}
_CONNECTION = "AIRFLOW_CONN_OCEANBASE_DEFAULT"
_DAGS = Path(__file__).with_name("dags") / "waits.py"


@contextmanager
def emulator(*statuses: str, then: Callable[[CloudEmulator], object] = lambda cloud: None) -> Iterator[str]:
    """Yield a connection to an emulator with one backup.

    :param then: what happens after the second poll
    """

    def on_request(seen: Any) -> None:
        if seen.backup_status and cloud.polls(*IDS) == 2:
            then(cloud)

    with CloudEmulator(access_key_secret=SECRET, on_request=on_request) as cloud:
        cloud.add_backup_set(*IDS, statuses=statuses)
        yield cloud.connection_uri


@contextmanager
def nobody() -> Iterator[str]:
    """Yield a connection to a port that nobody listens on."""
    yield f"oceanbase://key:{SECRET}@127.0.0.1:{free_port()}/http"


@contextmanager
def proxy() -> Iterator[str]:
    """Yield a connection through a proxy that refuses to connect."""
    with serve(answer(b"", 403)) as server:
        extra = {"proxy": server.origin}
        yield json.dumps({"conn_type": "oceanbase", "login": "key", "password": SECRET, "extra": extra})


def _rotate(cloud: CloudEmulator) -> None:
    cloud.rotate_key("another-key", "another-secret")


def _fail(cloud: CloudEmulator) -> None:
    cloud.fail(status=503, times=3)


#: Yields a connection, as Airflow's environment has it.
Around = Callable[[], AbstractContextManager[str]]
#: For each DAG: what has happened, and what surrounds it.
WAITS: dict[str, tuple[str, Around]] = {
    "failed": ("The backup has failed", partial(emulator, "DOING", "DOING", "FAILED")),
    "rotated": ("The AccessKey was rotated", partial(emulator, "DOING", then=_rotate)),
    "deleted": ("The connection was deleted", partial(emulator, "DOING")),
    "down_at_start": ("The API is down when the task starts", nobody),
    "down_amid": ("The API is down during the wait", partial(emulator, "DOING", "DOING", "DONE", then=_fail)),
    "wrong_instance": ("The instance ID is wrong", partial(emulator, "DOING")),
    "stuck": ("The backup is stuck, and the wait times out", partial(emulator, "DOING")),
    "no_triggerer": ("No triggerer is running", partial(emulator, "DOING", "DONE")),
    "proxy": ("The proxy refuses to connect", proxy),
}
_WATCH = "The watch of an asset fails; the triggerer's own log"


@dataclass(frozen=True)
class Line:
    """A line of a log.

    :param level: empty for an error, which stands below its line
    """

    level: str
    text: str

    def __str__(self) -> str:
        text = self.text
        for pattern, constant in _VOLATILE.items():
            text = re.sub(pattern, constant, text)
        if len(text) > SEEN_CHARACTERS:
            text = text[: SEEN_CHARACTERS - 1].rstrip() + "…"
        return f"{self.level} - {text}" if self.level else text


def cells(runner: DagRunner) -> list[list[str]]:
    """Return the rows of the table.

    :param runner: an Airflow with :data:`LOG_SETTINGS`
    """
    found = {title: log_of(runner, dag_id, around) for dag_id, (title, around) in WAITS.items()}
    found[_WATCH] = log_of_a_watch()
    return [[title, "<br>".join(f"`{line}`" for line in looked_at(lines))] for title, lines in found.items()]


def looked_at(lines: list[Line]) -> list[Line]:
    """Return the lines from the first error on, else from the first warning, else the last ones."""
    levels = [line.level for line in lines]
    for level in ("ERROR", "WARNING"):
        if level in levels:
            return lines[levels.index(level) :][:LINES]
    return lines[-LINES:]


def log_of(runner: DagRunner, dag_id: str, around: Around) -> list[Line]:
    """Run a DAG; return the log of its task."""
    with around() as connection:
        printed = runner.test(_DAGS, dag_id, **{_CONNECTION: connection}, NO_PROXY="127.0.0.1").printed
    records = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    if dag_id == "no_triggerer":
        # Without one, the log ends there.
        events = [record["event"] for record in records]
        records = records[: events.index("[DAG TEST] running trigger in line")]
    return list(_drawn(records))


def _drawn(records: Iterable[dict[str, Any]]) -> Iterator[Line]:
    """Yield the lines as the UI shows them: groups are folded, errors unfolded."""
    folded = False
    for record in records:
        event = record["event"]
        if not record["logger"].startswith(("task", "airflow.task", "airflow_provider_oceanbase")):
            # Of dag.test() itself, and of its API server.
            continue
        if event.startswith(("::group::", "::endgroup::")):
            folded = event.startswith("::group::")
        elif not folded:
            yield Line(record["level"].upper(), event)
            for error in record.get("exception", ()):
                yield Line("", f"{error['exc_type']}: {error['exc_value']}")


def log_of_a_watch() -> list[Line]:
    """Watch an instance with a key that is refused, until that is logged; return the log."""
    lines: list[Line] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda one: lines.append(Line(one.levelname, one.getMessage()))  # type: ignore[method-assign]
    logger = logging.getLogger("airflow_provider_oceanbase")
    logger.addHandler(handler)
    try:
        with emulator("DOING") as connection:
            wrong = connection.replace(SECRET, "another-secret")
            with patch.dict(os.environ, {_CONNECTION: wrong}):
                asyncio.run(_watch(lines))
    finally:
        logger.removeHandler(handler)
    return lines


async def _watch(lines: list[Line]) -> None:
    async with asyncio.timeout(30), aclosing(trigger(instance_id=IDS[0]).run()) as stream:  # type: ignore[type-var]
        polling = asyncio.ensure_future(anext(stream))
        while not lines:
            await asyncio.sleep(0.01)
        polling.cancel()
        await asyncio.wait([polling])
