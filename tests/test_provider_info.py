from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_oceanbase import __version__, get_provider_info
from airflow_provider_oceanbase.endpoint import DEFAULT_HOST, DEFAULT_TIMEOUT_SECONDS
from airflow_provider_oceanbase.hooks import OceanBaseHook

CONNECTION_TYPE: dict[str, Any] = get_provider_info()["connection-types"][0]  # type: ignore[index]


def imported_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_provider_info_imports_nothing() -> None:
    statement = "import airflow_provider_oceanbase as p; p.get_provider_info()"
    assert imported_by(statement) == {"airflow_provider_oceanbase"}


def test_dag_files_pay_for_no_http_library() -> None:
    # Airflow 2 imports requests itself.
    code = (
        "from airflow.providers.common.compat.sdk import BaseSensorOperator, BaseOperator, AirflowException"
    )
    shells = "airflow_provider_oceanbase.sensors, airflow_provider_oceanbase.operators"
    modules = imported_by(f"{code}; before = set(sys.modules); import {shells}")
    assert {"airflow_provider_oceanbase.sensors", "airflow_provider_oceanbase.operators"} <= modules
    assert not modules & {"requests", "aiohttp", "urllib3", "tenacity", "airflow_provider_oceanbase.hooks"}


def test_provider_info_fits_the_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    for field in CONNECTION_TYPE["conn-fields"].values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])


def test_provider_is_discovered_by_its_own_name() -> None:
    distribution = importlib.metadata.distribution("airflow-provider-oceanbase")
    (entry_point,) = distribution.entry_points.select(group="apache_airflow_provider")
    assert entry_point.load() is get_provider_info
    assert get_provider_info()["package-name"] == distribution.metadata["Name"]
    assert distribution.version == __version__


def test_connection_type_is_the_hooks() -> None:
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


def test_form_tells_the_defaults() -> None:
    assert f"Default: {DEFAULT_HOST}." in CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]["host"]
    assert (
        f"Default: {DEFAULT_TIMEOUT_SECONDS:g}." in CONNECTION_TYPE["conn-fields"]["timeout"]["description"]
    )


def test_widgets_of_older_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flask_appbuilder", reason="only Airflow before 3.3 draws the form from widgets")
    import wtforms

    widgets = OceanBaseHook.get_connection_form_widgets()
    form = type("Form", (wtforms.Form,), widgets)()
    fields = CONNECTION_TYPE["conn-fields"]
    assert list(widgets) == list(fields)
    for name, field in fields.items():
        assert form[name].label.text == field["label"]
        assert form[name].description == field["description"]


def test_form_as_airflow_serves_it() -> None:
    if airflow.__version__.startswith(("3.0.", "3.1.")):
        pytest.importorskip("flask_appbuilder", reason="these versions read the form from widgets alone")
    providers_manager = ProvidersManager()
    widgets = providers_manager.connection_form_widgets
    served = {name for name in widgets if name.startswith("extra__oceanbase__")}
    assert served == {f"extra__oceanbase__{name}" for name in CONNECTION_TYPE["conn-fields"]}
    behaviour = providers_manager.field_behaviours["oceanbase"]
    assert behaviour["relabeling"]["login"] == "AccessKey ID"
