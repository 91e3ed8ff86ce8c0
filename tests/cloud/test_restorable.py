"""The request for the tenants that can be restored, and what is made of the response."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import set_connection

from airflow_provider_oceanbase.cli.observing import Seen
from airflow_provider_oceanbase.cli.restorable import judge
from airflow_provider_oceanbase.cloud.protocol import read_response
from airflow_provider_oceanbase.cloud.query import Request
from airflow_provider_oceanbase.cloud.restorable import read_restorable_tenants, restorable_tenants_request
from airflow_provider_oceanbase.exceptions import (
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator, Profile
from airflow_provider_oceanbase.waiting.restorable import RestorableCondition

PATH = "/api/v2/instances/ob-1/backup/restore/tenants"
MIDNIGHT = datetime(2026, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_request() -> None:
    plain = restorable_tenants_request("ob-1")
    assert (plain.method, plain.path, plain.query) == ("GET", PATH, "")
    full = restorable_tenants_request(
        "ob-1",
        tenant_id="t1",
        backup_set_id="bak-1",
        restore_object_type="TENANT",
        from_remote=False,
        query_parameters={"openRequest": "a&b"},
    )
    assert full.query == (
        "backupSetId=bak-1&fromRemote=false&openRequest=a%26b&restoreObjectType=TENANT&tenantId=t1"
    )


def test_equal_parameters_share_their_polls() -> None:
    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    keys = [restorable_tenants_request("ob-1", query_parameters=each).key for each in (one, other, {})]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tenant_id": "None"}, "tenant_id is 'None', which is no ID"),
        ({"backup_set_id": " "}, "backup_set_id is ' ', which is no ID"),
        ({"tenant_id": "t\ud800x"}, "which is not Unicode text"),
        ({"query_parameters": "a=1"}, "query_parameters is 'a=1'; it must be a dict of texts"),
        ({"query_parameters": {"a": None}}, "query_parameters['a'] is None, which is no value"),
        ({"query_parameters": {"": "1"}}, "a key of query_parameters is ''"),
        ({"query_parameters": {"requestId": "1"}}, "the provider sends requestId itself"),
        ({"tenant_id": "t1", "query_parameters": {"tenantId": "t2"}}, "the provider sends tenantId itself"),
    ],
)
def test_unusable_arguments(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        restorable_tenants_request("ob-1", **arguments)
    assert says in str(caught.value)
    assert "Nothing was sent." in str(caught.value)


@pytest.mark.parametrize("data", [None, {}, []])
def test_no_tenants(data: object) -> None:
    assert read_restorable_tenants(data) == []


def test_fields_pass_through() -> None:
    data = [
        {"tenantId": "t1", "timeIntervalList": None, "standard": True, "cpuNum": "4"},
        {"tenantId": "t2", "timeIntervalList": [{"startTime": 7, "endTime": "soon", "more": {}}]},
    ]
    assert read_restorable_tenants(data) == data


_DEEP: Any = []
for _ in range(40):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("x", "data are no list"),
        ({"dataList": []}, "data are no list"),
        ([None], "an entry without tenantId"),
        ([{"tenantName": "orders"}], "an entry without tenantId"),
        ([{"tenantId": ""}], "an entry without tenantId"),
        ([{"tenantId": 7}], "an entry without tenantId"),
        ([{"tenantId": "t" * 201}], "an entry without tenantId"),
        ([{"tenantId": "t1", "timeIntervalList": {}}], "timeIntervalList is no list"),
        ([{"tenantId": "t1", "timeIntervalList": ["x"]}], "timeIntervalList has an entry that is no object"),
        ([{"tenantId": "t1", "more": _DEEP}], "data are nested too deep"),
    ],
)
def test_another_shape(data: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_restorable_tenants(data)


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"totalCount": 250}, "it has 2 of 250 tenants"),
        ({"total": 3, "totalCount": 2}, "it has 2 of 3 tenants"),
        ({"hasMore": True}, "the API says that there are more tenants"),
        ({"data": None, "total": 1}, "it has 0 of 1 tenants"),
        ({"totalCount": 2, "hasMore": False}, None),
        ({"totalCount": 1}, None),
        ({"totalCount": "250", "total": True, "hasMore": "yes"}, None),
    ],
)
def test_a_list_that_is_not_all(fields: dict[str, Any], lacks: str | None) -> None:
    listed = [{"tenantId": name, "tenantName": name, "timeIntervalList": []} for name in ("t1", "t2")]
    envelope = {"success": True, "requestId": "r-1", "data": listed, **fields}
    for request in (
        restorable_tenants_request("ob-1"),
        RestorableCondition("ob-1", MIDNIGHT.isoformat()).query,
    ):
        assert isinstance(request, Request)
        body = json.dumps(envelope).encode()
        if lacks is None:
            assert read_response(request, "r-1", 200, {}, body).request_id == "r-1"
            continue
        with pytest.raises(OceanBaseMalformedResponseError) as caught:
            read_response(request, "r-1", 200, {}, body)
        about = "(HTTP 200): the restorable tenants of instance 'ob-1'; requestId r-1. Report it: "
        assert str(caught.value).startswith(f"List is incomplete: {lacks} {about}")
    right, finding = judge(Seen(status=200, envelope=envelope)) or (None, {})
    assert (right is False) == (lacks is not None)
    assert finding.get("problem") == (lacks and f"List is incomplete: {lacks}")


def test_the_hook_reads_what_the_emulator_serves(cloud: CloudEmulator) -> None:
    cloud.add_restorable_tenant("ob-1", "orders", intervals=[(MIDNIGHT, MIDNIGHT + HOUR)], tenant_id="t1")
    cloud.add_restorable_tenant("ob-1", "billing", intervals=[(MIDNIGHT, None)], lag=HOUR, standard=True)
    orders, billing = OceanBaseHook().get_restorable_tenants("ob-1")
    assert (orders["tenantId"], orders["tenantName"]) == ("t1", "orders")
    assert orders["timeIntervalList"] == [
        {"startTime": "2026-01-20T00:00:00Z", "endTime": "2026-01-20T01:00:00Z", "storageType": "OSS"}
    ]
    assert billing["standard"] is True  # type: ignore[typeddict-item]
    (interval,) = billing["timeIntervalList"] or []
    behind = datetime.now(UTC) - datetime.fromisoformat(interval["endTime"])
    assert HOUR <= behind < HOUR + timedelta(minutes=5)
    assert OceanBaseHook().get_restorable_tenants("ob-1", tenant_id="t1") == [orders]
    assert OceanBaseHook().get_restorable_tenants("ob-2") == []


def test_only_the_tenant_that_was_asked_for() -> None:
    """A service may ignore the parameter: the older page does not have it."""
    listed = [{"tenantId": "t1"}, {"tenantId": "t2"}]
    assert restorable_tenants_request("ob-1", tenant_id="t2").read(listed) == listed[1:]
    assert restorable_tenants_request("ob-1", tenant_id="t3").read(listed) == []
    assert restorable_tenants_request("ob-1").read(listed) == listed
    given = restorable_tenants_request("ob-1", query_parameters={"tenantId": "t2"})
    assert given.read(listed) == listed[1:]


def test_tenants_of_complete_backup_sets(cloud: CloudEmulator) -> None:
    for name, hours, status in (("bak-1", 2, "DONE"), ("bak-2", 1, "DONE"), ("bak-3", 0, "FAILED")):
        at = MIDNIGHT + hours * HOUR
        cloud.add_backup_set("ob-1", name, statuses=(status,), start_time=at, end_time=at, tenants=["orders"])
    (tenant,) = OceanBaseHook().get_restorable_tenants("ob-1")
    assert (tenant["tenantName"], tenant["tenantId"]) == ("orders", "t1002")
    (interval,) = tenant["timeIntervalList"] or []
    assert interval["startTime"] == "2026-01-20T01:00:00Z"
    assert cloud.polls("ob-1", "bak-1") == 0


def test_the_older_request(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile(restore_requires=("openRequest",), project_required=True)
    with CloudEmulator(profile=profile) as cloud:
        set_connection(monkeypatch, **cloud.connection, extra={"project_id": "p1"})
        with pytest.raises(OceanBaseRefusedError, match="openRequest is required"):
            OceanBaseHook().get_restorable_tenants("ob-1")
        given = {"openRequest": "true", "restoreType": "TENANT"}
        assert OceanBaseHook().get_restorable_tenants("ob-1", query_parameters=given) == []
        assert given.items() <= cloud.requests[-1].query.items()
