"""What the README and the documentation show works, and what they say of the code is so."""

from __future__ import annotations

import configparser
import inspect
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.exceptions import AirflowException
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from conftest import run, set_connection
from pages import BLOCKS, PAGES, PROJECTS, ROOT, Block, anchors, links, prose, rows

from airflow_provider_oceanbase import exceptions, get_provider_info
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.statuses import FAILURE_STATUSES, SUCCESS_STATUSES
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.testing.__main__ import BACKUP_SETS, INSTANCE_ID, TENANTS, _parser

STATUSES_AND_ERRORS = ROOT / "docs" / "statuses-and-errors.md"
MAPPED = {f"process[{index}]": "success" for index in range(len(TENANTS))}
FAILED = {"wait": "failed", "load": "upstream_failed"}
#: What comes of each DAG that a page shows, against an emulator with the sets that the command line has.
OUTCOMES: dict[str, dict[str, str]] = {
    "etl_after_backup": {"wait": "success", "get": "success", **MAPPED},
    "first_backup_etl": {"wait": "success", "get": "success", **MAPPED},
    "etl_behind_a_backup": {"start_backup": "success", "wait": "success", "load": "success"},
    "etl_by_tenant": {"wait": "success", "get": "success", **MAPPED, "process[2]": "skipped"},
    "etl_that_tells": FAILED,
    "etl_with_a_telling_task": {**FAILED, "tell": "success"},
    "etl_with_http_sensor": {"wait": "success", "load": "success"},
    "etl_with_backup_set_sensor": {"wait": "success", "load": "success"},
}
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.file]
DAGS = {block.dag_id: block for block in PYTHON if block.dag_id}
SNIPPETS = [block for block in PYTHON if not block.dag_id]
HAS_HTTP = find_spec("airflow.providers.http") is not None


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator(access_key_id="AK", access_key_secret="SK") as cloud:
        for backup_task_id, statuses in BACKUP_SETS.items():
            cloud.add_backup_set(INSTANCE_ID, backup_task_id, statuses=statuses[-1:], tenants=TENANTS)
        yield cloud


@pytest.fixture(scope="module")
def printed(cloud: CloudEmulator, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run every DAG of the pages in an Airflow of its own; return what it printed."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    names = []
    for dag_id, block in DAGS.items():
        if HAS_HTTP or "providers.http" not in block.text:
            file = home / "dags" / f"{dag_id}.py"
            file.write_text(block.text)
            names.append(f"{file}:{dag_id}")
    environ = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri,
        "AIRFLOW_CONN_OCEANBASE_HTTP": cloud.url,
        "NO_PROXY": "127.0.0.1",
    }
    run(sys.executable, "-m", "airflow", "db", "migrate", **environ)
    return run(sys.executable, ROOT / "tests" / "run_dags.py", *names, **environ)


@pytest.mark.parametrize("dag_id", DAGS)
def test_dag(dag_id: str, printed: str) -> None:
    if "providers.http" in DAGS[dag_id].text and not HAS_HTTP:
        pytest.skip("the HTTP provider is not installed")
    lines = [line.removeprefix("RESULT ") for line in printed.splitlines() if line.startswith("RESULT ")]
    results = {result["dag_id"]: result["tasks"] for result in map(json.loads, lines)}
    assert {name: task["state"] for name, task in results[dag_id].items()} == OUTCOMES[dag_id]


def test_every_dag_of_the_pages_has_an_outcome() -> None:
    assert DAGS.keys() == OUTCOMES.keys()
    assert len(DAGS) == len([block for block in PYTHON if block.dag_id])


def test_failed_backups_are_told(printed: str) -> None:
    assert "The wait for backup bak-failed failed; the backup is FAILED." in printed
    # There, dag.test() keeps the exception from the callback; a worker does not.
    if not airflow.__version__.startswith(("3.0.", "3.1.", "3.2.")):
        assert "To the database team: Backup bak-failed is FAILED." in printed


