"""README and documentation are correct; test_docs_code runs their Python."""

from __future__ import annotations

import configparser
import importlib.metadata
import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import airflow
import pytest
import requests
import yaml
from certificates import make_certificate
from conftest import set_connection
from packaging.version import Version
from pages import BLOCKS, PAGES, PROJECTS, ROOT, Block, anchors, links, prose, rows
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase import exceptions, get_provider_info
from airflow_provider_oceanbase.__main__ import get_parser
from airflow_provider_oceanbase.cloud.endpoint import DEFAULT_HOST
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.testing.__main__ import BACKUP_SETS, _parser
from airflow_provider_oceanbase.waiting.arguments import (
    FAILURE_STATUSES,
    IN_PROGRESS_STATUSES,
    SUCCESS_STATUSES,
)

STATUSES_AND_ERRORS = ROOT / "docs" / "statuses-and-errors.md"


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def _make(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def _export(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = words[1].partition("=")
    if name.startswith("AIRFLOW_CONN_"):
        monkeypatch.setenv(name, value)
        endpoint = OceanBaseHook(name.removeprefix("AIRFLOW_CONN_").lower()).endpoint
        assert (endpoint.access_key_id, endpoint.access_key_secret) == ("AK", "SECRET")
        assert endpoint.origin == "https://api-cloud.oceanbase.com"
        assert endpoint.project_id == "project-1"
    elif name.startswith("AIRFLOW__"):
        _, section, option = name.lower().split("__")
        assert airflow.configuration.conf.has_option(section, option)
    else:
        assert name in ("AIRFLOW_HOME", "PYTHONPATH")


def _python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"airflow_provider_oceanbase.testing": _parser, "airflow_provider_oceanbase": get_parser}
    assert words[1] == "-m"
    module[words[2]]().parse_args(words[3:])


def _airflow(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.cli.cli_parser import get_parser

    if words[1] != "oceanbase" or Version(airflow.__version__) >= Version("3.2"):
        get_parser().parse_args(words[1:])


def _pip(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the version, pip may install another Airflow to meet the constraints.
    assert words[1] == "wheel" or {"apache-airflow==${AIRFLOW_VERSION}", "--constraint"} < {*words}
    assert any("airflow-provider-oceanbase" in word or word == "dist/*.whl" for word in words)


def _clone(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[:2] == ["git", "clone"]
    urls: list[str] = importlib.metadata.metadata("airflow-provider-oceanbase").get_all("Project-URL") or []
    assert f"Source, {words[2]}" in urls


def _curl(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[:5] == ["curl", "--digest", "-u", "AK", "-H"]
    origin, path = re.fullmatch(r"(https://[^/]+)(/.*)", words[6]).groups()  # type: ignore[union-attr]
    assert origin == f"https://{DEFAULT_HOST}"
    with CloudEmulator(access_key_id="AK", projects={"project-1"}) as cloud, requests.Session() as session:
        cloud.add_backup_set("ob-demo", "bak-demo")
        session.trust_env = False
        session.auth = HTTPDigestAuth("AK", cloud.connection["password"])
        response = session.get(cloud.url + path, headers=dict([words[5].split(": ")]))
        assert (response.status_code, response.json()["success"]) == (200, True)


def _cd(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[1:] == ["airflow-provider-oceanbase"]


def _pytest(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """test_docs_code runs it."""


COMMANDS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "make": _make,
    "export": _export,
    "python": _python,
    "airflow": _airflow,
    "pip": _pip,
    "pytest": _pytest,
    "git": _clone,
    "cd": _cd,
    "curl": _curl,
}
#: Commands of platforms, which cannot run here; the page says so.
OF_PLATFORMS = {"astro", "aws", "gcloud", "helm"}
INSTALL = ROOT / "docs" / "install.md"
RELEASES = {path.stem.split("-")[1] for path in (ROOT / "tests" / "constraints").glob("airflow-*.txt")}


def commands(block: Block) -> Iterator[list[str]]:
    command = ""
    for line in block.text.replace("\\\n", "").splitlines():
        command += f"{line}\n"
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            # The quotation continues in the next line.
            continue
        command = ""
        yield words
    assert not command


@pytest.mark.parametrize("block", of("bash"), ids=str)
def test_commands(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(block):
        if variable := re.match(r"(\w+)=", words[0]):
            assert re.search(rf"\$\{{?{variable[1]}\b", "".join(one.text for one in of("bash")))
        elif words[0] in OF_PLATFORMS:
            assert block.page == INSTALL
        else:
            COMMANDS[words[0]](words, monkeypatch)
        assert words[0] != "pytest" or block.page in PROJECTS


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_connections_in_json(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "company-ca.pem"
    make_certificate(bundle)
    value = json.loads(block.text.replace("/etc/ssl/certs/company-ca.pem", str(bundle)))
    for connection in [value] if "conn_type" in value else value.values():
        set_connection(monkeypatch, **connection)
        endpoint = OceanBaseHook().endpoint
        assert endpoint.access_key_id.startswith("AK")
        extra = connection["extra"]
        assert extra == {name: getattr(endpoint, name) for name in extra}
        assert extra["project_id"] == "project-1"


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_options_of_airflow(block: Block) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(block.text)
    options = [(section, option) for section in parser.sections() for option in parser[section]]
    assert options
    assert all(airflow.configuration.conf.has_option(*option) for option in options)


def test_every_block_is_of_a_tested_kind() -> None:
    # Text is a diagram or an output.
    kinds = {"python", "bash", "json", "ini", "text", "dockerfile", "yaml"}
    assert {block.language for block in BLOCKS} == kinds


def test_the_image_is_of_the_newest_airflow() -> None:
    newest = max(RELEASES, key=Version)
    (dockerfile,), (values,) = of("dockerfile"), of("yaml")
    assert dockerfile.text.startswith(f"FROM apache/airflow:{newest}\n")
    assert yaml.safe_load(values.text)["airflowVersion"] == newest


def test_the_page_says_on_which_airflow_it_was_run() -> None:
    (ran,) = (row[1] for row in rows(INSTALL, "Tested platforms") if row[1] != "no")
    assert {*re.findall(r"\d\.\d+\.\d+", ran)} == RELEASES


def test_pages_are_readable_text() -> None:
    """A page that was decoded by another encoding, and saved, holds control characters."""
    for page in {*ROOT.glob("*.md"), *PAGES}:
        found = [line for line in page.read_text(encoding="utf-8").split("\n") if not line.isprintable()]
        assert not found, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_targets(page: Path) -> None:
    assert links(page)
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_commands_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in re.findall(r"`(make [a-z][^`]*)`", prose(page)):
        _make(command.split(), monkeypatch)


def test_every_exception_is_documented() -> None:
    classes = {
        name: value
        for name, value in inspect.getmembers(exceptions, inspect.isclass)
        if value.__module__ == exceptions.__name__ and not name.startswith("_")
    }
    table = {cells[0].strip("`"): cells for cells in rows(STATUSES_AND_ERRORS, "Exceptions")}
    assert table.keys() == classes.keys()
    for name, (_, _, transient, _) in table.items():
        assert transient == ("yes" if getattr(classes[name], "transient", False) else "no"), name


def test_statuses_match_the_code() -> None:
    (succeeds, _, _), (fails, _, _), (waits, _, _), *_ = rows(STATUSES_AND_ERRORS, "Statuses")
    assert tuple(re.findall(r"`(.*?)`", succeeds)) == SUCCESS_STATUSES
    assert tuple(re.findall(r"`(.*?)`", fails)) == FAILURE_STATUSES
    assert tuple(re.findall(r"`(.*?)`", waits)) == IN_PROGRESS_STATUSES


def test_emulated_sets_match_the_command() -> None:
    table = rows(ROOT / "docs" / "how-to" / "test-your-dags.md", "By hand")
    assert {cells[0].strip("`"): tuple(cells[1].split(", ")) for cells in table} == BACKUP_SETS


def test_connection_fields_are_documented() -> None:
    table = rows(ROOT / "docs" / "connection.md", "Fields")
    fields = [field.strip("`") for _, field, _ in table]
    extras = {field.removeprefix("extra.") for field in fields if field.startswith("extra.")}
    assert {"login", "password", "host", "schema", "port"} == {name for name in fields if "." not in name}
    types: Any = get_provider_info()["connection-types"]
    assert extras == types[0]["conn-fields"].keys()


#: Quotes of Airflow's own messages.
AIRFLOWS = {"Sensor has timed out", "Skipping masking for a secret as it's too short"}


def _source() -> str:
    source = "".join(path.read_text() for path in (ROOT / "airflow_provider_oceanbase").rglob("*.py"))
    return re.sub(r'"\s+f?"', "", source)


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        (STATUSES_AND_ERRORS, "Troubleshooting"),
        (ROOT / "docs" / "how-to" / "proxy-and-ca.md", "Does it work?"),
    ],
    ids=["troubleshooting", "proxy"],
)
def test_messages_match_the_code(page: Path, heading: str) -> None:
    source = _source()
    cells = [row[0] for row in rows(page, heading)]
    quotes = {quote for cell in cells for quote in re.findall(r"`(.*?)`", cell)} - AIRFLOWS
    assert len(quotes) > 6
    for quote in quotes:
        # The longest part without values.
        parts = re.split(r"…|'.*?'|\[\]|\(\w+rror: |FAILED|^instance_id|ID$", quote)
        assert max(parts, key=len) in source, quote


def test_what_the_pages_say_that_a_message_says() -> None:
    source = _source()
    found = [
        (page.name, quote)
        for page in PAGES
        for quote in re.findall(r"(?:says?|fails with) `([A-Za-z][^`]* [^`]*)`", page.read_text())
    ]
    assert ("statuses-and-errors.md", "DONE without a validity") in found
    for name, quote in found:
        assert quote.removeprefix("DONE ") in source, (name, quote)
