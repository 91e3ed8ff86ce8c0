"""The asset of an instance's backup sets, and the example DAG that is scheduled on it."""

from __future__ import annotations

import runpy
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from conftest import ROOT
from modes import AIRFLOW_2

from airflow_provider_oceanbase.assets import backup_set_asset
from airflow_provider_oceanbase.compat import sdk
from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

EXAMPLE = ROOT / "example_dags" / "oceanbase_on_backup.py"

# Airflow imports all providers to find handlers of URIs; on older versions, some of them warn.
pytestmark = pytest.mark.filterwarnings("ignore")
airflow_3 = pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 cannot watch assets")


def test_airflow_2_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "AssetWatcher", None)
    with pytest.raises(RuntimeError, match="needs Airflow 3, which can watch assets"):
        backup_set_asset("ob-1")


def hash_of(trigger: BackupSetEventTrigger) -> int:
    """Return the hash by which Airflow distinguishes watchers."""
    return int(BackupSetEventTrigger.hash(*trigger.serialize()))


def trigger_of(asset: Any) -> BackupSetEventTrigger:
    (watcher,) = asset.watchers
    assert isinstance(watcher.trigger, BackupSetEventTrigger)
    return watcher.trigger


@airflow_3
def test_same_arguments_give_the_same_asset() -> None:
    one = backup_set_asset("ob-1", success_statuses=("DONE", "OK"), poke_interval=60)
    other = backup_set_asset("ob-1", success_statuses=["OK", "DONE"], poke_interval=timedelta(minutes=1))
    assert (one.name, one.uri) == (other.name, other.uri)
    assert hash_of(trigger_of(one)) == hash_of(trigger_of(other))


@airflow_3
@pytest.mark.parametrize(
    "other",
    [
        {"instance_id": "ob-2"},
        {"oceanbase_conn_id": "other"},
        {"require_valid": False},
        {"success_statuses": ("DONE", "OK")},
        {"success_statuses": ("OK",)},
    ],
)
def test_criteria_of_sets_make_another_asset(other: dict[str, Any]) -> None:
    one, another = backup_set_asset("ob-1"), backup_set_asset(**{"instance_id": "ob-1"} | other)
    # In Airflow, name and URI must be unique, and assets with equal triggers cannot have separate state.
    assert one.name != another.name
    assert one.uri != another.uri
    assert hash_of(trigger_of(one)) != hash_of(trigger_of(another))


@airflow_3
@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({}, "oceanbase-cloud://oceanbase_default/ob-1/backup-sets"),
        (
            {"require_valid": False, "success_statuses": ("OK", "A&B")},
            "oceanbase-cloud://oceanbase_default/ob-1/backup-sets"
            "?require_valid=false&success_status=A%26B&success_status=OK",
        ),
        (
            {"instance_id": "ob/1 ä?#", "oceanbase_conn_id": "u:p@h"},
            "oceanbase-cloud://u%3Ap%40h/ob%2F1%20%C3%A4%3F%23/backup-sets",
        ),
    ],
)
def test_uri_is_as_airflow_normalizes_it(arguments: dict[str, Any], uri: str) -> None:
    asset = backup_set_asset(**{"instance_id": "ob-1"} | arguments)
    # Airflow normalizes URIs, but not names; the last one is None if no provider registers the scheme.
    assert (asset.name, asset.uri, asset.normalized_uri) == (uri, uri, uri)


@airflow_3
def test_trigger_is_the_same_from_the_database() -> None:
    from airflow.models.trigger import Trigger
    from airflow.serialization.serialized_objects import BaseSerialization

    asset = backup_set_asset("ob-1", success_statuses=("DONE", "OK"))
    classpath, arguments = trigger_of(asset).serialize()
    stored = Trigger(classpath=classpath, kwargs=arguments)
    # Otherwise each parse of the DAG file would replace it.
    assert BackupSetEventTrigger.hash(stored.classpath, stored.kwargs) == hash_of(trigger_of(asset))
    assert BaseSerialization.deserialize(BaseSerialization.serialize(arguments)) == arguments
    assert trigger_of(asset).poke_interval == 60


@airflow_3
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"instance_id": " "}, "instance_id is ' '"),
        ({"instance_id": None}, "instance_id is None"),
        ({"oceanbase_conn_id": ""}, "oceanbase_conn_id is ''"),
        ({"poke_interval": 0}, "poke_interval is 0"),
        ({"poke_interval": timedelta(seconds=-1)}, "poke_interval is"),
        ({"poke_interval": float("nan")}, "poke_interval is nan"),
        ({"success_statuses": ()}, "success_statuses is empty"),
        ({"success_statuses": "DONE"}, "success_statuses must be a list"),
    ],
)
def test_invalid_arguments_fail_the_dag_file(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        backup_set_asset(**{"instance_id": "ob-1"} | arguments)


@airflow_3
def test_example_runs_for_each_backup() -> None:
    names = runpy.run_path(str(EXAMPLE))
    dag, asset = names["on_backup"], names["BACKUP_SETS"]
    assert dag.task_ids == ["new_backups", "get_backup_set", "process"]
    assert dag.schedule == [asset]
    events = [
        SimpleNamespace(extra={"from_trigger": True, "payload": {"backup_sets": [{"backupSetId": name}] * 2}})
        for name in ("bak-1", "bak-2", "bak-1")
    ]
    read = dag.get_task("new_backups").python_callable
    triggering = MagicMock()
    triggering.__getitem__.side_effect = lambda key: events if key is asset else None
    assert read(triggering_asset_events=triggering) == ["bak-1", "bak-2"]
    events.clear()
    assert read(triggering_asset_events=triggering) == []
