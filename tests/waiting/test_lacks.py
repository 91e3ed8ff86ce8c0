"""No wait is silent about a set that it passes over for a value that nobody knows."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import backup_set
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.backup_set import kind_of
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseRefusedError
from airflow_provider_oceanbase.waiting.arguments import (
    FAILURE_STATUSES,
    IN_PROGRESS_STATUSES,
    SUCCESS_STATUSES,
)
from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.wait import Wait

MIDNIGHT = datetime(2026, 1, 20, tzinfo=UTC)
LOG = logging.getLogger("tests.lacks")


def at(hours: float) -> str:
    return (MIDNIGHT + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def one(name: str = "bak-1", *, tenants: Any = (), **data: Any) -> Any:
    """A set that fits: it began at midnight, reached one o'clock, and ended at two."""
    times = {"startTime": at(0), "checkpoint": at(1), "endTime": at(2)}
    return backup_set(
        **{"backupSetId": name, "tenantBackupSetList": None if tenants is None else [*tenants]} | times | data
    )


def tenant(name: str = "orders", **data: Any) -> Any:
    done = {"status": "DONE", "validity": "VALID", "checkpoint": at(1)}
    return {"tenantName": name, "tenantId": f"id-of-{name}", **done, **data}


def by_id(found: Any, **options: Any) -> list[str]:
    options = {"registered_by": time.time() + 60} | options
    verdict = BackupSetCondition("ob-1", "bak-1", **options).judge(found, "r")
    assert verdict.found is None
    return [notice.text for notice in verdict.notices]


def by_checkpoint(*found: Any, **options: Any) -> list[str]:
    verdict = CheckpointCondition("ob-1", MIDNIGHT.isoformat(), **options).judge(list(found), "r")
    assert verdict.found is None
    return [notice.text for notice in verdict.notices]


def test_an_unknown_status_is_a_warning_that_says_what_to_do() -> None:
    assert by_id(backup_set(status="SUCCESS", endTime=None)) == [
        "'SUCCESS' is no status that this provider knows: backup task 'bak-1' of instance 'ob-1' keeps "
        "waiting. If it means done, set success_statuses=('DONE', 'SUCCESS'); if it means failed, set "
        "failure_statuses=('FAILED', 'CANCELED', 'OVERDUE', 'SUCCESS')."
    ]


def test_an_end_makes_an_unknown_status_worse() -> None:
    (text,) = by_id(backup_set(status="done", endTime=at(2)))
    says = "'done' is no status that this provider knows, and the backup has ended (endTime 2026-01-20T02"
    assert text.startswith(says)


@pytest.mark.parametrize("status", [*IN_PROGRESS_STATUSES, "doing", "Running "])
def test_a_backup_in_progress_is_no_warning(status: str) -> None:
    assert by_id(backup_set(status=status)) == []
    assert by_checkpoint(one(status=status)) == []


def test_words_that_the_arguments_give_are_known() -> None:
    assert by_id(backup_set(status="DONE"), success_statuses=("COMPLETED",))[0].startswith("'DONE' is no")
    condition = BackupSetCondition("ob-1", "bak-1", success_statuses=("done",))
    assert condition.judge(backup_set(status="done"), "r") == (
        "done",
        backup_set(status="done"),
        (),
        None,
        None,
        "",
        "",
    )


@pytest.mark.parametrize("validity", [None, ""])
def test_a_set_without_validity_is_a_warning_if_it_must_be_valid(validity: str | None) -> None:
    assert by_id(backup_set(validity=validity), require_valid=True) == [
        "It has no validity: backup task 'bak-1' of instance 'ob-1' keeps waiting. If OceanBase Cloud gives "
        "none, set require_valid=False."
    ]


def test_no_data_is_a_warning_once_the_set_must_be_registered() -> None:
    assert by_id(None) == []
    for registered_by in (None, time.time() - 1):
        (text,) = by_id(None, registered_by=registered_by)
        assert text.startswith("No data even after registration_timeout: backup task 'bak-1' of instance")


def refused(**details: Any) -> OceanBaseCloudError:
    return OceanBaseRefusedError("refused", **{"status_code": 400, "error_code": "E9"} | details)


