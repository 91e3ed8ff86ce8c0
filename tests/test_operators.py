from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
import requests_mock
from conftest import URL, answer

from airflow_provider_oceanbase.exceptions import OceanBaseNotFoundError
from airflow_provider_oceanbase.operators import GetBackupSetOperator


def operator(**options: Any) -> GetBackupSetOperator:
    return GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id="bak-1", **options)


def execute(server_answer: dict[str, Any], **options: Any) -> tuple[Any, MagicMock]:
    ti = MagicMock()
    with requests_mock.Mocker() as server:
        server.get(URL, json=server_answer)
        returned = operator(**options).execute({"ti": ti})  # type: ignore[typeddict-item]
        ti.query = server.last_request.qs
    return returned, ti


def test_constructor_does_no_io() -> None:
    operator(oceanbase_conn_id="no_such_connection")


def test_ids_are_templates() -> None:
    assert set(GetBackupSetOperator.template_fields) == {"instance_id", "backup_task_id", "oceanbase_conn_id"}


def test_tenants_and_summary() -> None:
    returned, ti = execute(answer())
    assert returned == answer()["data"]["tenantBackupSetList"]
    ti.xcom_push.assert_called_once()
    pushed = ti.xcom_push.call_args.kwargs
    assert pushed["key"] == "backup_set"
    assert pushed["value"]["tenantCount"] == 1
    assert pushed["value"]["status"] == "DONE"
    assert ti.query["checkbackupsetdownloadenable"] == ["false"]


def test_null_list_is_empty() -> None:
    assert execute(answer(tenantBackupSetList=None))[0] == []


def test_download_check_is_requested() -> None:
    _, ti = execute(answer(), check_backup_set_download_enable=True)
    assert ti.query["checkbackupsetdownloadenable"] == ["true"]


@pytest.mark.parametrize(("status", "warns"), [("DONE", False), ("DOING", True), ("FAILED", True)])
def test_set_that_is_not_done_warns(status: str, warns: bool, logged: Callable[[], str]) -> None:
    execute(answer(status=status))
    said = logged()
    assert ("may be incomplete" in said) is warns
    assert " kB for XCom: backup task " in said


def test_missing_backup_set_fails() -> None:
    with pytest.raises(OceanBaseNotFoundError):
        execute({"success": True, "data": None})
