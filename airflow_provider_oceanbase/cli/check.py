"""The command that compares a service with what the provider relies on."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase import __version__
from airflow_provider_oceanbase._inferred import POINTS, write_report
from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cli.output import show
from airflow_provider_oceanbase.cli.points import findings
from airflow_provider_oceanbase.cli.probes import observe
from airflow_provider_oceanbase.cli.run import Exit, command, opened
from airflow_provider_oceanbase.cli.summary import problem, summary
from airflow_provider_oceanbase.cli.terminal import progress, say

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from typing import TextIO

    from airflow_provider_oceanbase._inferred import Finding


@command
def check(arguments: Namespace) -> Exit:
    """Print what a service does about each point; write a report of it."""
    with ExitStack() as stack:
        report = None
        if arguments.report is not None:
            try:
                # Before anything is sent: what cannot be written need not be found.
                report = stack.enter_context(_opened_report(Path(arguments.report)))
            except OSError as error:
                return _unwritable(arguments.report, error)
        return _check(arguments, report)


def _check(arguments: Namespace, report: TextIO | None) -> Exit:
    step = ["the connection"]
    with opened(arguments) as hook, progress(lambda: f"Reading {step[0]}"):
        found = observe(hook, arguments.instance_id, lambda text: step.__setitem__(0, text))
    points = findings(found)
    bad = {index for index, one in enumerate(points) if one.verdict == "differs"}
    data = [{"key": one.key, "verdict": one.verdict, "seen": one.seen} for one in points]
    show(arguments.output, data, [_row(one) for one in points], bad=bad)
    failed = problem(found, arguments.instance_id)
    for line in summary(found, points, failed):
        say(line)
    is_written = report is None or _written(report, points, failed=failed is not None) == Exit.DONE
    if failed or not is_written:
        return Exit.ERROR
    return Exit.DIFFERS if bad else Exit.DONE


def _row(finding: Finding) -> dict[str, object]:
    return {
        "point": finding.key,
        "the provider relies on": POINTS[finding.key],
        "this service": _described(finding.seen),
        "verdict": finding.verdict,
    }


def _described(seen: Any) -> str:
    """Return what was seen, in a few words."""
    match seen:
        case dict():
            return ", ".join(f"{name} {_described(value)}" for name, value in seen.items())
        case list():
            return " / ".join(map(_described, seen)) or "none"
        case bool():
            return "yes" if seen else "no"
        case None:
            return "none"
    return str(seen)


@contextmanager
def _opened_report(path: Path) -> Iterator[TextIO]:
    """Open a file to be written at last: what it has stays until then; a new one does not stay empty."""
    with path.open("a", encoding="utf-8") as report:
        try:
            yield report
        finally:
            # Whatever ended the check. A pipe or a device is no file of ours.
            if path.is_file() and not path.stat().st_size:
                with suppress(OSError):
                    path.unlink()


def _written(report: TextIO, points: list[Finding], *, failed: bool) -> Exit:
    path = Path(report.name)
    if path.is_file():
        if failed and path.stat().st_size:
            say(f"{path} is as it was: this check has seen too little to replace it.")
            return Exit.DONE
        report.truncate(0)
    try:
        report.write(write_report(points, __version__))
        report.flush()
    except OSError as error:
        return _unwritable(report.name, error)
    say(f"The report is in {path}. It holds no ID, name or host: read it, and attach it to an issue.")
    return Exit.DONE


def _unwritable(path: str, error: OSError) -> Exit:
    say(f"The report cannot be written to {shown(repr(path))}: {error.strerror}.")
    return Exit.ERROR