@pytest.mark.parametrize(
    ("error", "status", "waits"),
    [
        (refused(), None, True),
        (refused(), "not registered yet", True),
        (refused(status_code=200), None, True),
        (refused(status_code=409), None, False),
        # A proxy's, or a gateway's.
        (refused(error_code=None), None, False),
        # It is registered.
        (refused(), "DOING", False),
    ],
)
def test_a_refusal_may_mean_not_registered_yet(
    error: OceanBaseCloudError, status: str | None, waits: bool
) -> None:
    known = BackupSetCondition("ob-1", "bak-1", registered_by=time.time() + 60).judge_error(error, status)
    if not waits:
        assert known is None
        return
    assert known is not None
    (notice,) = known.notices
    assert notice.text.startswith("Refused, which may mean not registered yet: backup task 'bak-1'")
    assert notice.text.endswith(str(error))
    assert BackupSetCondition("ob-1", "bak-1", registered_by=time.time() - 1).judge_error(error, None) is None


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_each_kind_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    wait = Wait(BackupSetCondition("ob-1", "bak-1"), LOG, first=False)
    for status, end in [("A", None), ("A", None), ("B", None), ("A", None), ("A", at(2)), ("A", at(3))]:
        wait.answered(backup_set(status=status, endTime=end), "r")
    assert [text[:3] for text in warnings(caplog)] == ["'A'", "'B'", "'A'"]


