from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import backup_set
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.backup_sets import BackupSetList
from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseInputError
from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
from airflow_provider_oceanbase.waiting.wait import Wait

MIDNIGHT = datetime(2026, 1, 20, tzinfo=UTC)
LOG = logging.getLogger("tests.conditions")


def at(hours: float) -> str:
    return (MIDNIGHT + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def one(name: str = "bak-1", hours: float = 1, *, tenants: tuple[Any, ...] = (), **data: Any) -> Any:
    """A set of the whole instance: starts an hour before its checkpoint, ends half an hour after it."""
    times = {"startTime": at(hours - 1), "checkpoint": at(hours), "endTime": at(hours + 0.5)}
    return backup_set(**{"backupSetId": name, "tenantBackupSetList": list(tenants)} | times | data)


def tenant(name: str = "orders", hours: float = 1, **data: Any) -> Any:
    done = {"status": "DONE", "validity": "VALID", "checkpoint": at(hours)}
    return {"tenantName": name, "tenantId": f"id-of-{name}", **done, **data}


def condition(**options: Any) -> CheckpointCondition:
    return CheckpointCondition("ob-1", **{"min_checkpoint": MIDNIGHT.isoformat()} | options)


def accepted(*backup_sets: Any, **options: Any) -> str | None:
    found = condition(**options).judge(list(backup_sets), "r").found
    return found and found["backupSetId"]


def test_a_late_checkpoint_is_accepted() -> None:
    assert accepted(one(hours=0)) == "bak-1"
    assert accepted(one(hours=30)) == "bak-1"


@pytest.mark.parametrize(
    "backup_set",
    [
        one(hours=-0.001),
        one(status="DOING"),
        one(status="done"),
        one(status="FAILED"),
        one(validity="INVALID"),
        one(validity=None),
        one(checkpoint=None),
        one(checkpoint="soon"),
        one(checkpoint=""),
        one(backupObjectType="TENANT"),
        one(backupObjectType="tenant"),
        one(backupObjectType="DATABASE"),
        one(backupObjectType="TABLE"),
        # Whatever is not known may be a part.
        one(backupObjectType="SCHEMA"),
        one(backupObjectType="租户"),
        one(backupObjectType=None),
        one(backupObjectType=7),
    ],
)
def test_anything_else_keeps_waiting(backup_set: Any) -> None:
    assert accepted(backup_set) is None


def test_no_set_keeps_waiting() -> None:
    verdict = condition().judge([], "r")
    assert verdict._replace(notices=()) == ("no backup set", None, (), None, None, "", "")
    (notice,) = verdict.notices
    # It may be a wrong ID, which is no error for all that is known.
    assert notice.text.startswith(
        "No backup sets in the list since 2026-01-13T00:00:00Z: instance 'ob-1' keeps waiting. "
    )


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
def test_a_checkpoint_in_the_future_is_not_believed(form: str) -> None:
    """A local time that counts as UTC, or a last day of all days, makes an old backup a recent one."""
    ahead = datetime.now(UTC) + timedelta(minutes=20)
    for checkpoint in (ahead.strftime(form), "9999-12-31T23:59:59Z"):
        # Beside others: their times are no better.
        verdict = condition().judge([one(), one("bak-2", checkpoint=checkpoint)], "r-1")
        assert verdict.found is None
        assert str(verdict.failure).startswith(
            f"Checkpoint in the future ({checkpoint}, backup set 'bak-2'): the backup sets of instance "
            "'ob-1'; requestId r-1. "
        )


def test_clocks_may_differ_a_little() -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert accepted(one(checkpoint=soon)) == "bak-1"


def test_checkpoints_are_compared_as_times() -> None:
    assert accepted(one(checkpoint="2026-01-20T07:30:00+08:00")) is None
    assert accepted(one(checkpoint="2026-01-20T08:00:00+08:00")) == "bak-1"
    # UTC if there is no time zone, as the vendor documents.
    assert accepted(one(checkpoint="2026-01-20T00:00:00")) == "bak-1"
    assert accepted(one(hours=1), min_checkpoint="2026-01-20 09:00:00+08:00") == "bak-1"
    assert accepted(one(hours=0.9), min_checkpoint="2026-01-20 09:00:00+08:00") is None


def test_the_newest_that_fits_is_accepted() -> None:
    sets = [one("a", 1), one("b", 3), one("c", 2), one("d", 4, status="DOING"), one("e", 5, validity="BAD")]
    assert accepted(*sets) == "b"
    assert accepted(*reversed(sets)) == "b"


def test_validity_may_be_ignored() -> None:
    assert accepted(one(validity="INVALID"), require_valid=False) == "bak-1"


def test_backup_mode() -> None:
    logical = one(backupMode="LOGICAL_BACKUP")
    assert accepted(logical) == "bak-1"
    assert accepted(logical, backup_mode="PHYSICAL_BACKUP") is None
    assert accepted(logical, backup_mode="LOGICAL_BACKUP") == "bak-1"


@pytest.mark.parametrize("wanted", [("orders",), ("id-of-orders",), ("orders", "billing"), ["billing"]])
def test_included_tenants(wanted: Any) -> None:
    assert accepted(one(tenants=(tenant("orders"), tenant("billing"))), tenants=wanted) == "bak-1"


@pytest.mark.parametrize(
    "inside",
    [
        (),
        (tenant("billing"),),
        (tenant("orders", status="DOING"), tenant("billing")),
        (tenant("orders", validity="INVALID"),),
        (tenant("orders", hours=-1),),
        (tenant("orders", checkpoint=None),),
        (tenant(tenantName=None, tenantId=["orders"]),),
    ],
)
def test_missing_tenants(inside: tuple[Any, ...]) -> None:
    assert accepted(one(tenants=inside), tenants=("orders",)) is None


def test_no_list_of_tenants_keeps_waiting() -> None:
    assert accepted(one(tenantBackupSetList=None), tenants=("orders",)) is None


def test_a_backup_of_the_only_tenant_is_accepted() -> None:
    alone = one(backupObjectType="TENANT", tenantName="orders", tenantId="t1")
    assert accepted(alone, tenants=("orders",)) == "bak-1"
    assert accepted(alone, tenants=("orders", "billing")) is None
    assert accepted(one(backupObjectType="TABLE", tenantName="orders"), tenants=("orders",)) is None


FAILED = one("bad", 2, status="FAILED", checkpoint=None)


def test_a_failed_backup_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    wait = Wait(condition(), LOG)
    for _ in range(3):
        assert wait.answered([FAILED], "r") is None
    assert caplog.text.count("A backup failed; still waiting: bad (FAILED") == 1
    assert wait.answered([FAILED, one("good", 3)], "r") == one("good", 3)


def test_a_failed_backup_may_fail_the_wait() -> None:
    failure = condition(fail_on_failed_backup=True).judge([FAILED], "r-3").failure
    assert isinstance(failure, BackupSetFailedError)
    assert "ended with status FAILED, and no other is recent enough: backup task 'bad' of" in str(failure)
    assert "r-3" in str(failure)


@pytest.mark.parametrize(
    "others",
    [
        [one("good", 3), FAILED],
        [one("bad", -3, status="FAILED")],
        [one("bad", 1, status="FAILED", startTime=None, endTime=None)],
        [one("bad", 1, status="FAILED", backupMode="LOGICAL_BACKUP")],
    ],
    ids=["one fits", "of before", "without times", "of another mode"],
)
def test_other_failures_do_not_fail_the_wait(others: list[Any]) -> None:
    options = {"fail_on_failed_backup": True, "backup_mode": "PHYSICAL_BACKUP"}
    assert condition(**options).judge(others, "r").failure is None


def failure(*backup_sets: Any, **options: Any) -> str | None:
    error = condition(fail_on_failed_backup=True, **options).judge(list(backup_sets), "r").failure
    return error and error.backup_task_id


TENANTS = (tenant("orders"), tenant("billing"))
RUNNING = one("own", 1, status="DOING")


@pytest.mark.parametrize(
    ("fields", "options", "counts"),
    [
        ({}, {}, True),
        ({"backupObjectType": "TABLE"}, {}, False),
        ({"backupObjectType": "DATABASE"}, {}, False),
        ({"backupObjectType": "tenant"}, {}, False),
        # Whatever is not known does not count: it could be somebody's table.
        ({"backupObjectType": None}, {}, False),
        ({"backupObjectType": " "}, {}, False),
        ({"backupMode": "PHYSICAL_BACKUP"}, {"backup_mode": "PHYSICAL_BACKUP"}, True),
        ({"backupMode": "LOGICAL_BACKUP"}, {"backup_mode": "PHYSICAL_BACKUP"}, False),
        ({"backupMode": None}, {"backup_mode": "PHYSICAL_BACKUP"}, False),
        ({"tenants": TENANTS}, {"tenants": ["orders"]}, True),
        ({"tenants": (tenant("orders", status="FAILED"),)}, {"tenants": ["orders"]}, True),
        ({"tenants": (tenant("orders"),)}, {"tenants": ["orders", "billing"]}, False),
        ({"tenants": ()}, {"tenants": ["orders"]}, False),
        ({"tenantBackupSetList": None}, {"tenants": ["orders"]}, False),
        ({"tenants": TENANTS, "backupObjectType": "TABLE"}, {"tenants": ["orders"]}, False),
        ({"tenants": TENANTS, "backupObjectType": None}, {"tenants": ["orders"]}, False),
        ({"backupObjectType": "TENANT", "tenantName": "orders"}, {"tenants": ["orders"]}, True),
        ({"backupObjectType": "TENANT", "tenantName": "billing"}, {"tenants": ["orders"]}, False),
        ({"backupObjectType": "TENANT", "tenantName": None}, {"tenants": ["orders"]}, False),
        # It began after the checkpoint that is wanted, or says that it reached it.
        ({"checkpoint": "1970-01-01T00:00:00Z"}, {}, True),
        ({"startTime": at(-0.5), "checkpoint": at(0.5)}, {}, True),
        ({"startTime": at(-0.5), "checkpoint": None}, {}, False),
        ({"startTime": at(-0.5), "checkpoint": at(-0.1)}, {}, False),
        ({"startTime": None, "checkpoint": None}, {}, False),
    ],
)
def test_only_a_failed_backup_that_would_have_fitted_counts(
    fields: dict[str, Any], options: dict[str, Any], counts: bool
) -> None:
    failed = one("bad", 1, **{"status": "FAILED", "checkpoint": None} | fields)
    assert failure(failed, RUNNING, **options) == ("bad" if counts else None)
    # The same set, had it succeeded: whatever counts would have been accepted.
    done = one("bad", 1, **fields | {"status": "DONE", "checkpoint": at(1)})
    for part in done["tenantBackupSetList"] or ():
        part["status"] = "DONE"
    if counts:
        assert accepted(done, **options) == "bad"


def test_a_failure_of_its_own_is_not_hidden_by_later_ones() -> None:
    table = one("table", 5, status="FAILED", backupObjectType="TABLE")
    assert failure(FAILED, table) == "bad"
    assert failure(table, RUNNING) is None
    assert condition().judge([table, RUNNING], "r").notices


def test_query() -> None:
    query = condition(min_checkpoint="2026-01-20T03:00:00+08:00").query
    assert query == BackupSetList("ob-1", start_time="2026-01-12T00:00:00Z")
    # Waits for the same night have the same query.
    assert query.key == condition(min_checkpoint="2026-01-19T21:15:00Z").query.key


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_checkpoint": "None"}, "min_checkpoint is 'None'"),
        ({"min_checkpoint": "2026-01-20T00:00:00"}, "with a time zone"),
        ({"min_checkpoint": "0001-01-01T00:00:00Z"}, "min_checkpoint is '0001"),
        ({"min_checkpoint": None}, "min_checkpoint is None"),
        ({"tenants": "orders"}, "tenants is 'orders'; it must be a list of names"),
        ({"tenants": (1.5,)}, "an entry of tenants is 1.5, which is no name"),
    ],
)
def test_invalid_fields(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        _ = condition(**options).query
    assert says in str(caught.value)
    assert "Rendered Template" in str(caught.value)


odd = st.none() | st.text(max_size=5) | st.sampled_from([at(1), at(-1), "DONE", "VALID", "CLUSTER", "FAILED"])
entries = st.fixed_dictionaries(
    {"backupSetId": st.text(min_size=1, max_size=3), "status": st.sampled_from(["DONE", "DOING", "FAILED"])},
    optional=dict.fromkeys(("validity", "checkpoint", "startTime", "endTime", "backupObjectType"), odd),
)


@given(st.lists(entries, max_size=5))
def test_success_is_never_guessed(sets: list[Any]) -> None:
    found = condition().judge(sets, "r").found
    if found is not None:
        assert (found["status"], found["validity"], found["checkpoint"]) == ("DONE", "VALID", at(1))


def test_what_is_not_known_is_not_named() -> None:
    running = backup_set(status="DOING", validity=None, checkpoint=None)
    assert condition().judge([running], "r").status.endswith(" (DOING)")
