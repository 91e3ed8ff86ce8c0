"""URIs of backup sets as Airflow uses them, and what the hook records for lineage."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.providers_manager import ProvidersManager
from modes import AIRFLOW_2

from airflow_provider_oceanbase import get_provider_info
from airflow_provider_oceanbase.compat import assets as uris
from airflow_provider_oceanbase.compat import sdk
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseNotFoundError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.lineage import convert_asset_to_openlineage, create_asset
from airflow_provider_oceanbase.testing import CloudEmulator

# Airflow imports all providers to find handlers of URIs; on older versions, some of them warn.
pytestmark = pytest.mark.filterwarnings("ignore")
PREFIX = "oceanbase-cloud://oceanbase_default/ob-1"
openlineage = pytest.mark.skipif(not find_spec("openlineage"), reason="the openlineage provider is optional")


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({}, f"{PREFIX}/backup-sets"),
        ({"backup_task_id": "bak-1"}, f"{PREFIX}/backup-sets/bak-1"),
        (
            {"instance_id": "o/b ?", "backup_task_id": "a#b", "oceanbase_conn_id": "u:p@h"},
            "oceanbase-cloud://u%3Ap%40h/o%2Fb%20%3F/backup-sets/a%23b",
        ),
    ],
)
def test_the_factory_makes_uris_in_normal_form(arguments: dict[str, Any], uri: str) -> None:
    asset = create_asset(**{"instance_id": "ob-1"} | arguments, extra={"a": 1})
    assert (asset.uri, asset.normalized_uri, asset.extra) == (uri, uri, {"a": 1})
    given = {"instance_id": "ob-1", "oceanbase_conn_id": "oceanbase_default", **arguments}
    wanted = [given["oceanbase_conn_id"], given["instance_id"], "backup-sets"]
    assert uris.segments_of(asset.uri)[:3] == wanted


@pytest.mark.parametrize(
    "value", ["", " ", ".", "..", "None", " ob1 ", "ob1\n", "a\ud800b", True, 1.5, ["ob1"]]
)
@pytest.mark.parametrize("name", ["instance_id", "backup_task_id", "oceanbase_conn_id"])
def test_the_factory_refuses_what_is_no_id(name: str, value: Any) -> None:
    with pytest.raises(OceanBaseInputError, match=f"Unusable argument: {name} is "):
        create_asset(**{"instance_id": "ob1"} | {name: value})


def test_only_the_backup_task_can_be_left_out() -> None:
    for name in ("instance_id", "oceanbase_conn_id"):
        arguments: dict[str, Any] = {"instance_id": "ob1"} | {name: None}
        with pytest.raises(OceanBaseInputError, match=f"{name} is None, which is no ID"):
            create_asset(**arguments)
    assert create_asset(instance_id="ob1", backup_task_id=None).uri.endswith("/ob1/backup-sets")


def test_airflow_finds_factory_and_converter() -> None:
    kind = "dataset" if AIRFLOW_2 else "asset"
    manager = ProvidersManager()
    factories = getattr(manager, f"{kind}_factories")
    converters = getattr(manager, f"{kind}_to_openlineage_converters")
    assert factories["oceanbase-cloud"] is create_asset
    assert converters["oceanbase-cloud"] is convert_asset_to_openlineage
    # Airflow 2 reads the other name.
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]


@openlineage
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/backup-sets/bak-1", "ob-1/bak-1"),
        ("/backup-sets", "ob-1/backup-sets"),
        ("/backup-sets?require_valid=false", "ob-1/backup-sets"),
        ("/tenants", "ob-1/tenants"),
        ("/tenants/t%2F1", "ob-1/tenants/t/1"),
    ],
)
def test_a_uri_as_a_dataset(path: str, name: str, cloud: CloudEmulator) -> None:
    asset = sdk.Asset(uri=f"{PREFIX}{path}")
    for context in (OceanBaseHook(), object()):
        dataset = convert_asset_to_openlineage(asset, context)
        assert dataset
        assert (dataset.namespace, dataset.name) == (cloud.url.replace("http", "oceanbase-cloud"), name)


@openlineage
def test_the_connection_of_the_uri_counts(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of a hook which reports it."""
    other = {"conn_type": "oceanbase", "login": "key", "password": "secret", "host": "https://other.example"}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(other))
    dataset = convert_asset_to_openlineage(sdk.Asset(uri=f"{PREFIX}/tenants"), OceanBaseHook("other"))
    assert dataset
    assert dataset.namespace == cloud.url.replace("http", "oceanbase-cloud")


