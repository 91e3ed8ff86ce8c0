"""What an answer brings in can leave: msgpack, on the way out of a triggerer, and databases take it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from moved import deserialize, serialize
from requests.structures import CaseInsensitiveDict
from strategies import json_values

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request, summary, tenants_of
from airflow_provider_oceanbase.cloud.backup_sets import BackupSetList
from airflow_provider_oceanbase.cloud.protocol import MAX_COMMAS, read_response
from airflow_provider_oceanbase.cloud.query import Request
from airflow_provider_oceanbase.cloud.start_backup import start_backup_request
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

msgpack = pytest.importorskip("msgspec.msgpack", reason="Airflow 2 encodes nothing by msgpack")

BACKUP_SET = backup_set_request("ob-1", "bak-1")
LISTING = BackupSetList("ob-1").page(1)
START = start_backup_request("ob-1", backup_object_type="tenant")
any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["__classname__", "__id__", "__version__", "__data__", "__type", "__var", "\ud800__"]
)
anything = json_values | any_text | st.integers()
known = {
    "backupSetId": anything,
    "checkpoint": anything,
    "dataBackupSize": anything,
    "dataVersion": anything,
    "tenantBackupSetList": st.lists(st.dictionaries(any_text, anything, max_size=3), max_size=3),
    "validity": any_text,
}
backup_sets = st.fixed_dictionaries(
    {"status": st.sampled_from(["DONE", "FAILED", "DOING"]) | any_text}, optional=known
)


def read(request: Request[Any], data: object) -> Any:
    body = json.dumps({"success": True, "data": data, "requestId": "r"}).encode()
    return read_response(request, "mine", 200, CaseInsensitiveDict(), body).data


def leave(value: Any) -> None:
    """Encode a value as Airflow does, and as a database takes it."""
    assert len(msgpack.encode(value)) < 10**6
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    assert b"\\u0000" not in text
    # XCom
    assert deserialize(serialize(value)) == value


@given(data=backup_sets)
@example(data={"status": "DONE", "dataVersion": 2**64, "tenantBackupSetList": [{"x": -(2**63) - 1}]})
@example(data={"status": "DONE", "validity": "\ud800"})
@example(data={"status": "FAILED", "validity": "a\x00b"})
def test_backup_set_can_leave(data: dict[str, Any]) -> None:
    try:
        backup_set = read(BACKUP_SET, data)
    except OceanBaseMalformedResponseError as error:
        leave(error.to_dict())
        return
    leave(dict(summary(backup_set)))
    leave(tenants_of(backup_set))
    verdict = BackupSetCondition("ob-1", "bak-1", require_valid=True).judge(backup_set, "r")
    leave([verdict.status, [*verdict.notices], verdict.failure and verdict.failure.to_dict()])


@given(data=st.fixed_dictionaries({"dataList": st.lists(backup_sets, max_size=3)}))
def test_list_can_leave(data: dict[str, Any]) -> None:
    try:
        page = read(LISTING, data)
    except OceanBaseMalformedResponseError as error:
        leave(error.to_dict())
        return
    condition = CheckpointCondition("ob-1", "2026-01-01T00:00:00Z", fail_on_failed_backup=True)
    verdict = condition.judge(page.backup_sets, "r")
    leave([verdict.status, [*verdict.notices], verdict.failure and verdict.failure.to_dict()])
    leave([one["backupSetId"] for one in page.backup_sets])


@given(backup_task_id=anything)
@example(backup_task_id="b" * 10**6)
def test_id_of_a_start_can_leave(backup_task_id: object) -> None:
    try:
        leave(read(START, {"backupTaskId": backup_task_id}))
    except OceanBaseCloudError as error:
        assert error.may_have_acted


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"status": "D" * 10**6}, "status is too long"),
        ({"status": "DONE", "validity": "V" * 10**5}, "validity is too long"),
        ({"status": "DONE", "x": json.loads("[" * 500 + "]" * 500)}, "nested deeper than 16 levels"),
    ],
)
def test_what_is_out_of_bounds_is_malformed(data: object, says: str) -> None:
    with pytest.raises(OceanBaseMalformedResponseError, match=says):
        read(BACKUP_SET, data)


def test_fields_that_xcom_keeps_for_itself_are_dropped() -> None:
    reserved = {"__classname__": "builtins.dict", "x": {"__id__": 1, "y": "__data__", "\u005f_version__": 2}}
    backup_set = read(BACKUP_SET, {"status": "DONE", "tenantBackupSetList": [reserved]})
    assert backup_set["tenantBackupSetList"] == [{"x": {"y": "__data__"}}]


@pytest.mark.parametrize("value", [b"1,", b"[],", b"{},", b'"\\u0041",'])
def test_more_values_than_a_triggerer_can_read_at_once_are_malformed(value: bytes) -> None:
    body = b'{"success": true, "data": {"status": "DOING", "x": [%s 1]}}' % (value * (MAX_COMMAS + 1))
    with pytest.raises(OceanBaseMalformedResponseError, match=r"^Response has more than 200,000 values"):
        read_response(BACKUP_SET, "mine", 200, CaseInsensitiveDict(), body)


def test_an_outage_with_many_values_is_an_outage() -> None:
    with pytest.raises(OceanBaseUnavailableError):
        read_response(BACKUP_SET, "mine", 503, CaseInsensitiveDict(), b"," * (MAX_COMMAS + 1))


def test_long_numbers_and_halves_of_characters_are_kept_as_text() -> None:
    backup_set = read(
        BACKUP_SET, {"status": "DONE", "dataVersion": 2**64, "x": 2**31, "y": "\ud83d\ude00\ud800"}
    )
    assert backup_set["dataVersion"] == str(2**64)
    assert backup_set["x"] == 2**31
    assert backup_set["y"] == "\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}"
