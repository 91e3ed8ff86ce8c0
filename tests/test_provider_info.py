from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.cli import cli_parser
from airflow.providers_manager import ProvidersManager
from conftest import run

from airflow_provider_oceanbase import __version__, get_provider_info
from airflow_provider_oceanbase.cloud.endpoint import DEFAULT_HOST, DEFAULT_TIMEOUT_SECONDS
from airflow_provider_oceanbase.hooks import OceanBaseHook

with warnings.catch_warnings():
    # The version of an older Airflow warns about its own imports.
    warnings.simplefilter("ignore")
    HAS_WIDGETS = bool(find_spec("flask_appbuilder")) and bool(import_module("flask_appbuilder.fieldwidgets"))

needs_widgets = pytest.mark.skipif(not HAS_WIDGETS, reason="this Airflow 3 has no library of form widgets")
CONNECTION_TYPE: dict[str, Any] = get_provider_info()["connection-types"][0]  # type: ignore[index]
FIELDS: dict[str, Any] = CONNECTION_TYPE["conn-fields"]


def imported_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    return set(run(sys.executable, "-c", code).splitlines()[-1].split())


def test_provider_info_imports_nothing() -> None:
    statement = "import airflow_provider_oceanbase as p; p.get_provider_info()"
    assert imported_by(statement) == {"airflow_provider_oceanbase"}


def test_terminal_imports_no_airflow() -> None:
    """Some releases log their import: it has to wait until the terminal is quiet."""
    modules = imported_by("from airflow_provider_oceanbase.cli.terminal import quiet")
    assert "airflow_provider_oceanbase.cli.terminal" in modules
    assert not modules & {"airflow", "alembic"}


def test_dag_files_import_no_http_library() -> None:
    # Airflow 2 itself imports requests, and Airflow 3 the base of triggers for any watched asset.
    code = (
        "from airflow_provider_oceanbase.compat.sdk import BaseSensorOperator; import airflow.triggers.base"
    )
    shells = {f"airflow_provider_oceanbase.{name}" for name in ("sensors", "operators", "assets")}
    make = "airflow_provider_oceanbase.assets.BackupSetEventTrigger('ob-1').serialize()"
    modules = imported_by(f"{code}; before = set(sys.modules); import {', '.join(sorted(shells))}; {make}")
    assert shells <= modules
    assert not modules & {"requests", "aiohttp", "urllib3", "tenacity", "openlineage"}
    assert not modules & {
        f"airflow_provider_oceanbase.{name}" for name in ("hooks", "cloud", "transport", "watching")
    }


#: What Airflow itself imports, such as requests in Airflow 2, is not counted.
IN_A_TASK = (
    "from airflow_provider_oceanbase.compat.sdk import BaseHook, BaseSensorOperator;"
    " before = set(sys.modules)"
)


def test_hook_imports_no_http_library_before_it_sends() -> None:
    modules = imported_by(
        f"{IN_A_TASK}; from airflow_provider_oceanbase.hooks import OceanBaseHook as H; H('x')"
    )
    assert "airflow_provider_oceanbase.hooks" in modules
    assert not modules & {"requests", "aiohttp", "urllib3"}


@pytest.mark.skipif(airflow.__version__.startswith("3.0."), reason="Airflow 3.0 itself imports aiohttp")
@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("sensors.BackupSetSensor(backup_task_id='b'", {"backupSetId": "b"}),
        ("sensors.BackupCheckpointSensor(min_checkpoint='2026-01-01T00:00Z'", {"backupSetId": "b"}),
        ("sensors.RestorablePointSensor(restore_time='2026-01-01T00:00Z'", {"tenants": []}),
    ],
)
def test_resumed_wait_imports_no_http_library(task: str, found: dict[str, Any]) -> None:
    """What the trigger has found needs no request: the task ends as soon as it has a worker."""
    resume = (
        "import airflow_provider_oceanbase.sensors as sensors;"
        f" task = {task}, task_id='t', instance_id='i', deferrable=True);"
        f" task.resume_execution('execute_complete', {{'event': {{'began': 0.0, 'summary': {found}}}}}, {{}})"
    )
    modules = imported_by(f"{IN_A_TASK}; {resume}")
    assert "airflow_provider_oceanbase.waiting.wait" in modules
    assert not modules & {"requests", "aiohttp", "urllib3"}


def test_provider_info_fits_the_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    for field in FIELDS.values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])


def test_provider_is_discovered_by_its_own_name() -> None:
    distribution = importlib.metadata.distribution("airflow-provider-oceanbase")
    (entry_point,) = distribution.entry_points.select(group="apache_airflow_provider")
    assert entry_point.load() is get_provider_info
    assert get_provider_info()["package-name"] == distribution.metadata["Name"]
    assert distribution.version == __version__


def test_connection_type_matches_the_hook() -> None:
    assert CONNECTION_TYPE["connection-type"] == OceanBaseHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == OceanBaseHook.hook_name
    assert CONNECTION_TYPE["hook-class-name"] == f"{OceanBaseHook.__module__}.{OceanBaseHook.__name__}"


