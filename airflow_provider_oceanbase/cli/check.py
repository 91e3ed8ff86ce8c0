"""The command that compares a service with what the provider relies on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase import __version__
from airflow_provider_oceanbase._inferred import POINTS, write_report
from airflow_provider_oceanbase.cli.output import show
from airflow_provider_oceanbase.cli.points import findings
from airflow_provider_oceanbase.cli.probes import DAYS, observe
from airflow_provider_oceanbase.cli.run import Exit, command, opened
from airflow_provider_oceanbase.cli.terminal import progress, say
from airflow_provider_oceanbase.exceptions import shown

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_oceanbase._inferred import Finding


@command
def check(arguments: Namespace) -> Exit:
    """Print what a service does about each point; write a report of it."""
    step = ["the connection"]
    with opened(arguments) as hook, progress(lambda: f"Reading {step[0]}"):
        found = observe(hook, arguments.instance_id, lambda text: step.__setitem__(0, text))
    points = findings(found)
    differing = [one.key for one in points if one.verdict == "differs"]
    bad = {index for index, one in enumerate(points) if one.verdict == "differs"}
    data = [{"key": one.key, "verdict": one.verdict, "seen": one.seen} for one in points]
    show(arguments.output, data, [_row(one) for one in points], bad=bad)
    written = arguments.report is None or _write(arguments.report, points)
    if found.page is None and found.instances.error is not None:
        say(f"Most points were not seen. {found.instances.error}")
        return Exit.ERROR
    if not found.sets:
        error = None if found.page is None else found.page.error
        reason = error or f"No instance has a backup set of the last {DAYS} days."
        say(f"Most points were not seen. {reason}")
    say(f"{len(differing)} of {len(points)} points differ: {', '.join(differing) or 'none'}.")
    if not written:
        return Exit.ERROR
    return Exit.DIFFERS if differing else Exit.DONE


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


def _write(path: str, points: list[Finding]) -> bool:
    try:
        Path(path).write_text(write_report(points, __version__))
    except OSError as error:
        say(f"The report cannot be written to {shown(repr(path))}: {error.strerror}.")
        return False
    say(f"The report is in {path}. It holds no ID, name or host: read it, and attach it to an issue.")
    return True
