"""The distribution, installed with the constraints of each Airflow."""

from __future__ import annotations

import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import airflow
import pytest
from conftest import ROOT, run
from packaging.requirements import Requirement
from packaging.version import Version
from pages import BLOCKS, PAGES

from airflow_provider_oceanbase import __version__

#: The constraints of each Airflow release, written by ``make constraints``.
CONSTRAINTS = sorted((ROOT / "tests" / "constraints").glob("*.txt"))
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
UV_PIP = (sys.executable, "-m", "uv", "pip")
STEM = f"airflow_provider_oceanbase-{__version__}"


def pins(constraints: Path) -> dict[str, str]:
    return dict(line.split("==") for line in constraints.read_text().splitlines())


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel; the wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "uv", "build", "-q", "--out-dir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"{STEM}-py3-none-any.whl"


def test_what_is_packed(dist: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"airflow_provider_oceanbase/py.typed", "airflow_provider_oceanbase/sensors.py"} <= names
    assert {name.partition("/")[0] for name in names} == {"airflow_provider_oceanbase", f"{STEM}.dist-info"}
    metadata = zipfile.ZipFile(wheel).read(f"{STEM}.dist-info/METADATA").decode()
    assert "https://github.com/" in metadata
    assert re.findall(r"\]\((?!https?:|#).*?\)", metadata) == []
    with tarfile.open(dist / f"{STEM}.tar.gz") as archive:
        packed = set(archive.getnames())
    wanted = {"LICENSE", "pyproject.toml", "CHANGELOG.md"}
    wanted |= {str(page.relative_to(ROOT)) for page in (*PAGES, *(ROOT / "example_dags").glob("*.py"))}
    assert {f"{STEM}/{name}" for name in wanted} <= packed


@pytest.mark.parametrize("constraints", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_of_each_airflow_allow_the_wheel(constraints: Path, wheel: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "requirements.in"
    wanted.write_text(f"apache-airflow\n{wheel}\n")
    python = constraints.stem.rpartition("-")[2]
    options = ("-q", "--no-header", "--no-annotate", "--python", sys.executable, "--python-version", python)
    resolved = run(*UV_PIP, "compile", *options, "-c", constraints, wanted).splitlines()
    # Everything but the wheel is as the constraints pin it.
    ours = [line for line in resolved if wheel.name in line]
    assert len(ours) == 1
    assert set(resolved) - {*ours} <= {*constraints.read_text().splitlines()}


def test_a_session_of_the_matrix_runs_with_each_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        oldest = min(Version(pins(constraints)[requirement.name]) for constraints in CONSTRAINTS)
        assert Version(bound.version) == oldest, requirement


def test_clone_and_wheel_install_as_documented(dist: Path, tmp_path: Path) -> None:
    here = f"airflow-{airflow.__version__}-python-{PYTHON}"
    (constraints,) = (path for path in CONSTRAINTS if path.stem.endswith(here))
    blocks = [block for block in BLOCKS if block.page.name == "install.md" and block.language == "bash"]
    clone, wheel = (
        next(block.text for block in blocks if start in block.text) for start in ("git clone", "pip wheel")
    )
    binaries = tmp_path / "venv" / "bin"
    uv_pip = (*UV_PIP, "install", "-q", "--python", binaries / "python")
    run(sys.executable, "-m", "uv", "venv", "-q", "--seed", "--python", sys.executable, tmp_path / "venv")
    run(*uv_pip, f"apache-airflow=={airflow.__version__}", "-c", constraints)
    environ = {
        "PATH": f"{binaries}:/usr/bin:/bin",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_VERSION": airflow.__version__,
        "CONSTRAINTS": str(constraints),
        # git clones this repository instead.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/airflow-provider-oceanbase/airflow-provider-oceanbase",
    }
    before = set(run(binaries / "pip", "freeze").splitlines())
    for commands in (clone, wheel):
        run("bash", "-ec", f"cd {tmp_path}\n{commands}\npip check", **environ)
        assert before <= set(run(binaries / "pip", "freeze").splitlines())
        output = run(
            binaries / "airflow",
            *("providers", "get", "airflow-provider-oceanbase", "--full", "-o", "json"),
            **environ,
        )
        assert "airflow_provider_oceanbase.hooks.OceanBaseHook" in output
        run(binaries / "pip", "uninstall", "-q", "-y", "airflow-provider-oceanbase")
    run(*uv_pip, "--no-deps", dist / f"{STEM}.tar.gz")
    run(
        binaries / "python",
        "-c",
        "import airflow_provider_oceanbase.testing, airflow_provider_oceanbase.hooks",
        **environ,
    )