@pytest.mark.parametrize(("minutes", "lines"), [(0, 1), (30, 1), (90, 0), (121, 1)])
def test_reschedule_mode_repeats_a_warning_now_and_then(
    minutes: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It remembers nothing: a minute passes between two polls."""
    wait = Wait(BackupSetCondition("ob-1", "bak-1"), LOG, first=False)
    schedule = PollSchedule(poke_interval=60, timeout=86400)
    wait.lasts(schedule, time.time() - 60 * minutes, rescheduled=minutes > 0)
    wait.answered(backup_set(status="SUCCESS"), "r")
    assert len(warnings(caplog)) == lines


def test_warnings_end_somewhere(caplog: pytest.LogCaptureFixture) -> None:
    wait = Wait(BackupSetCondition("ob-1", "bak-1"), LOG, first=False)
    for percent in range(300):
        wait.answered(backup_set(status=f"DOING {percent} %"), "r")
    assert len(warnings(caplog)) == 100


NO_TENANTS = "Only its list of tenants keeps backup set 'bak-1' from being accepted: "


@pytest.mark.parametrize(
    ("found", "options", "begins"),
    [
        (
            one(status="SUCCESS"),
            {},
            "Only its status keeps backup set 'bak-1' from being accepted: 'SUCCESS' is no status that this "
            "provider knows, and the backup has ended (endTime 2026-01-20T02:00:00Z). Still waiting: "
            "instance 'ob-1', wanted: a checkpoint from 2026-01-20T00:00:00+00:00 on. If it means",
        ),
        (one(validity=None), {}, "Only its validity keeps backup set 'bak-1' from being accepted: it has no"),
        (one(validity="OK"), {}, "Only its validity keeps backup set 'bak-1' from being accepted: its valid"),
        (one(checkpoint=None), {}, "Only its checkpoint keeps backup set 'bak-1' from being accepted: it ha"),
        (
            one(checkpoint="01/20/2026"),
            {},
            "Only its checkpoint keeps backup set 'bak-1' from being accepted: its checkpoint '01/20/2026' "
            "is no time",
        ),
        (one(checkpoint=1768818748000), {}, "Only its checkpoint keeps backup set 'bak-1' from being accept"),
        (one(backupObjectType="table"), {}, "Only its backupObjectType keeps backup set 'bak-1' from being "),
        (
            one(backupObjectType="instance"),
            {},
            "Only its backupObjectType keeps backup set 'bak-1' from being accepted: its backupObjectType is "
            "'INSTANCE', not CLUSTER, so it may hold a part. ",
        ),
        (one(backupObjectType=None), {}, "Only its backupObjectType keeps backup set 'bak-1' from being acc"),
        # If nobody knows its words, it may be any backup.
        (
            one(backupObjectType="instance", status="SUCCESS"),
            {},
            "Only its status and backupObjectType keep backup set 'bak-1' from being accepted: ",
        ),
        (
            one(backupMode="FULL", status="SUCCESS"),
            {"backup_mode": "PHYSICAL"},
            "Only its backupMode and status keep backup set 'bak-1' from being accepted: ",
        ),
        (one(backupMode="FULL"), {"backup_mode": "PHYSICAL"}, "Only its backupMode keeps backup set 'bak-1'"),
        (one(tenants=None), {"tenants": ["orders"]}, NO_TENANTS + "it lists no tenants, so tenant 'orders'"),
        (one(tenants=[tenant("a")]), {"tenants": ["orders"]}, NO_TENANTS + "it has no tenant 'orders'"),
        (
            one(tenants=[tenant(validity=None)]),
            {"tenants": ["orders"]},
            NO_TENANTS + "of its tenant 'orders', it has no validity. ",
        ),
        (
            one(tenants=[tenant(status={"odd": 1})]),
            {"tenants": ["orders"]},
            NO_TENANTS + "of its tenant 'orders', \"{'odd': 1}\" is no status",
        ),
        # What the set and its tenants lack alike is one thing.
        (
            one(status="done", validity="ok", tenants=[tenant(status="done", validity="ok")]),
            {"tenants": ["orders"]},
            "Only its status and validity keep backup set 'bak-1' from being accepted: ",
        ),
        # It may go on: the rest may come.
        (
            one(status="BUSY", endTime=None, checkpoint=None, validity=None),
            {},
            "Only its status keeps backup set 'bak-1' from being accepted: 'BUSY' is no status that this "
            "provider knows. ",
        ),
    ],
)
def test_a_set_that_lacks_little_is_named(found: Any, options: dict[str, Any], begins: str) -> None:
    (text,) = by_checkpoint(found, **options)
    assert text.startswith(begins)


@pytest.mark.parametrize(
    ("found", "options"),
    [
        (one(checkpoint=at(-1)), {}),
        (one(checkpoint=at(-1), status="SUCCESS", validity=None), {}),
        (one(checkpoint=None, endTime=at(-1), validity=None), {}),
        (one(status="DOING", checkpoint=None, validity=None), {}),
        # Another kind of backup, anyway.
        (one(backupObjectType="TABLE", validity=None), {}),
        (one(backupMode="LOGICAL", validity=None), {"backup_mode": "PHYSICAL"}),
        (one(backupObjectType="TENANT", tenantName="billing"), {"tenants": ["orders"]}),
    ],
)
def test_what_is_not_wanted_is_no_warning(found: Any, options: dict[str, Any]) -> None:
    assert by_checkpoint(found, **options) == []


def test_the_timeout_names_what_a_set_lacks() -> None:
    wait = Wait(CheckpointCondition("ob-1", MIDNIGHT.isoformat(), tenants=["orders"]), LOG, first=False)
    assert wait.answered([one()], "r") is None
    says = ", but only its list of tenants keeps backup set 'bak-1' from being accepted"
    assert says in wait.timed_out(PollSchedule(timeout=60), time.time())


def test_a_failed_set_and_a_near_miss_are_both_named() -> None:
    failed = one("bak-2", status="FAILED")
    first, second = by_checkpoint(failed, one(status="SUCCESS"))
    assert first.startswith("A backup failed; still waiting: bak-2 (FAILED")
    assert second.startswith("Only its status keeps backup set 'bak-1'")


def test_the_newest_of_each_kind_is_named_and_not_many_kinds() -> None:
    older = [one(f"bak-{hour}", status="SUCCESS", startTime=at(hour)) for hour in range(3)]
    (text,) = by_checkpoint(*older)
    assert "'bak-2'" in text
    assert len(by_checkpoint(*(one(status=f"S{number}") for number in range(20)))) == 5


def test_of_sets_whose_times_are_none_the_first_is_named() -> None:
    unread = [one(f"bak-{hour}", checkpoint=1, startTime=2, endTime=3) for hour in range(3)]
    (text,) = by_checkpoint(*unread)
    assert "'bak-0'" in text


WORDS = (*SUCCESS_STATUSES, *FAILURE_STATUSES, *IN_PROGRESS_STATUSES, "SUCCESS", "done")
TIMES = (None, "soon", at(-1), at(1))


@given(
    status=st.sampled_from(WORDS),
    validity=st.sampled_from([None, "VALID", "ok"]),
    checkpoint=st.sampled_from(TIMES),
    end=st.sampled_from(TIMES),
    inside=st.lists(
        st.builds(
            tenant,
            st.sampled_from(["orders", "billing"]),
            status=st.sampled_from([None, *WORDS]),
            validity=st.sampled_from([None, "VALID"]),
            checkpoint=st.sampled_from(TIMES),
        ),
        max_size=3,
    ),
    kind=st.sampled_from(["CLUSTER", "TENANT", None]),
    tenants=st.sampled_from([(), ("orders",), ("orders", "billing")]),
)
def test_no_set_that_may_be_complete_is_passed_over_in_silence(
    status: str, validity: str, checkpoint: str, end: str, inside: Any, kind: str, tenants: Any
) -> None:
    found = one(
        status=status,
        validity=validity,
        checkpoint=checkpoint,
        endTime=end,
        tenants=inside,
        backupObjectType=kind,
        tenantName="orders",
    )
    condition = CheckpointCondition("ob-1", MIDNIGHT.isoformat(), tenants=tenants)
    verdict = condition.judge([found], "r")
    is_final = status not in IN_PROGRESS_STATUSES
    is_early = (checkpoint if checkpoint not in (None, "soon") else end) == at(-1)
    # A part of the instance that lacks more is none that is wanted.
    is_other = kind_of(found) == "TENANT" and not tenants
    if is_final and not is_early and not is_other:
        assert (verdict.found is None) == bool(verdict.notices) or status in FAILURE_STATUSES
    if verdict.found is not None:
        assert (status, validity, checkpoint) == ("DONE", "VALID", at(1))
        assert verdict.notices == ()