def test_failures_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(DAGS["etl_that_tells"].text, names)
    backup = {"instance_id": "ob-1", "backup_task_id": "bak-1", "status": "OVERDUE"}
    for error in (
        exceptions.BackupSetFailedError("ended with status OVERDUE", **backup),
        exceptions.OceanBaseThrottledError("too many requests"),
        AirflowSensorTimeout("Sensor has timed out"),
    ):
        names["tell"]({"exception": error})
    assert re.findall(r"^To the (.*? team: .*?)[ .]", capsys.readouterr().out, re.MULTILINE) == [
        "database team: Backup",
        "platform team: OceanBase",
        "platform team: The",
    ]


@pytest.mark.skipif(not HAS_HTTP, reason="the HTTP provider is not installed")
# The HTTP provider's own.
@pytest.mark.filterwarnings("ignore:The .airflow.utils.operator_helpers")
@pytest.mark.parametrize(
    ("status", "comes_of_it"),
    [
        ("DOING", False),
        ("DONE", True),
        ("FAILED", False),
        (None, TypeError),
        (404, False),
        (503, AirflowException),
        (200, KeyError),
    ],
)
def test_http_sensor_does_what_the_page_says_of_it(
    status: str | int | None, comes_of_it: bool | type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec(DAGS["etl_with_http_sensor"].text, names)
    sensor = names["etl_with_http_sensor"]().get_task("wait")
    with CloudEmulator(access_key_id="AK", access_key_secret="SK") as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_HTTP", cloud.url)
        cloud.add_backup_set(INSTANCE_ID, "bak-demo", statuses=(status,))
        if isinstance(comes_of_it, bool):
            assert sensor.poke({}) is comes_of_it
        else:
            with pytest.raises(comes_of_it):
                sensor.poke({})
        # The connection's own login is sent as Basic.
        monkeypatch.setenv(
            "AIRFLOW_CONN_OCEANBASE_HTTP", cloud.connection_uri.replace("oceanbase://", "http://")
        )
        sensor.request_kwargs = {}
        with pytest.raises(AirflowException, match="401"):
            sensor.poke({})


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_snippet(
    block: Block,
    cloud: CloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test(monkeypatch)
    if "hook" in names:
        names["hook"].close()
    # A snippet shows something, or checks it.
    shown = re.search(r"^(True |DONE \['orders', |\['ob-demo'\])", capsys.readouterr().out, re.MULTILINE)
    assert tests or shown


@pytest.mark.parametrize("page", PROJECTS, ids=lambda page: page.name)
def test_project(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if block.page == page]
    for block in blocks:
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
    (commands,) = (block.text for block in blocks if block.language == "bash" and "pytest" in block.text)
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = f"set -e; cd {shlex.quote(str(tmp_path))}\n{commands}"
    told = run("bash", "-c", script, PATH=binaries, NO_PROXY="127.0.0.1")
    written = sum(block.text.count("\ndef test_") for block in blocks if block.file)
    assert re.search(rf"^=+ {written} passed\b", told, re.MULTILINE), told


def _make(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def _export(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = words[1].partition("=")
    if name.startswith("AIRFLOW_CONN_"):
        monkeypatch.setenv(name, value)
        endpoint = OceanBaseHook(name.removeprefix("AIRFLOW_CONN_").lower()).endpoint
        assert (endpoint.access_key_id, endpoint.access_key_secret) == ("AK", "SK")
        assert endpoint.origin == "https://api-cloud.oceanbase.com"
        assert endpoint.project_id == "p-1"
    elif name.startswith("AIRFLOW__"):
        _, section, option = name.lower().split("__")
        assert airflow.configuration.conf.has_option(section, option)
    else:
        assert name in ("AIRFLOW_HOME", "PYTHONPATH")


def _python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[1:3] == ["-m", "airflow_provider_oceanbase.testing"]
    _parser().parse_args(words[3:])


def _airflow(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(words[1:])


def _pip(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words == ["pip", "install", "airflow-provider-oceanbase"]


def _pytest(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has run with its project."""


COMMANDS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "make": _make,
    "export": _export,
    "python": _python,
    "airflow": _airflow,
    "pip": _pip,
    "pytest": _pytest,
}


def commands(block: Block) -> Iterator[list[str]]:
    command = ""
    for line in block.text.replace("\\\n", "").splitlines():
        command += f"{line}\n"
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            # A quotation goes on in the next line.
            continue
        command = ""
        yield words
    assert not command


@pytest.mark.parametrize("block", of("bash"), ids=str)
def test_commands(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(block):
        COMMANDS[words[0]](words, monkeypatch)
        assert words[0] != "pytest" or block.page in PROJECTS


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_connections_in_json(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.loads(block.text)
    # The bundle that is named exists on somebody else's machine.
    monkeypatch.setattr(Path, "exists", lambda path: True)
    for connection in [value] if "conn_type" in value else value.values():
        set_connection(monkeypatch, **connection)
        endpoint = OceanBaseHook().endpoint
        assert endpoint.access_key_id.startswith("AK")
        extra = connection["extra"]
        assert extra == {name: getattr(endpoint, name) for name in extra}
        assert extra["project_id"] == "p-1"


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_options_of_airflow(block: Block) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(block.text)
    options = [(section, option) for section in parser.sections() for option in parser[section]]
    assert options
    assert all(airflow.configuration.conf.has_option(*option) for option in options)


def test_every_block_is_of_a_tested_kind() -> None:
    # Text is a picture or an output.
    assert {block.language for block in BLOCKS} == {"python", "bash", "json", "ini", "text"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
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


def test_every_exception_is_explained() -> None:
    classes = {
        name: value
        for name, value in inspect.getmembers(exceptions, inspect.isclass)
        if value.__module__ == exceptions.__name__
    }
    table = {cells[0].strip("`"): cells for cells in rows(STATUSES_AND_ERRORS, "Exceptions")}
    assert table.keys() == classes.keys()
    for name, (_, _, transient, _) in table.items():
        assert transient == ("yes" if getattr(classes[name], "transient", False) else "no"), name


def test_statuses_are_those_of_the_code() -> None:
    (succeeds, _, _), (fails, _, _), (waits, _, _), *_ = rows(STATUSES_AND_ERRORS, "Statuses")
    assert tuple(re.findall(r"`(.*?)`", succeeds)) == SUCCESS_STATUSES
    assert tuple(re.findall(r"`(.*?)`", fails)) == FAILURE_STATUSES
    assert not set(re.findall(r"`(.*?)`", waits)) & {*SUCCESS_STATUSES, *FAILURE_STATUSES}


def test_emulated_sets_are_those_of_the_command() -> None:
    table = rows(ROOT / "docs" / "how-to" / "test-your-dags.md", "By hand")
    assert {cells[0].strip("`"): tuple(cells[1].split(", ")) for cells in table} == BACKUP_SETS


def test_connection_fields_are_explained() -> None:
    table = rows(ROOT / "docs" / "connection.md", "Fields")
    fields = [field.strip("`") for _, field, _ in table]
    extras = {field.removeprefix("extra.") for field in fields if field.startswith("extra.")}
    assert {"login", "password", "host", "schema", "port"} == {name for name in fields if "." not in name}
    types: Any = get_provider_info()["connection-types"]
    assert extras == types[0]["conn-fields"].keys()


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        (STATUSES_AND_ERRORS, "Troubleshooting"),
        (ROOT / "docs" / "how-to" / "proxy-and-ca.md", "Does it work?"),
    ],
    ids=["troubleshooting", "proxy"],
)
def test_messages_are_those_of_the_code(page: Path, heading: str) -> None:
    source = "".join(path.read_text() for path in (ROOT / "airflow_provider_oceanbase").rglob("*.py"))
    source = re.sub(r'"\s+f?"', "", source)
    cells = [row[0] for row in rows(page, heading)]
    quotes = {quote for cell in cells for quote in re.findall(r"`(.*?)`", cell)} - {"Sensor has timed out"}
    assert len(quotes) > 6
    for quote in quotes:
        # Between the values that stand in it.
        assert max(re.split(r"…|'.*?'|\(\w+rror: |FAILED", quote), key=len) in source, quote
