"""BackupCheckpointSensor, in all three modes, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulators import after_polls
from modes import MODES, sensor, wait
from moved import AirflowSkipException

from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.testing import CloudEmulator

pytestmark = pytest.mark.usefixtures("no_pauses")

MIDNIGHT = datetime(2026, 1, 20, tzinfo=UTC)
LIST = "/api/v2/instances/ob-1/backup/data/sets"


def add(cloud: CloudEmulator, name: str, hours: float, *statuses: Any, **fields: Any) -> None:
    """Add a backup set with a checkpoint that many hours after midnight."""
    cloud.add_backup_set(
        "ob-1",
        name,
        statuses=statuses or ("DONE",),
        start_time=MIDNIGHT + timedelta(hours=hours - 1),
        checkpoint=MIDNIGHT + timedelta(hours=hours),
        end_time=MIDNIGHT + timedelta(hours=hours + 0.5),
        **fields,
    )


def wait_for(mode: str, **options: Any) -> Any:
    return wait(mode, **{"min_checkpoint": MIDNIGHT.isoformat()} | options)


@pytest.mark.parametrize("mode", MODES)
def test_waits_for_the_backup_of_tonight(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "bak-yesterday", -20)
    add(cloud, "bak-logical", 1, backupObjectType="DATABASE")
    add(cloud, "bak-tonight", 2, "BEGINNING", "DOING", "DONE", tenants=("orders", "billing"))
    found = wait_for(mode)
    assert found["backupSetId"] == "bak-tonight"
    assert found["checkpoint"] == "2026-01-20T02:00:00Z"
    assert found["tenantCount"] == 2
    listed = [request for request in cloud.requests if request.status == 200]
    assert [request.path for request in listed] == [LIST] * 3
    assert {request.query["startTime"] for request in listed} == {"2026-01-13T00:00:00Z"}


@pytest.mark.parametrize("mode", MODES)
def test_a_list_of_many_pages(mode: str, cloud: CloudEmulator) -> None:
    for hour in range(45):
        add(cloud, f"bak-{hour}", -24 - hour)
    add(cloud, "bak-tonight", 1, "DOING", "DONE")
    assert wait_for(mode)["backupSetId"] == "bak-tonight"


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_in_the_future_ends_the_wait(mode: str, cloud: CloudEmulator) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=8)
    # Read in the second poll: in the triggerer, where that mode waits.
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), checkpoint=ahead)
    with pytest.raises(OceanBaseMalformedResponseError, match=r"^Checkpoint in the future \(20") as caught:
        wait_for(mode, soft_fail=True)
    # As any other error of a request.
    assert (caught.value.conn_id, caught.value.host) == ("oceanbase_default", cloud.url)


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_list_is_a_warning(mode: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    with pytest.raises(AirflowSensorTimeout):
        wait_for(mode, timeout=0.3)
    assert "No backup sets in the list since 2026-01-13T00:00:00Z: instance 'ob-1' keeps" in logged()


@pytest.mark.parametrize("mode", MODES)
def test_tenants_by_name(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "bak-1", 1, tenants={"orders": {"validity": "INVALID"}, "billing": {}})
    add(cloud, "bak-2", 2, "DOING", "DONE", tenants=("orders", "billing"))
    assert wait_for(mode, tenants=["orders", "billing"])["backupSetId"] == "bak-2"


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_backup(mode: str, cloud: CloudEmulator, logged: Callable[[], str]) -> None:
    add(cloud, "bak-bad", 1, "DOING", "FAILED")
    add(cloud, "bak-good", 2, "BEGINNING", "BEGINNING", "DOING", "DONE")
    assert wait_for(mode)["backupSetId"] == "bak-good"
    reports = logged().count("A backup failed; still waiting: bak-bad (FAILED")
    # No state survives a reschedule.
    assert reports >= 1 if mode == "reschedule" else reports <= 2
    assert reports


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_backup_that_fails_the_task(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "bak-bad", 1, "DOING", "FAILED")
    with pytest.raises(
        BackupSetFailedError, match=r"ended with status FAILED.*: backup task 'bak-bad' of instance 'ob-1'"
    ):
        wait_for(mode, fail_on_failed_backup=True)
    with pytest.raises(AirflowSkipException):
        wait_for(mode, fail_on_failed_backup=True, soft_fail=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("statuses", "error"),
    [((503, 429, 408), None), ((400,), OceanBaseRefusedError), ((403, 403), OceanBaseAuthenticationError)],
    ids=["outage", "refused", "forbidden"],
)
def test_failures_during_the_wait(
    statuses: tuple[int, ...], error: type[OceanBaseCloudError] | None, mode: str, cloud: CloudEmulator
) -> None:
    add(cloud, "bak-1", 1, "DOING", "DONE")

    def fail() -> None:
        for status in statuses:
            cloud.fail(status=status)

    after_polls(cloud, 1, fail)
    if error is None:
        assert wait_for(mode)["backupSetId"] == "bak-1"
    else:
        with pytest.raises(error, match=": the backup sets of instance 'ob-1', connection '"):
            wait_for(mode)


@pytest.mark.parametrize("mode", MODES)
def test_failure_of_the_first_poll_is_raised(mode: str, cloud: CloudEmulator) -> None:
    cloud.fail(status=400)
    with pytest.raises(OceanBaseRefusedError):
        wait_for(mode)


@pytest.mark.parametrize("mode", MODES)
def test_timeout(mode: str, cloud: CloudEmulator) -> None:
    add(cloud, "bak-yesterday", -20)
    with pytest.raises(AirflowSensorTimeout):
        wait_for(mode, timeout=0.3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_checkpoint": "None"}, "min_checkpoint is 'None'"),
        ({"tenants": "['orders']"}, "tenants is \"['orders']\"; it must be a list of names"),
        ({"instance_id": "None"}, "instance_id is 'None'"),
    ],
)
def test_templates_without_a_value(options: dict[str, Any], says: str, cloud: CloudEmulator) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        wait_for("poke", **options)
    assert says in str(caught.value)
    assert cloud.requests == []


def test_a_datetime_is_accepted(cloud: CloudEmulator) -> None:
    add(cloud, "bak-1", 1)
    assert wait_for("poke", min_checkpoint=MIDNIGHT)["backupSetId"] == "bak-1"


def test_timeout_reports_the_newest_backup_set(cloud: CloudEmulator) -> None:
    add(cloud, "bak-1", -20)
    waiting = sensor(min_checkpoint=MIDNIGHT.isoformat(), deferrable=True, timeout=0.2)
    with pytest.raises(AirflowSensorTimeout) as caught:
        wait_for("deferrable", timeout=0.2)
    assert (
        ": timed out (wanted: a checkpoint from 2026-01-20T00:00:00+00:00 on, timeout 0.2 s). "
        "The last poll found: newest backup bak-1 (DONE, VALID, checkpoint 2026-01-19T04:00:00Z)."
    ) in str(caught.value)
    assert str(caught.value).startswith("ob-1 still without a fresh backup after 0.2 s: timed out")
    assert waiting.template_fields[:3] == ("instance_id", "min_checkpoint", "tenants")
