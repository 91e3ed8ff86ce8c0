from __future__ import annotations

import json

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_oceanbase.links import OceanBaseCloudLink
from airflow_provider_oceanbase.operators import GetBackupSetOperator, StartBackupOperator
from airflow_provider_oceanbase.sensors import BackupCheckpointSensor, BackupSetSensor, RestorablePointSensor

CONNECTION = {"conn_type": "oceanbase", "login": "k", "password": "s"}
EXTRA = {"console_url": "https://console.example/{instance_id}", "timeout": "none"}


@pytest.mark.parametrize(
    "operator_class",
    [
        BackupCheckpointSensor,
        BackupSetSensor,
        RestorablePointSensor,
        GetBackupSetOperator,
        StartBackupOperator,
    ],
)
def test_each_task_has_the_link(operator_class: type) -> None:
    (link,) = operator_class.operator_extra_links  # type: ignore[attr-defined]
    assert isinstance(link, OceanBaseCloudLink)
    assert link.name == "OceanBase Cloud"


def test_it_is_declared() -> None:
    path = f"{OceanBaseCloudLink.__module__}.{OceanBaseCloudLink.__name__}"
    assert path in ProvidersManager().extra_links_class_names


def test_it_needs_no_valid_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Of the extra, the timeout is wrong.
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", json.dumps(CONNECTION | {"extra": EXTRA}))
    task = GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id="bak-1")
    (link,) = task.operator_extra_links
    assert link.get_link(task, ti_key=None) == "https://console.example/ob-1"
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", json.dumps(CONNECTION | {"extra": "text"}))
    assert link.get_link(task, ti_key=None) == ""
    monkeypatch.delenv("AIRFLOW_CONN_OCEANBASE_DEFAULT")
    assert link.get_link(task, ti_key=None) == ""
