"""The distribution, as somebody gets it who installs it."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

from conftest import ROOT, run

from airflow_provider_oceanbase import __version__


def test_wheel_and_sdist_install_into_an_empty_environment(tmp_path: Path) -> None:
    # The wheel is built from the sdist.
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", tmp_path, ROOT)
    stem = f"airflow_provider_oceanbase-{__version__}"
    sdist, wheel = tmp_path / f"{stem}.tar.gz", tmp_path / f"{stem}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"airflow_provider_oceanbase/py.typed", "airflow_provider_oceanbase/sensors.py"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "airflow_provider_oceanbase",
        f"{stem}.dist-info",
    }
    metadata = zipfile.ZipFile(wheel).read(f"{stem}.dist-info/METADATA").decode()
    assert "https://github.com/" in metadata
    assert re.findall(r"\]\((?!https?:|#).*?\)", metadata) == []
    with tarfile.open(sdist) as archive:
        packed = set(archive.getnames())
    assert {f"{stem}/{name}" for name in ("README.md", "LICENSE", "pyproject.toml", "CHANGELOG.md")} <= packed
    run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install = (sys.executable, "-m", "uv", "pip", "install", "--python", python)
    run(*install, "-c", ROOT / "constraints.txt", wheel)
    command = (python, "-m", "airflow", "providers", "get", "airflow-provider-oceanbase", "--full")
    told = run(*command, "--output", "json", AIRFLOW_HOME=str(tmp_path))
    assert "airflow_provider_oceanbase.hooks.OceanBaseHook" in told
    run(*install, "--no-deps", "--reinstall", sdist)
    run(python, "-c", "import airflow_provider_oceanbase.hooks, airflow_provider_oceanbase.testing")
