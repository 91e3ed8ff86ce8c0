"""The asset of an instance's backup sets, and the example DAG that is scheduled on it."""

from __future__ import annotations

import json
import runpy
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, backup_set
from modes import AIRFLOW_2

from airflow_provider_oceanbase.assets import backup_set_asset, backup_sets_of
from airflow_provider_oceanbase.cloud.backup_set import summary
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
        ({"instance_id": "ob-1\n"}, r"instance_id is 'ob-1\\n'; it must have no blanks"),
        ({"instance_id": "a\ud800b"}, "which is not Unicode text"),
        ({"oceanbase_conn_id": ""}, "oceanbase_conn_id is ''"),
        ({"oceanbase_conn_id": "None"}, "oceanbase_conn_id is 'None'"),
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
    read = dag.get_task("new_backups").python_callable
    events = [stored(asset, backup_set_payload(*ids)) for ids in (("bak-1", "bak-2"), ("bak-3", "bak-1"))]
    foreign = [stored(backup_set_asset("ob-2"), backup_set_payload("bak-4")), stored(asset, BY_HAND)]
    assert read(triggering_asset_events=triggering(*foreign, *events)) == ["bak-1", "bak-2", "bak-3"]
    assert read(triggering_asset_events=triggering(*foreign)) == []
    assert read(triggering_asset_events=triggering()) == []


#: The extra of an event that a person creates in the web UI.
BY_HAND = {"from_rest_api": True}


def backup_set_payload(*ids: str) -> dict[str, Any]:
    """Return the extra of an event of the trigger, as Airflow stores it."""
    (event,) = BackupSetEventTrigger("ob-1")._events([backup_set(backupSetId=name) for name in ids])
    return json.loads(json.dumps({"from_trigger": True, "payload": event.payload}))


def stored(asset: Any, extra: dict[str, Any]) -> Any:
    """Return an event as a run finds it."""
    from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult

    source = dict.fromkeys(("source_task_id", "source_dag_id", "source_run_id", "source_map_index"))
    return AssetEventDagRunReferenceResult(
        asset={"name": asset.name, "uri": asset.uri, "extra": {}},
        extra=extra,
        source_aliases=[],
        timestamp=datetime.now(UTC),
        **source,
    )


def triggering(*events: Any) -> Any:
    """Return what a run finds as ``triggering_asset_events``."""
    from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

    return TriggeringAssetEventsAccessor.build(events)


@airflow_3
def test_events_of_all_assets_can_be_read_at_once(caplog: pytest.LogCaptureFixture) -> None:
    one, other = (backup_set_asset(name) for name in ("ob-1", "ob-2"))
    first, second = backup_set_payload("bak-1"), backup_set_payload("bak-1")
    second["payload"]["instance_id"] = "ob-2"
    found = backup_sets_of(triggering(stored(one, first), stored(other, second), stored(other, BY_HAND)))
    assert [found["backupSetId"] for found in found] == ["bak-1", "bak-1"]
    assert "that name no backup set: 1." in caplog.text


def event(extra: Any) -> SimpleNamespace:
    return SimpleNamespace(extra=extra)


@pytest.mark.parametrize("events", [None, [], {}, {"asset": []}, iter([])])
def test_no_events(events: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert backup_sets_of(events) == []
    assert caplog.text == ""


#: The last ones are what a person may type.
_NO_IDS = (None, 1, "", "x" * 999, " ", "None", "bak-1 ", "bak-1\n")


@pytest.mark.parametrize(
    "odd",
    [
        *(event(extra) for extra in ({}, None, "text", BY_HAND, {"payload": None}, {"payload": []})),
        *(event({"payload": payload}) for payload in ({}, {"backup_sets": None}, {"backup_sets": []})),
        *(event({"payload": {"backup_sets": [one]}}) for one in (None, 1, "bak-1", [], {})),
        *(event({"payload": {"backup_sets": [{"backupSetId": one}]}}) for one in _NO_IDS),
        *(None, 7, "text", object()),
    ],
)
def test_events_that_name_no_backup_set_hide_no_other(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    good = event({"payload": {"backup_sets": [{"backupSetId": "bak-1"}]}})
    assert [one["backupSetId"] for one in backup_sets_of([odd, good, odd])] == ["bak-1"]
    assert [record.getMessage() for record in caplog.records] == [
        "Skipped asset events, or parts, that name no backup set: 2. A person may have created them."
    ]


def test_part_of_an_event_counts(caplog: pytest.LogCaptureFixture) -> None:
    sets = [{"backupSetId": "bak-1"}, {"status": "DONE"}, {"backupSetId": "bak-2"}]
    found = backup_sets_of([event({"payload": {"backup_sets": sets}})])
    assert [one["backupSetId"] for one in found] == ["bak-1", "bak-2"]
    assert "that name no backup set: 1." in caplog.text


def test_each_backup_set_is_returned_once_with_all_fields() -> None:
    reported = json.loads(json.dumps(summary(backup_set(backupSetId="bak-1"))))
    by_hand = {"backupSetId": "bak-2", "checkpoint": "2026-01-19T10:32:28Z"}
    events = [
        event({"payload": {"instance_id": "ob-1", "backup_sets": [reported, by_hand]}}),
        event({"payload": {"instance_id": "ob-1", "backup_sets": [reported]}}),
    ]
    one, other = backup_sets_of(events)
    assert one == reported
    assert other == dict.fromkeys(reported) | by_hand | {"tenantCount": 0}
