"""The test suite on every Airflow and Python that is supported: ``make matrix``."""

from __future__ import annotations

import shutil
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

import nox

nox.needs_version = ">=2026.8"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests", "form", "table"]
# A Python that is not there fails its session: a version that was not tested is not supported.
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"

#: Airflow, and the day of its release: what it was released with is what its constraints pin.
RELEASES = {
    "2.11.0": "2025-06-20",
    "2.11.2": "2026-03-15",
    "3.0.6": "2025-08-30",
    "3.1.8": "2026-03-12",
    "3.2.2": "2026-05-30",
    "3.3.2": "2026-09-18",
}
#: The session with this Airflow installs the lower bound of every dependency. (That of aiohttp was released
#: after this Airflow.)
LOWEST = next(iter(RELEASES))
NEWEST = list(RELEASES)[-1]
MATRIX = [*(("3.11", airflow) for airflow in RELEASES), ("3.12", NEWEST), ("3.13", NEWEST)]
CONSTRAINTS = Path("tests/constraints")
#: The uv that is installed with nox, so that none has to be in PATH.
UV = (sys.executable, "-m", "uv")
RESULTS = Path(".nox/results")
WHEELS = Path(".nox/wheel")
STARTED = time.time()
#: Optional parts that the provider works with, as of the day of Airflow's release.
EXTRAS = ("apache-airflow-providers-openlineage",)
TEST_TOOLS = (
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
#: Warnings that an older Airflow, or an OpenTelemetry of the same age, raises at import.
THEIR_WARNINGS = (
    *("-W", "ignore:SelectableGroups:DeprecationWarning"),
    *("-W", "ignore:Timer and timing metrics:DeprecationWarning"),
    *("-W", "ignore:This module is deprecated:DeprecationWarning"),
)


@nox.session(venv_backend="none")
def constraints(session: nox.Session) -> None:
    """Renew the lists of what each Airflow was released with, which stand in for its official constraints."""
    shutil.rmtree(CONSTRAINTS, ignore_errors=True)
    CONSTRAINTS.mkdir()
    for python, airflow in MATRIX:
        airflow_alone = CONSTRAINTS / "airflow.in"
        airflow_alone.write_text(f"apache-airflow=={airflow}\n")
        oldest = ("--resolution", "lowest-direct") if airflow == LOWEST else ()
        options = ("-q", "--upgrade", "--no-header", "--no-annotate", "--no-emit-index-url", *oldest)
        day = ("--exclude-newer", RELEASES[airflow], "--python-version", python)
        made = ("-o", str(constraints_of(airflow, python)))
        session.run(*UV, "pip", "compile", *options, *day, *made, str(airflow_alone), "pyproject.toml")
        airflow_alone.unlink()


@nox.session(venv_backend="none")
def wheel(session: nox.Session) -> None:
    """Build the wheel that the tests install."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run(*UV, "build", "-q", "--wheel", "--out-dir", str(WHEELS))


@nox.session(requires=["wheel"])
@nox.parametrize("python,airflow", MATRIX)
def tests(session: nox.Session, airflow: str) -> None:
    """Install the wheel as a user would, beside one Airflow on one Python, and run the tests."""
    (built,) = WHEELS.glob("*.whl")
    pinned = ("-c", str(constraints_of(airflow, session.python)))
    session.install(f"apache-airflow=={airflow}", *pinned)
    before = installed(session)
    session.install(str(built), *pinned)
    session.run("uv", "pip", "check", external=True)
    session.install("--exclude-newer", RELEASES[airflow], *EXTRAS, *pinned)
    # Newer tools may warn of plugins that come with an older Airflow, and warnings are errors.
    session.install("--exclude-newer", RELEASES[NEWEST], *TEST_TOOLS, *pinned)
    if changed := before - installed(session):
        session.error(f"not as Airflow's constraints have them any more: {', '.join(sorted(changed))}")
    RESULTS.mkdir(exist_ok=True)
    options = ("-q", "-n", "3", "--dist", "loadgroup", "-p", "no:cacheprovider", *THEIR_WARNINGS)
    # What is thorough is about HTTP libraries, not about Airflow: it runs with the oldest here, and with the
    # newest in `make test`.
    some = () if airflow == LOWEST else ("-m", "not thorough")
    junit = f"--junitxml={result(airflow, session.python)}"
    session.run("pytest", *options, *some, junit, *session.posargs)


@nox.session(requires=["wheel"])
@nox.parametrize("airflow", ["3.0.6", "3.1.8", "3.2.2"])
def form(session: nox.Session, airflow: str) -> None:
    """Draw the connection's form from widgets, which need a library that Airflow 3 does not bring itself.

    It wants other versions than Airflow's constraints pin, so it is installed together with Airflow.
    """
    (built,) = WHEELS.glob("*.whl")
    packages = ("--exclude-newer", RELEASES[airflow], f"apache-airflow=={airflow}", "flask-appbuilder")
    session.install(str(built), *packages)
    session.install("--exclude-newer", RELEASES[NEWEST], *TEST_TOOLS, f"apache-airflow=={airflow}")
    session.run("pytest", "-q", "-p", "no:cacheprovider", *THEIR_WARNINGS, "tests/test_provider_info.py")


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
    """Return the file in which pytest writes its results, for the table."""
    return RESULTS / f"{airflow} {python}.xml"


def constraints_of(airflow: str, python: object) -> Path:
    """Return the file of the versions that an Airflow was released with, which its constraints pin."""
    bounds = "lowest-" if airflow == LOWEST else ""
    return CONSTRAINTS / f"{bounds}airflow-{airflow}-python-{python}.txt"


def installed(session: nox.Session) -> set[str]:
    """Return what is installed, each with its version."""
    return set(str(session.run("uv", "pip", "freeze", silent=True, external=True)).splitlines())
