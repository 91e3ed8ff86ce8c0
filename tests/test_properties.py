"""Properties that hold for any input."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from strategies import ENDPOINT, bodies, data, headers, http_statuses

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.backup_set import (
    BackupSet,
    backup_set_request,
    read_backup_set,
    summary,
)
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseUnavailableError,
)
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, SUCCESS_STATUSES
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
from airflow_provider_oceanbase.waiting.schedule import MIN_PAUSE, PollSchedule
from airflow_provider_oceanbase.waiting.wait import Wait

REQUEST = backup_set_request("ob-1", "bak-1")
LOG = logging.getLogger("tests.properties")


def read(status: int, names: dict[str, str], body: bytes) -> BackupSet | None:
    return protocol.read_response(REQUEST, "mine", status, CaseInsensitiveDict(names), body).data


@given(http_statuses, headers, bodies)
def test_any_response_gives_a_backup_set_or_one_of_our_errors(
    status: int, names: dict[str, str], body: bytes
) -> None:
    try:
        found = read(status, names, body)
    except OceanBaseCloudError as error:
        assert len(str(error)) < 2000
        assert str(error).isprintable()
        assert (
            OceanBaseCloudError.from_dict(json.loads(json.dumps(error.to_dict()))).to_dict()
            == error.to_dict()
        )
        return
    assert status == 200
    assert json.loads(body)["success"] is True
    if found is None:
        assert not json.loads(body).get("data")
    else:
        assert isinstance(found["status"], str)
        assert found["status"]
        assert all(isinstance(tenant, dict) for tenant in found.get("tenantBackupSetList") or [])
        text = json.dumps(summary(found), allow_nan=False)
        assert len(text) < 4096


@given(data)
def test_success_is_never_guessed(value: dict[str, Any]) -> None:
    wait = Wait(BackupSetCondition("ob-1", "bak-1"), LOG, first=False)
    try:
        found = read_backup_set(value)
    except ValueError:
        return
    try:
        done = wait.answered(found, "r")
    except BackupSetFailedError as error:
        assert error.status in FAILURE_STATUSES
    else:
        assert (done is not None) == (found is not None and found["status"] in SUCCESS_STATUSES)


@given(
    st.floats(0, 1e6),
    st.booleans(),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.none() | st.floats(0, protocol.MAX_RETRY_AFTER_SECONDS),
)
def test_pause_is_bounded(
    interval: float,
    grows: bool,
    longest: float | None,
    elapsed: float,
    timeout: float,
    retry_after: float | None,
) -> None:
    schedule = PollSchedule(interval, exponential_backoff=grows, max_wait=longest, timeout=timeout)
    pause = schedule.pause(elapsed, retry_after=retry_after)
    left = max(timeout - elapsed, 0)
    assert 0 <= pause <= left
    if not grows:
        assert pause == pytest.approx(min(max(interval, MIN_PAUSE, retry_after or 0), left))
    assert pause >= min(max(MIN_PAUSE, retry_after or 0), left)


@given(st.lists(st.sampled_from(["DOING", "outage", None]), max_size=20))
def test_a_wait_that_has_begun_survives_any_outage(polls: list[str | None]) -> None:
    wait = Wait(BackupSetCondition("ob-1", "bak-1"), LOG)
    wait.answered(None, "r")
    for poll in polls:
        if poll == "outage":
            wait.failed(OceanBaseUnavailableError("down"))
        else:
            assert wait.answered(read_backup_set({"status": poll} if poll else None), "r") is None


@given(st.text(), st.text())
@example("..", "bak-1")
@example("%2e%2e", "bak-1")
@example("ob-1", "a/../b?c#d")
def test_an_id_is_one_path_segment_or_rejected(instance_id: str, backup_task_id: str) -> None:
    try:
        url = backup_set_request(instance_id, backup_task_id).url(ENDPOINT, "r")
    except OceanBaseInputError:
        assert any(
            value.strip() in ("", ".", "..", "None") or value != value.strip() or not value.isprintable()
            for value in (instance_id, backup_task_id)
        )
        return
    parts = urlsplit(url)
    assert parts.netloc == "api.example"
    segments = parts.path.split("/")
    assert segments[:4] == ["", "api", "v2", "instances"]
    assert segments[5:8] == ["backup", "data", "sets"]
    assert [unquote(segment) for segment in (segments[4], *segments[8:])] == [instance_id, backup_task_id]


@given(st.none() | st.text() | st.floats().map(str) | st.integers().map(str))
def test_retry_after_is_bounded(header: str | None) -> None:
    seconds = protocol.retry_after(header)
    assert seconds is None or 0 < seconds <= protocol.MAX_RETRY_AFTER_SECONDS