def test_forms_agree() -> None:
    behaviour = OceanBaseHook.get_ui_field_behaviour()
    assert behaviour == {
        "hidden_fields": [],
        "relabeling": CONNECTION_TYPE["ui-field-behaviour"]["relabeling"],
        "placeholders": CONNECTION_TYPE["ui-field-behaviour"]["placeholders"],
    }
    schema = json.loads(
        (Path(airflow.__file__).parent / "customized_form_field_behaviours.schema.json").read_text()
    )
    jsonschema.validate(behaviour, schema)


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_hook_is_found() -> None:
    hook = ProvidersManager().hooks["oceanbase"]
    assert hook is not None
    assert hook.package_name == "airflow-provider-oceanbase"
    assert hook.hook_class_name == CONNECTION_TYPE["hook-class-name"]
    assert hook.hook_name == "OceanBase Cloud"
    assert hook.connection_id_attribute_name == OceanBaseHook.conn_name_attr
    assert hook.connection_testable


def test_form_shows_the_defaults() -> None:
    assert f"Default: {DEFAULT_HOST}." in CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]["host"]
    assert (
        f"Default: {DEFAULT_TIMEOUT_SECONDS:g}." in CONNECTION_TYPE["conn-fields"]["timeout"]["description"]
    )


@needs_widgets
def test_widgets_of_older_airflow() -> None:
    wtforms = import_module("wtforms")
    form = type("Form", (wtforms.Form,), OceanBaseHook.get_connection_form_widgets())()
    assert [field.name for field in form] == list(FIELDS)
    for name, field in FIELDS.items():
        assert form[name].label.text == field["label"]
        assert form[name].description == field["description"]
        kind = "password" if field["schema"].get("format") == "password" else "text"
        assert f'type="{kind}"' in form[name]()


@needs_widgets
def test_providers_manager_has_the_form() -> None:
    """The source of the form in Airflow 2.11, and of its API in later versions."""
    widgets = ProvidersManager().connection_form_widgets
    ours = {name: info for name, info in widgets.items() if info.package_name == "airflow-provider-oceanbase"}
    assert {name: info.field_name for name, info in ours.items()} == {
        f"extra__oceanbase__{name}": name for name in FIELDS
    }
    sensitive = {info.field_name for info in ours.values() if info.is_sensitive}
    assert sensitive == {
        name for name, field in FIELDS.items() if field["schema"].get("format") == "password"
    }
    behaviour = ProvidersManager().field_behaviours["oceanbase"]
    assert behaviour == OceanBaseHook.get_ui_field_behaviour()


@pytest.mark.skipif(airflow.__version__.startswith("2."), reason="Airflow 2 has no API that serves the form")
@pytest.mark.skipif(
    airflow.__version__.startswith(("3.0.", "3.1.")) and not HAS_WIDGETS,
    reason="this Airflow 3 has no library of form widgets",
)
def test_form_as_airflow_serves_it() -> None:
    # In a separate process: Airflow replaces the modules of the widgets with mocks.
    served = run(
        sys.executable,
        "-c",
        "from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService\n"
        "forms = {meta.connection_type: meta for meta in HookMetaService.hook_meta_data()}\n"
        "print(forms['oceanbase'].model_dump_json())",
    )
    form = json.loads(served.splitlines()[-1])
    assert (form["hook_name"], form["hook_class_name"]) == (
        CONNECTION_TYPE["hook-name"],
        CONNECTION_TYPE["hook-class-name"],
    )
    behaviour = CONNECTION_TYPE["ui-field-behaviour"]
    for name in ("login", "password", "host", "schema", "port"):
        shown = form["standard_fields"]["url_schema" if name == "schema" else name] or {}
        assert shown.get("title") == behaviour["relabeling"].get(name)
        assert shown.get("placeholder") == behaviour["placeholders"].get(name)
        assert bool(shown.get("hidden")) == (name in behaviour["hidden-fields"])
    assert set(form["extra_fields"]) == set(FIELDS)
    for name, field in FIELDS.items():
        shown = form["extra_fields"][name]
        assert shown["schema"]["title"] == field["label"]
        assert shown["description"] == field["description"]
        assert shown["schema"].get("format") == field["schema"].get("format")


def test_command_line_shows_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*command: str) -> list[dict[str, Any]]:
        arguments = cli_parser.get_parser().parse_args(["providers", *command, "--output", "json"])
        capsys.readouterr()
        arguments.func(arguments)
        rows = json.loads(capsys.readouterr().out)
        return [row for row in rows if "airflow-provider-oceanbase" in row.values()]

    (provider,) = listed("get", "airflow-provider-oceanbase", "--full")
    assert provider["connection-types"][0]["conn-fields"].keys() == FIELDS.keys()
    urls = importlib.metadata.metadata("airflow-provider-oceanbase").get_all("Project-URL") or []
    documentation = dict(url.split(", ", 1) for url in urls)["Documentation"]
    links = not airflow.__version__.startswith(("2.", "3.0."))
    # Airflow 3.1 and 3.2 put a space before it.
    assert (provider.get("documentation-url") or "").strip() == (documentation if links else "")
    (row,) = listed("list")
    assert row["version"] == __version__
    (row,) = listed("hooks")
    assert row["connection_type"] == "oceanbase"
    assert row["class"] == CONNECTION_TYPE["hook-class-name"]
    assert row["conn_id_attribute_name"] == "oceanbase_conn_id"
    modules = {row["class"] for row in listed("triggers")}
    assert modules == {"airflow_provider_oceanbase.triggers"}
