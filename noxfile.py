"""The test suite on every Airflow and Python that is supported: ``make matrix``."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests", "table"]
# A Python that is not there fails its session: a version that was not tested is not supported.
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"

#: Airflow and the day to install it as of: it names no upper bounds, and what came later may not fit it.
RELEASES = {
    "2.11.2": "2026-03-15",
    "3.0.6": "2025-08-30",
    "3.1.8": "2026-03-12",
    "3.2.2": "2026-05-30",
    "3.3.2": "2026-09-18",
}
NEWEST = list(RELEASES)[-1]
MATRIX = [*(("3.11", airflow) for airflow in RELEASES), ("3.12", NEWEST), ("3.13", NEWEST)]
RESULTS = Path(".nox/results")
STARTED = time.time()
TEST_TOOLS = (
    "apache-airflow-providers-openlineage",
    "build",
    "cherrypy",
    "cryptography",
    "hypothesis",
    "jsonschema",
    "pytest",
    "pytest-xdist",
    "requests-mock",
    "statsd",
    "twine",
    "uv",
)


@nox.session
@nox.parametrize("python,airflow", MATRIX)
def tests(session: nox.Session, airflow: str) -> None:
    """Run the tests on one Airflow and one Python."""
    # Before 3.3 Airflow draws the connection's form from widgets of flask-appbuilder.
    session.install("--exclude-newer", RELEASES[airflow], f"apache-airflow=={airflow}", "flask-appbuilder")
    # The day would bind these too; what is there already stays as long as it fits.
    provider = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    session.install(f"apache-airflow=={airflow}", *provider)
    # Newer tools may warn of plugins that come with an older Airflow, and warnings are errors.
    session.install("--exclude-newer", RELEASES[NEWEST], f"apache-airflow=={airflow}", *TEST_TOOLS)
    session.install("--no-deps", ".")
    RESULTS.mkdir(exist_ok=True)
    # OpenTelemetry, as of an older Airflow, warns where it is imported.
    theirs = "ignore:SelectableGroups:DeprecationWarning"
    options = ("-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "-W", theirs)
    session.run("pytest", *options, f"--junitxml={result(airflow, session.python)}", *session.posargs)


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Show how the tests of this run went, a line for each Airflow and Python, and what was skipped."""
    columns = "{:<10}{:<8}{:>8}{:>8}{:>9}{:>9}"
    lines = [columns.format("Airflow", "Python", "passed", "failed", "skipped", "seconds")]
    skips: dict[str, list[str]] = defaultdict(list)
    for python, airflow in MATRIX:
        path = result(airflow, python)
        if not path.exists() or path.stat().st_mtime < STARTED:
            lines.append(columns.format(airflow, python, *4 * ["-"]) + "  no result: see above")
            continue
        suite = ElementTree.parse(path).getroot()[0]  # noqa: S314 - pytest has just written it
        count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
        failed, skipped = count["failures"] + count["errors"], count["skipped"]
        seconds = f"{float(suite.attrib['time']):.0f}"
        lines.append(
            columns.format(airflow, python, count["tests"] - failed - skipped, failed, skipped, seconds)
        )
        for skip in suite.iter("skipped"):
            skips[skip.attrib["message"]].append(f"{airflow} on {python}")
    for reason, where in skips.items():
        lines.append(f"skipped: {reason} ({len(where)}: {', '.join(dict.fromkeys(where))})")
    session.log("\n" + "\n".join(lines))


def result(airflow: str, python: object) -> Path:
    """Where pytest writes how it went, and the table reads it."""
    return RESULTS / f"{airflow} {python}.xml"
