"""The test suite on every Airflow and Python that is supported: ``make matrix``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests", "table"]

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
TEST_TOOLS = (
    "build",
    "cherrypy",
    "cryptography",
    "hypothesis",
    "jsonschema",
    "pytest",
    "requests-mock",
    "uv",
)


@nox.session
@nox.parametrize("python,airflow", MATRIX)
def tests(session: nox.Session, airflow: str) -> None:
    """Run the tests on one Airflow and one Python."""
    session.install("--exclude-newer", RELEASES[airflow], f"apache-airflow=={airflow}")
    # The day would bind these too; what is there already stays as long as it fits.
    provider = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    session.install(f"apache-airflow=={airflow}", *provider)
    # Newer tools may warn of plugins that come with an older Airflow, and warnings are errors.
    session.install("--exclude-newer", RELEASES[NEWEST], *TEST_TOOLS)
    session.install("--no-deps", ".")
    RESULTS.mkdir(exist_ok=True)
    result = RESULTS / f"{airflow} {session.python}.xml"
    # OpenTelemetry, as of an older Airflow, warns where it is imported.
    theirs = "ignore:SelectableGroups:DeprecationWarning"
    options = ("-q", "-p", "no:cacheprovider", "-W", theirs, f"--junitxml={result}")
    session.run("pytest", *options, *session.posargs)


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Show how the tests went, a line for each Airflow and Python."""
    columns = "{:<10}{:<8}{:>8}{:>8}{:>9}{:>9}"
    lines = [columns.format("Airflow", "Python", "passed", "failed", "skipped", "seconds")]
    for python, airflow in MATRIX:
        result = RESULTS / f"{airflow} {python}.xml"
        if not result.exists():
            lines.append(columns.format(airflow, python, "-", "-", "-", "-"))
            continue
        suite = ElementTree.parse(result).getroot()[0].attrib  # noqa: S314 - pytest has just written it
        failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
        passed = int(suite["tests"]) - failed - skipped
        lines.append(columns.format(airflow, python, passed, failed, skipped, f"{float(suite['time']):.0f}"))
    session.log("\n" + "\n".join(lines))