@openlineage
@pytest.mark.parametrize("uri", ["oceanbase-cloud://c", "oceanbase-cloud://c/ob-1", "oceanbase-cloud:///a/b"])
def test_other_uris_are_no_datasets(uri: str) -> None:
    assert convert_asset_to_openlineage(sdk.Asset(uri=uri), None) is None


@openlineage
@pytest.mark.parametrize(
    "uri",
    [
        "oceanbase-cloud://SECRET@oceanbase_default/ob-1/backup-sets",
        "oceanbase-cloud://user:SECRET@oceanbase_default/ob-1/backup-sets",
        "oceanbase-cloud://oceanbase_default:SECRET/ob-1/backup-sets",
        "oceanbase-cloud://{{ params.SECRET }}/ob-1/backup-sets",
        "oceanbase-cloud://%7B%7B%20params.SECRET%20%7D%7D/ob-1/backup-sets",
        "oceanbase-cloud://oceanbase_default/{{ params.SECRET }}/backup-sets",
        "oceanbase-cloud://oceanbase_default/ob-1/backup-sets/{% if SECRET %}bak-1{% endif %}",
    ],
)
def test_what_is_no_id_leads_to_no_connection(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(conn_id: str) -> None:
        raise AssertionError(conn_id)

    monkeypatch.setattr(OceanBaseHook, "get_connection", read)
    # Airflow drops user info of two parts from an asset's URI itself.
    assert uris.segments_of(uri) == []
    asset = SimpleNamespace(uri=uri)
    for context in (None, OceanBaseHook()):
        assert convert_asset_to_openlineage(cast("sdk.Asset", asset), context) is None


@openlineage
def test_a_connection_that_is_missing() -> None:
    asset = sdk.Asset(uri="oceanbase-cloud://nowhere/ob-1/backup-sets")
    with pytest.raises(OceanBaseCloudError, match="Connection missing"):
        convert_asset_to_openlineage(asset, None)


@openlineage
def test_as_airflow_converts_it(cloud: CloudEmulator) -> None:
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    dataset = translate_airflow_asset(create_asset(instance_id="ob-1", backup_task_id="bak-1"), None)
    assert dataset
    assert dataset.name == "ob-1/bak-1"


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, list[str]]]:
    """Return what a real collector has, by inputs and outputs, as in a task."""
    original = sdk.get_hook_lineage_collector
    collector = sys.modules[original.__module__].HookLineageCollector()
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector)
    monkeypatch.setattr(uris, "_runs_task", lambda: True)

    def found() -> dict[str, list[str]]:
        lineage = getattr(collector, f"collected_{'datasets' if AIRFLOW_2 else 'assets'}")
        return {
            kind: [getattr(one, "dataset" if AIRFLOW_2 else "asset").uri for one in getattr(lineage, kind)]
            for kind in ("inputs", "outputs")
        }

    return found


def test_the_hook_records_what_it_reads_and_starts(
    cloud: CloudEmulator, collected: Callable[[], dict[str, list[str]]]
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
    cloud.add_backup_set("ob-1", "bak-none", statuses=(None,))
    hook = OceanBaseHook()
    for _ in range(2):
        hook.get_backup_set("ob-1", "bak-1")
    assert hook.find_backup_set("ob-1", "bak-none") is None
    with pytest.raises(OceanBaseNotFoundError):
        hook.get_backup_set("ob-1", "bak-unknown")
    assert collected() == {"inputs": [f"{PREFIX}/backup-sets/bak-1"], "outputs": []}
    list(hook.list_backup_sets("ob-1"))
    hook.get_restorable_tenants("ob-1")
    started = hook.start_backup("ob-1", backup_object_type="tenant")
    assert collected()["inputs"][1:] == [f"{PREFIX}/backup-sets", f"{PREFIX}/tenants"]
    assert collected()["outputs"] == [f"{PREFIX}/backup-sets/{started}"]


def test_a_collector_that_fails_disturbs_nothing(
    cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("a plugin is broken")

    monkeypatch.setattr(sdk, "get_hook_lineage_collector", fail, raising=False)
    monkeypatch.setattr(uris, "_runs_task", lambda: True)
    assert OceanBaseHook().get_restorable_tenants("ob-1") == []


def test_outside_tasks_nothing_is_collected(cloud: CloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError

    monkeypatch.setattr(sdk, "get_hook_lineage_collector", fail, raising=False)
    assert not uris._runs_task()
    assert OceanBaseHook().get_restorable_tenants("ob-1") == []
