"""Write the results as tables into the README."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measures import IN_FLIGHT
from benchmarks.processes import cores
from benchmarks.refusals import IN_FLIGHT as REFUSALS_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.results import Results, Waits

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: begin, written by make bench -->\n", "<!-- measured: end -->\n"
#: Names of the contenders, as the table and the chart show them.
CLIENTS = {
    "trigger": "**this provider's trigger**",
    "client": "this provider's async client alone",
    "bare": "aiohttp session and digest, bare",
    "hook": "this provider's hook, kept (poke mode)",
    "http_sensor": "`HttpSensor` deferrable, no digest¹",
    "new_session": "new `requests.Session` and digest per poll",
    "new_session_one_certificate": "the same, with a CA bundle of one certificate",
}
_PACKAGES = ("apache-airflow", "aiohttp", "requests", "apache-airflow-providers-http")
_SENSOR, _HTTP_SENSOR = "airflow_provider_oceanbase.sensors", "airflow.providers.http.sensors.http"
#: Airflow's own, which waits for nothing but the clock.
_SIMPLE_SENSOR = "airflow.providers.standard.sensors.time_delta"


class Row(NamedTuple):
    """One line of the table of targets."""

    what: str
    target: str
    measured: str
    holds: bool


def rows(results: Results) -> list[Row]:
    """Compare the results with the targets."""
    return [
        *_polling_rows(results),
        *_refusal_rows(results),
        *_wait_rows(results),
        *_shared_rows(results),
        _import_row(results),
    ]


def _polling_rows(results: Results) -> list[Row]:
    polling = results.polling
    trigger, bare, naive = (polling[name] for name in ("trigger", "bare", "new_session"))
    over, under = trigger.times(bare), naive.times(trigger)
    cpu = f"client CPU per poll in the trigger, {IN_FLIGHT} in flight"
    return [
        Row(
            cpu,
            "≤ 1.05 × aiohttp bare",
            f"{over:.2f} × ({trigger.cpu:,.0f} against {bare.cpu:,.0f} µs)",
            over <= 1.05,
        ),
        Row(
            cpu,
            "≥ 80 × less than a new session per poll",
            f"{under:.0f} × less ({naive.cpu:,.0f} µs)",
            under >= 80,
        ),
        Row(
            "round trips per poll, after each lane's first",
            "1.00",
            f"{trigger.requests:.2f}",
            round(trigger.requests, 2) == 1.0,
        ),
    ]


def _refusal_rows(results: Results) -> list[Row]:
    kinds = {"rising": "nonce counts have to rise", "once": "a nonce is good for one request"}
    return [
        Row(
            f"polls with a correct key that end in 401, {REFUSALS_IN_FLIGHT} in flight; {words}",
            "0",
            f"{results.refusals[f'lanes {kind}'].failed} of {results.refusals[f'lanes {kind}'].polls:,} "
            f"(one digest state for all: {results.refusals[f'shared {kind}'].failed:,})",
            results.refusals[f"lanes {kind}"].failed == 0,
        )
        for kind, words in kinds.items()
    ]


def _wait_rows(results: Results) -> list[Row]:
    waits, bare, sessions = results.waits, results.bare_waits, results.sessions
    what = f"{waits.count:,} waits, a poll each {waits.poke_interval:g} s, one loop"
    on_time = waits.on_time == 1 and waits.sets == waits.count and not waits.ended
    return [
        Row(
            f"{what}: polls on time",
            "all",
            f"{_percent(waits.on_time)} (latest {waits.latest - waits.poke_interval:.2f} s late; "
            f"{waits.rate:,.0f} polls/s)",
            on_time,
        ),
        Row(
            f"{what}: CPU",
            "≤ 1.25 × bare coroutines",
            f"{waits.cpu_per_poll / bare.cpu_per_poll:.2f} × ({waits.cpu_per_poll:,.0f} against "
            f"{bare.cpu_per_poll:,.0f} µs per poll, {waits.core:.0%} of a core)",
            waits.cpu_per_poll <= 1.25 * bare.cpu_per_poll,
        ),
        Row(
            f"{what}: event loop lag, p99",
            "≤ 1.5 × bare coroutines",
            f"{waits.lag_p99 / bare.lag_p99:.2f} × ({waits.lag_p99 * 1e3:.1f} against "
            f"{bare.lag_p99 * 1e3:.1f} ms; p50 {waits.lag_p50 * 1e3:.1f}, max {waits.lag_max * 1e3:.0f})",
            waits.lag_p99 <= 1.5 * bare.lag_p99,
        ),
        Row(
            f"{what}: memory per wait",
            "≤ bare coroutines",
            f"{waits.memory / bare.memory:.2f} × ({_kib(waits)} against {_kib(bare)} KiB; "
            f"a session each: {_kib(sessions)} KiB)",
            waits.memory <= bare.memory,
        ),
        Row(
            f"{what}: connections",
            "≤ 64",
            f"{waits.connections} (a session each: {sessions.connections} for {sessions.count})",
            waits.connections <= 64,
        ),
    ]


def _shared_rows(results: Results) -> list[Row]:
    kinds = {"for one backup set": results.one_set, "for a checkpoint, on one instance": results.checkpoints}
    return [
        Row(
            f"{waits.count:,} waits {words}, a poll each {waits.poke_interval:g} s, one loop: requests",
            "one an interval",
            f"{waits.rate * waits.poke_interval:.2f} an interval, {waits.rate:.2f} a second "
            f"(latest {waits.latest - waits.poke_interval:.2f} s late; each for itself: "
            f"{waits.count / waits.poke_interval:,.0f} a second)",
            # The window may begin just before a poll.
            waits.rate * waits.poke_interval <= 1 + 1 / 6 and waits.on_time == 1 and not waits.ended,
        )
        for words, waits in kinds.items()
    ]


def _import_row(results: Results) -> Row:
    seconds, simple = (results.imports[module].seconds for module in (_SENSOR, _SIMPLE_SENSOR))
    others = ", ".join(
        f"{words}: {results.imports[module].seconds * 1e3:.0f} ms"
        for module, words in {_HTTP_SENSOR: "`HttpSensor`", "requests": "`requests`"}.items()
    )
    return Row(
        "importing the sensor in a DAG file, on top of `airflow.sdk`",
        "≤ Airflow's `TimeDeltaSensor`",
        f"{seconds / simple:.2f} × ({seconds * 1e3:.1f} against {simple * 1e3:.1f} ms; {others})",
        seconds <= simple,
    )


def markdown(results: Results) -> str:
    """Return the tables and the conditions of the run."""
    targets = (
        (row.what, row.target, row.measured, "yes" if row.holds else "**no**") for row in rows(results)
    )
    trigger = results.polling["trigger"]
    clients = (
        (
            words,
            f"{polling.cpu:,.0f}",
            f"{min(polling.rounds):,.0f} to {max(polling.rounds):,.0f}",
            f"{polling.times(trigger):.2f} ×",
            f"{polling.requests:.2f}",
            f"{polling.connections:.2f}",
        )
        for name, words in CLIENTS.items()
        for polling in [results.polling[name]]
    )
    client_head = ("client", "µs per poll", "rounds", "of the trigger", "round trips", "new connections")
    return "\n".join(
        (
            *table(("what", "target", "measured", "holds"), targets),
            "",
            *table(client_head, clients),
            "",
            "¹ Against a server without digest that answers 404. With digest its first check ends: "
            f"`{results.http_sensor}`.",
            "",
            *(f"- {line}" for line in conditions(results)),
            "",
        )
    )


def conditions(results: Results) -> list[str]:
    """Return machine, versions and extent of the run."""
    pinned = cores()
    where = f"client on core {pinned[0]}, server on core {pinned[1]}" if pinned else "processes not pinned"
    packages = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES)
    rounds = len(results.polling["trigger"].rounds)
    return [
        f"{_processor()}, {os.cpu_count()} cores; {where}",
        f"{platform.system()}, Python {platform.python_version()}, {packages}",
        f"CPU: medians of {rounds} rounds of {results.poll_seconds:g} s, the clients in turns; "
        f"imports: medians of {results.imports[_SENSOR].processes} processes; "
        f"waits: one window of {results.window:g} s",
        f"on time: at most {results.tolerance:g} s after the pause between polls was over; "
        f"401s: requests lie up to {results.jitter * 1e3:g} ms at the server",
        f"other processes kept {results.foreign_cores:.2f} cores busy meanwhile; "
        f"the run took {results.took:.0f} s",
    ]


def update_readme(text: str, begin: str = BEGIN) -> None:
    """Replace the text of the previous run.

    :param begin: the line before it
    """
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{begin}\n{text}\n{END}{after}")


def publish(text: str, begin: str, *, write: bool) -> None:
    """Print a table, and perhaps put it into ``README.md``.

    :param begin: the line before it
    """
    print(f"\n{text}\n")
    if write:
        update_readme(f"{text}\n", begin)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


def _kib(waits: Waits) -> str:
    return f"{waits.memory / 1024:.1f}"


def _percent(share: float) -> str:
    """Never round up to 100 %."""
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}".replace("%", " %")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
