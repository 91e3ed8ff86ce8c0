"""CONTRIBUTING, the changelog and pyproject.toml match the project."""

from __future__ import annotations

import ast
import datetime
import re
import tomllib

from conftest import ROOT

from airflow_provider_oceanbase import __version__, exceptions
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_contributing_lists_each_dependency_once() -> None:
    requirements = [
        *PYPROJECT["build-system"]["requires"],
        *PYPROJECT["project"]["dependencies"],
        *(requirement for group in PYPROJECT["dependency-groups"].values() for requirement in group),
    ]
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in requirements}
    section = CONTRIBUTING.partition("## Dependencies")[2]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert sorted(name for cell in cells for name in re.findall(r"`(.*?)`", cell)) == sorted(names)


def test_commands_of_contributing_and_git_hooks_exist() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: (.*)", hooks) == ["make lint", "make test"]
    commands = set(re.findall(r"(?:`|entry: )make ([a-z-]+)", CONTRIBUTING + hooks))
    assert {"constraints", "lint", "matrix", "release", "test"} <= commands
    assert commands <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_test_and_git_hook_run_the_same_checks() -> None:
    assert re.search(r"^test: lint ", MAKEFILE, re.MULTILINE)


def test_paths_in_contributing_exist() -> None:
    paths = re.findall(r"`([\w./-]+(?:/\w*|\.\w+))`", CONTRIBUTING)
    assert {"pyproject.toml", ".ci/run", "benchmarks/", "airflow_provider_oceanbase/__init__.py"} <= set(
        paths
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_folders_have_a_docstring_and_no_imports() -> None:
    package = ROOT / "airflow_provider_oceanbase"
    for path in package.glob("*/__init__.py"):
        module = ast.parse(path.read_text())
        assert ast.get_docstring(module), path
        # Only the emulator is imported as a whole.
        assert len(module.body) == 1 or path.parent.name == "testing", path
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders == {path.name for path in package.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders <= set(re.findall(r"\b(\w+)/", CONTRIBUTING))


def test_api_reference_lists_every_public_name() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "docs" / "api").glob("*.md")}
    index = pages.pop("index.md")
    described = "".join(pages.values())
    for path in ROOT.glob("airflow_provider_oceanbase/[a-z]*.py"):
        name = f"airflow_provider_oceanbase.{path.stem}"
        # Not imported: not every Airflow has what the retry policy is made from.
        definitions = [
            one.name
            for one in ast.parse(path.read_text()).body
            if isinstance(one, ast.ClassDef | ast.FunctionDef) and not one.name.startswith("_")
        ]
        assert definitions, name
        documented = f".. automodule:: {name}" in described
        for one in {*definitions} - {"shown", "unexpected", "frames"}:
            assert documented or f":: {name}.{one}\n" in described, one
            is_error = issubclass(getattr(exceptions, one, object), OceanBaseCloudError)
            assert is_error or f"`{one}`" in index, one


def test_changelog_has_its_format() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert changelog.startswith("# Changelog\n")
    assert "https://keepachangelog.com/" in changelog
    versions = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    unreleased = versions[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\S+)", version) for version in versions[unreleased:]]
    numbers = [tuple(map(int, match[1].split("."))) for match in released if match]
    dates = [datetime.date.fromisoformat(match[2]) for match in released if match]
    assert len(numbers) == len(released), versions
    assert numbers == sorted(set(numbers), reverse=True)
    assert dates == sorted(dates, reverse=True)
    assert unreleased or versions[0].startswith(f"[{__version__}] - ")
    kinds = re.findall(r"^### (.*)$", changelog, re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^(#+) ", changelog, re.MULTILINE)) == {"#", "##", "###"}


def test_version_is_in_one_place() -> None:
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"] == {"path": "airflow_provider_oceanbase/__init__.py"}
    code = [
        path for path in ROOT.glob("airflow_provider_oceanbase/**/*.py") if __version__ in path.read_text()
    ]
    assert [path.name for path in code] == ["__init__.py"]


def test_addresses_are_of_one_repository() -> None:
    urls = PYPROJECT["project"]["urls"]
    assert list(urls) == ["Documentation", "Source", "Changelog"]
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    text = "[a](docs/b.md#c) ![d](docs/e.png) [f](#g) [h](https://i) [![j](k.png)](l.md)"
    for each in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    page, file = (f"{urls['Source']}/{kind}/v$HFPR_VERSION" for kind in ("blob", "raw"))
    pictures = f"![d]({file}/docs/e.png) [f](#g) [h](https://i) [![j]({file}/k.png)]"
    assert text == f"[a]({page}/docs/b.md#c) {pictures}({page}/l.md)"
