"""The request that starts a backup, and its response."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from strategies import ENDPOINT, bodies, headers, http_statuses, json_values

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.query import Request
from airflow_provider_oceanbase.cloud.start_backup import (
    BACKUP_OBJECT_TYPES,
    MAX_TABLES,
    read_backup_task_id,
    start_backup_request,
)
from airflow_provider_oceanbase.exceptions import (
    BackupStartUnknownError,
    OceanBaseCloudError,
    OceanBaseInputError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = pytest.mark.usefixtures("no_pauses")

ONE_DATABASE = [{"databaseName": "shop", "tables": ["orders", "items"]}]


def request(instance_id: Any = "ob-1", **options: Any) -> Request[str]:
    return start_backup_request(instance_id, **{"backup_object_type": "tenant"} | options)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"tenant_id": "t1"}, {"tenantId": "t1"}),
        ({"need_pre_check": False}, {"needPreCheck": False}),
        (
            {"backup_object_type": "table", "tenant_id": "t1", "database_tables": ONE_DATABASE},
            {"backupObjectType": "table", "tenantId": "t1", "databaseTables": ONE_DATABASE},
        ),
        (
            {"backup_object_type": "database", "database_tables": [{"databaseName": "a"}, {}]},
            {"backupObjectType": "database", "databaseTables": [{"databaseName": "a"}, {}]},
        ),
        ({"backup_object_type": "database"}, {"backupObjectType": "database"}),
    ],
)
def test_body(options: dict[str, Any], body: dict[str, Any]) -> None:
    made = request(**options)
    assert made.method == "POST"
    assert (
        made.url(ENDPOINT, "r") == "https://api.example/api/v2/instances/ob-1/backup/data/start?requestId=r"
    )
    defaults = {"backupObjectType": "tenant", "backupPolicy": "manual", "needPreCheck": True}
    assert made.body == defaults | body


def tables(count: int) -> list[dict[str, Any]]:
    return [{"tables": [f"t{number}" for number in range(count)]}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"instance_id": ""}, "instance_id is '', which is no ID"),
        ({"tenant_id": ""}, "tenant_id is '', which is no ID"),
        ({"tenant_id": "None"}, "tenant_id is 'None', which is no ID"),
        ({"tenant_id": 7.0}, "tenant_id is 7.0, which is no ID"),
        ({"tenant_id": True}, "tenant_id is True, which is no ID"),
        ({"tenant_id": "t1\n"}, "tenant_id is 't1\\n'; it must have no blanks or line breaks around it"),
        (
            {"backup_object_type": "TENANT"},
            "backup_object_type is 'TENANT'; it must be tenant or database or",
        ),
        ({"backup_object_type": None}, "backup_object_type is None; it must be"),
        ({"backup_object_type": ["tenant"]}, "backup_object_type is ['tenant']; it must be"),
        ({"backup_policy": "auto"}, "backup_policy is 'auto'; it must be manual"),
        ({"need_pre_check": "true"}, "need_pre_check is 'true'; it must be True or False"),
        ({"database_tables": ONE_DATABASE}, "it is for backups of databases and tables only"),
        ({"backup_object_type": "table"}, "database_tables is None; it must say which tables"),
        (
            {"backup_object_type": "table", "database_tables": []},
            "it must be a list of dicts, one a database",
        ),
        (
            {"backup_object_type": "table", "database_tables": str(ONE_DATABASE)},
            "render_template_as_native_obj",
        ),
        ({"backup_object_type": "database", "database_tables": ["shop"]}, "it must be a list of dicts"),
        ({"backup_object_type": "database", "database_tables": {"a": 1}}, "it must be a list of dicts"),
        ({"backup_object_type": "table", "database_tables": ONE_DATABASE * 2}, "it must have one entry"),
        ({"backup_object_type": "table", "database_tables": [{}]}, "must list from 1 to 200 tables"),
        ({"backup_object_type": "table", "database_tables": [{"tables": "orders"}]}, "from 1 to 200 tables"),
        ({"backup_object_type": "table", "database_tables": tables(0)}, "must list from 1 to 200 tables"),
        ({"backup_object_type": "table", "database_tables": tables(MAX_TABLES + 1)}, "from 1 to 200 tables"),
        ({"backup_object_type": "database", "database_tables": [{"a": math.nan}]}, "must be plain JSON"),
        ({"backup_object_type": "database", "database_tables": [{"a": b"1"}]}, "must be plain JSON"),
        (
            {"backup_object_type": "table", "database_tables": [{"databaseName": "s", "tables": ["None"]}]},
            "database_tables[0]['tables'][0] is 'None', which is no name",
        ),
        (
            {"backup_object_type": "database", "database_tables": [{"databaseName": None}]},
            "database_tables[0]['databaseName'] is None, which is no name",
        ),
    ],
)
def test_invalid_argument_sends_nothing(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        request(**options)
    text = str(caught.value)
    assert says in text
    assert "Nothing was sent." in text
    assert len(text) < 700
    assert not caught.value.may_have_acted


def test_most_tables_that_the_api_accepts() -> None:
    made = request(backup_object_type="table", database_tables=tables(MAX_TABLES))
    assert made.body is not None
    assert len(made.body["databaseTables"][0]["tables"]) == MAX_TABLES


def test_an_id_that_is_a_number_is_not_lost() -> None:
    with pytest.raises(ValueError, match="backupTaskId is the number 4711, no text"):
        request().read({"backupTaskId": 4711})


@pytest.mark.parametrize("data", [None, {}, [], "bak-1", {"backupTaskId": None}, {"backupTaskId": ""}])
def test_response_without_an_id(data: object) -> None:
    with pytest.raises(ValueError, match="data have no backupTaskId"):
        read_backup_task_id(data)


arguments = json_values | st.sampled_from([*BACKUP_OBJECT_TYPES, "manual", "t1"])


@given(st.text(), arguments, arguments, arguments, arguments, arguments)
@example("ob-1", "table", "t1", ONE_DATABASE, "manual", True)
@example("a/../b?c#d", "tenant", "\ud800", None, "manual", False)
def test_any_arguments_make_a_request_or_an_input_error(
    instance_id: str, kind: Any, tenant_id: Any, database_tables: Any, policy: Any, check: Any
) -> None:
    try:
        made = request(
            instance_id,
            backup_object_type=kind,
            tenant_id=tenant_id,
            database_tables=database_tables,
            backup_policy=policy,
            need_pre_check=check,
        )
    except OceanBaseInputError as error:
        assert str(error).isprintable()
        return
    assert made.body is not None
    sent = json.loads(json.dumps(made.body, allow_nan=False))
    assert sent["backupObjectType"] in BACKUP_OBJECT_TYPES
    assert sent["backupPolicy"] == "manual"
    assert isinstance(sent["needPreCheck"], bool)
    assert sent.get("tenantId") == tenant_id
    segments = urlsplit(made.url(ENDPOINT, "r")).path.split("/")
    assert segments[:4] + segments[5:] == ["", "api", "v2", "instances", "backup", "data", "start"]
    assert unquote(segments[4]) == instance_id


answers = bodies | st.fixed_dictionaries(
    {"success": st.just(True), "data": st.fixed_dictionaries({"backupTaskId": st.text() | json_values})}
).map(lambda value: json.dumps(value).encode())


def read(status: int, names: dict[str, str], body: bytes, *, sent: bool) -> str:
    fields = CaseInsensitiveDict(names)
    return protocol.read_response(request(), "mine", status, fields, body, sent=sent).data


def says_no(body: bytes) -> bool:
    try:
        envelope = json.loads(body.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return False
    return isinstance(envelope, dict) and envelope.get("success") is False


@given(http_statuses, headers, answers)
@example(101, {}, b"")
@example(303, {}, b"")
def test_any_response_gives_an_id_or_says_whether_a_backup_may_run(
    status: int, names: dict[str, str], body: bytes
) -> None:
    try:
        found = read(status, names, body, sent=True)
    except OceanBaseCloudError as error:
        refused = status in (307, 308) or (400 <= status < 500 and status != 408)
        if status == 200:
            refused = says_no(body)
        assert error.may_have_acted is not refused
        assert not (error.repeatable and error.may_have_acted)
        return
    assert status == 200
    assert found == json.loads(body)["data"]["backupTaskId"]
    assert found.strip()


@given(http_statuses, headers, answers)
def test_what_was_not_sent_has_started_nothing_unless_the_server_says_success(
    status: int, names: dict[str, str], body: bytes
) -> None:
    with pytest.raises(OceanBaseCloudError) as caught:
        read(status, names, body, sent=False)
    refused = status == 200 and says_no(body)
    assert caught.value.may_have_acted is (200 <= status < 300 and not refused)


@given(http_statuses, headers, bodies)
def test_read_requests_are_repeatable(status: int, names: dict[str, str], body: bytes) -> None:
    reading = protocol.list_instances_request(page_size=1)
    try:
        protocol.read_response(reading, "mine", status, CaseInsensitiveDict(names), body)
    except OceanBaseCloudError as error:
        assert error.repeatable is error.transient


def start(**options: Any) -> str:
    hook = OceanBaseHook()
    try:
        return hook.start_backup("ob-1", **{"backup_object_type": "tenant"} | options)
    finally:
        hook.close()


def test_backup_is_started(cloud: CloudEmulator) -> None:
    planned = cloud.next_backup("ob-1", backup_task_id="bak-new")
    assert start(backup_object_type="table", tenant_id="t1", database_tables=ONE_DATABASE) == planned
    assert [(seen.method, seen.status) for seen in cloud.requests] == [("POST", 401), ("POST", 200)]
    # What is asked for goes out with credentials only.
    assert [seen.body for seen in cloud.requests] == [
        None,
        {
            "backupObjectType": "table",
            "backupPolicy": "manual",
            "needPreCheck": True,
            "tenantId": "t1",
            "databaseTables": ONE_DATABASE,
        },
    ]
    assert cloud.requests[-1].headers["content-type"] == "application/json"


@pytest.mark.parametrize("failure", [{"drop": True}, {"status": 502}, {"status": 200, "body": b"<html>"}])
def test_backup_that_runs_although_its_start_failed(cloud: CloudEmulator, failure: dict[str, Any]) -> None:
    cloud.next_backup("ob-1", backup_task_id="bak-new", statuses=("DOING",))
    cloud.fail(**failure, after_acting=True)
    with pytest.raises(BackupStartUnknownError):
        start()
    assert len([seen for seen in cloud.requests if seen.authorized]) == 1
    # What the message recommends works.
    listed = list(OceanBaseHook().list_backup_sets("ob-1"))
    assert [backup_set["backupSetId"] for backup_set in listed] == ["bak-new"]
