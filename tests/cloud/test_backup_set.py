from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from conftest import answer, backup_set

from airflow_provider_oceanbase.cloud.backup_set import (
    backup_set_request,
    parsed_time,
    read_backup_set,
    summary,
    tenants_of,
)
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseInputError

ENDPOINT = Endpoint(conn_id="ob", origin="https://api.example", access_key_id="k", access_key_secret="s")


@pytest.mark.parametrize(
    "instance_id", ["ob-1", "a b", "a/b", "..a", "ä", "a?b#c&d=e", "%2F", "a\x01b", "💾"]
)
def test_ids_become_one_path_segment(instance_id: str) -> None:
    url = urlsplit(backup_set_request(instance_id, "bak-1").url(ENDPOINT, "r"))
    segments = url.path.split("/")
    assert len(segments) == 9
    assert unquote(segments[4]) == instance_id
    assert url.fragment == ""


@pytest.mark.parametrize(
    "bad",
    [
        *("", " ", ".", "..", "None", None, 7.0, True, b"ob-1", ["ob-1"], "\ud800", "a\ud800b", "a\0b"),
        *(" ob-1", "ob-1 ", "ob-1\n", "\tob-1", "ob-1\r\n", "\u3000ob-1", "\ufeffob-1", "ob-1\u200b"),
    ],
)
def test_invalid_ids_are_rejected(bad: str) -> None:
    with pytest.raises(OceanBaseInputError, match="instance_id is "):
        backup_set_request(bad, "bak-1")
    with pytest.raises(OceanBaseInputError, match="backup_task_id is "):
        backup_set_request("ob-1", bad)


@pytest.mark.parametrize(("check", "sent"), [(False, "false"), (True, "true")])
def test_query(check: bool, sent: str) -> None:
    request = backup_set_request("ob-1", "bak-1", check_backup_set_download_enable=check)
    url = urlsplit(request.url(ENDPOINT, "id-1"))
    assert url.netloc == "api.example"
    assert parse_qs(url.query) == {"requestId": ["id-1"], "checkBackupSetDownloadEnable": [sent]}


@pytest.mark.parametrize("data", [None, {}])
def test_no_data_means_no_backup_set(data: object) -> None:
    assert read_backup_set(data) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "data are no object"),
        ("DONE", "data are no object"),
        (0, "data are no object"),
        ({"validity": "VALID"}, "data have no status"),
        ({"status": None}, "data have no status"),
        ({"status": ""}, "data have no status"),
        ({"status": ["DONE"]}, "status is no text"),
        ({"status": True}, "status is no text"),
        ({"status": "D" * 201}, "status is too long"),
        ({"status": "DONE", "validity": True}, "validity is no text"),
        ({"status": "DONE", "tenantBackupSetList": {}}, "tenantBackupSetList is no list"),
        ({"status": "DONE", "tenantBackupSetList": [{}, None]}, "an entry that is no object"),
    ],
)
def test_malformed_data(data: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_backup_set(data)


def test_unknown_fields_are_kept() -> None:
    assert backup_set(storageClass="X")["storageClass"] == "X"  # type: ignore[typeddict-item]


def test_tenants() -> None:
    assert [tenant["tenantName"] for tenant in tenants_of(backup_set())] == ["test1"]
    assert tenants_of(backup_set(tenantBackupSetList=None)) == []
    assert tenants_of({"status": "DONE"}) == []


def test_summary() -> None:
    expected = {key: value for key, value in answer()["data"].items() if key != "tenantBackupSetList"}
    assert len(expected) == 16
    assert summary(backup_set()) == expected | {"tenantCount": 1}


def test_summary_has_only_text_that_any_database_accepts() -> None:
    found = backup_set(tenantName="a\x00b\ud800", backupSetId="bak-ü")
    assert summary(found)["tenantName"] == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert summary(found)["backupSetId"] == "bak-ü"


def test_summary_of_few_fields() -> None:
    assert summary({"status": "DOING"})["status"] == "DOING"
    assert summary({"status": "DOING"})["tenantCount"] == 0
    assert summary({"status": "DOING"})["validity"] is None


def test_summary_of_hostile_fields_is_small() -> None:
    hostile = dict.fromkeys(answer()["data"], "\U0001f4be" * 10_000)
    hostile |= {
        "tenantBackupSetList": [{}] * 5000,
        "dataVersion": 10**4000,
        "tenantName": {"a": ["b"] * 9999},
    }
    text = json.dumps(summary(hostile))  # type: ignore[arg-type]
    assert len(text) < 4096
    assert json.loads(text)["tenantCount"] == 5000
    assert json.loads(text)["dataVersion"] is None


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T12:10:10Z",
        "2024-01-01T12:10:10",
        "2024-01-01 12:10:10",
        "2024-01-01T12:10:10.000Z",
        "2024-01-01T20:10:10+08:00",
        "2024-01-01T20:10:10.000+0800",
        "20240101T121010Z",
        # A sister API of the vendor.
        "2024-01-01'T'12:10:10.000'Z'",
        "2024-01-01'T'12:10:10'Z'",
    ],
)
def test_times(text: str) -> None:
    assert parsed_time(text) == datetime(2024, 1, 1, 12, 10, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "'",
        "soon",
        "01/02/2024",
        "2024-13-01T00:00:00Z",
        1704111010000,
        "1704111010000",
        # The Unix time of a day in 2024 in milliseconds: ISO 8601 makes it 1712.
        "1712010112000",
        # No time at all, in some languages.
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        ["2024-01-01T12:10:10Z"],
    ],
)
def test_what_is_no_time(value: Any) -> None:
    assert parsed_time(value) is None
