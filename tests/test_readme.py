"""What the README shows works; its first block runs as a DAG, in test_dags."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from conftest import ROOT, code_blocks

from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator

README = (ROOT / "README.md").read_text()


def test_hook_snippet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with CloudEmulator() as cloud:
        cloud.add_backup_set("ob-demo", "bak-demo", statuses=("DONE",), tenants=("orders",))
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
        names: dict[str, Any] = {}
        exec(code_blocks("python")[1], names)
        names["hook"].close()
    assert "DONE ['orders']" in capsys.readouterr().out
    assert names["maybe"]["backupSetId"] == "bak-demo"


def test_emulator_snippet(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(code_blocks("python")[2], names)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    names["test_my_dag"](monkeypatch)


def test_every_python_block_is_tested() -> None:
    assert len(code_blocks("python")) == 3


def test_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in code_blocks("bash") if "export AIRFLOW_CONN" in block)
    for line in block.splitlines():
        name, _, value = shlex.split(line)[1].partition("=")
        monkeypatch.setenv(name, value)
        endpoint = OceanBaseHook().endpoint
        assert (endpoint.access_key_id, endpoint.access_key_secret) == ("AK", "SK")
        assert endpoint.origin == "https://api-cloud.oceanbase.com"
        assert endpoint.project_id == "p-1"


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = "\n".join([*code_blocks("bash"), *re.findall(r"`make [a-z-]+`", README)])
    commands = set(re.findall(r"\bmake ([a-z-]+)", shown))
    assert {"demo", "test", "build"} <= commands
    assert all(re.search(rf"^{command}:", makefile, re.MULTILINE) for command in commands)


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    links = re.findall(r"\]\((?!https:)(.*?)\)", README)
    assert links
    for link in links:
        assert link.removeprefix("#") in headings if link.startswith("#") else (ROOT / link).exists(), link


def test_troubleshooting_quotes_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "airflow_provider_oceanbase").rglob("*.py"))
    source = re.sub(r'"\s+f?"', "", source)
    rows = README.partition("## Troubleshooting")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE)
    quotes = {quote for cell in cells for quote in re.findall(r"`(.*?)`", cell)} - {"Sensor has timed out"}
    assert len(quotes) > 8
    for quote in quotes:
        # Between the values that stand in it.
        assert max(re.split(r"…|'.*?'|\b30\b|FAILED", quote), key=len) in source, quote
