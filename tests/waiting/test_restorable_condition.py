"""When tenants can be restored to a point in time, and what is said while they cannot."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud.intervals import read_tenant_list
from airflow_provider_oceanbase.exceptions import (
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    PointNotRestorableError,
)
from airflow_provider_oceanbase.waiting.advice import NOT_LISTED, NOT_RESTORABLE, UNREADABLE
from airflow_provider_oceanbase.waiting.restorable import RestorableCondition
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.verdict import Verdict
from airflow_provider_oceanbase.waiting.wait import Wait

TIME = datetime(2026, 1, 20, 11, tzinfo=UTC)


def clock(hour: float) -> str:
    """Return a time of the day, as the API writes it."""
    return f"{TIME.replace(hour=0) + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"


def tenant(name: str, *intervals: tuple[Any, Any], tenant_id: str | None = None) -> dict[str, Any]:
    """Return an entry of the list; the ends of intervals are hours, or texts."""
    ends = [[clock(end) if isinstance(end, int | float) else end for end in each] for each in intervals]
    listed = [{"startTime": start, "endTime": end, "storageType": "OSS"} for start, end in ends]
    return {"tenantId": tenant_id or f"id-{name}", "tenantName": name, "timeIntervalList": listed}


def judge(*listed: dict[str, Any], **options: Any) -> Verdict:
    arguments = {"instance_id": "ob-1", "restore_time": TIME.isoformat()} | options
    return RestorableCondition(**arguments).judge(read_tenant_list(list(listed)), "r-1")


def warnings(verdict: Verdict) -> str:
    return "\n".join(notice.text for notice in verdict.notices)


@pytest.mark.parametrize("interval", [(10, 12), (11, 12), (10, 11), (11, 11)])
def test_an_interval_that_contains_the_time(interval: tuple[int, int]) -> None:
    verdict = judge(tenant("orders", interval))
    assert verdict.found == {
        "instanceId": "ob-1",
        "restoreTime": "2026-01-20T11:00:00+00:00",
        "tenantCount": 1,
        "tenants": [
            {
                "tenantId": "id-orders",
                "tenantName": "orders",
                "startTime": clock(interval[0]),
                "endTime": clock(interval[1]),
                "storageType": "OSS",
            }
        ],
    }
    assert (verdict.notices, verdict.failure) == ([], None)


@pytest.mark.parametrize(
    "time", [TIME, TIME.astimezone(timezone(timedelta(hours=8))), TIME + timedelta(microseconds=1)]
)
def test_zones_and_fractions(time: datetime) -> None:
    verdict = judge(tenant("orders", (10, 11)), restore_time=time.isoformat())
    assert (verdict.found is not None) == (time == TIME)


def test_what_is_missing() -> None:
    verdict = judge(
        tenant("orders", (1, 10)), tenant("billing", (1, 10.75)), tenant("new"), tenant("ok", (1, 12))
    )
    assert (verdict.status, verdict.found) == ("1 of 4 tenants restorable", None)
    assert verdict.progress == (
        "new not restorable yet; orders restorable up to 2026-01-20 10:00 UTC, 1 h to go; "
        "billing restorable up to 2026-01-20 10:45 UTC, 15 min to go"
    )
    assert warnings(verdict) == (
        "Tenant 'new' has no interval: instance 'ob-1' keeps waiting (wanted: restorable to "
        "2026-01-20T11:00:00+00:00). It may need a backup first.\n"
        "Tenant 'orders' is restorable only up to 2026-01-20 10:00 UTC; tenant 'billing' is restorable only "
        "up to 2026-01-20 10:45 UTC: instance 'ob-1' keeps waiting (wanted: restorable to "
        "2026-01-20T11:00:00+00:00). That is long ago: look up its backups and its log archive in the "
        "console."
    )
    assert verdict.advice == NOT_RESTORABLE


def test_today_needs_no_date() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ends = [f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-2, -1)]
    verdict = judge(tenant("orders", tuple(ends)), restore_time=now.isoformat())
    assert verdict.progress == f"orders restorable up to {now - timedelta(hours=1):%H:%M} UTC, 1 h to go"
    assert verdict.notices == []


@pytest.mark.parametrize(("days", "warned"), [(1.9, False), (2.1, True)])
def test_an_end_that_may_move_on_no_more(days: float, warned: bool) -> None:
    now = datetime.now(UTC)
    ends = [f"{now - timedelta(days=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (9, days)]
    verdict = judge(tenant("orders", tuple(ends)), restore_time=now.isoformat())
    assert ("long ago: look up its backups" in warnings(verdict)) == warned


def test_one_odd_interval_hides_no_other_reason() -> None:
    verdict = judge(tenant("orders", (1, 10), (12, 13), ("x", "y")))
    seen = warnings(verdict)
    assert "of tenant 'orders', the interval 'x' to 'y' is none" in seen[0].lower() + seen[1:]
    assert "restorable up to 2026-01-20T10:00:00Z and again from 2026-01-20T12:00:00Z" in seen
    assert verdict.advice == NOT_RESTORABLE
    assert judge(tenant("orders", (12, 13), ("x", "y"))).advice == UNREADABLE


def test_lines_of_the_log(logged: Callable[[], str]) -> None:
    condition = RestorableCondition("ob-1", TIME.isoformat())
    wait = Wait(condition, logging.getLogger("airflow.task"))
    wait.lasts(PollSchedule(poke_interval=60, timeout=7200), time.time())
    for ends, elapsed in (((1, 10), 0), ((1, 10.5), 5), ((1, 10.75), 700)):
        wait._began = time.time() - elapsed
        assert wait.answered(read_tenant_list([tenant("orders", ends)]), "r-1") is None
    text = logged()
    known = "0 of 1 tenant restorable; orders restorable up to 2026-01-20 10:"
    assert (
        f"ob-1: {known}00 UTC, 1 h to go (wanted: restorable to 2026-01-20T11:00:00+00:00, requestId" in text
    )
    # An end that moves on is no news; it stands in the line that is due.
    assert "10:30" not in text
    assert "ob-1 still not restorable to that time after 11 min 40 s: " in text
    assert f"{known}45 UTC, 15 min to go; times out at" in text
    wait.answered(read_tenant_list([tenant("orders", (1, 11))]), "r-1")
    assert "1 tenant restorable to 2026-01-20T11:00:00+00:00; orders up to 2026-01-20T11:00:00Z (" in logged()


def test_waits_for_one_instance_share_their_polls() -> None:
    waits = [
        RestorableCondition("ob-1", TIME.isoformat()),
        RestorableCondition("ob-1", "2026-01-01T00:00:00Z", ["orders"], fail_if_unreachable=False),
    ]
    assert waits[0].query.key == waits[1].query.key
    assert waits[0].query.key != RestorableCondition("ob-2", TIME.isoformat()).query.key


def test_no_tenant_is_listed() -> None:
    assert judge()._replace(notices=()) == Verdict("no tenant listed", advice=NOT_LISTED)
    verdict = judge(tenants=["orders"])
    assert (verdict.status, verdict.progress) == ("0 of 1 tenant restorable", "orders not listed")
    for empty in (judge(), verdict):
        assert warnings(empty) == (
            "No tenants in the list: instance 'ob-1' keeps waiting (wanted: restorable to "
            "2026-01-20T11:00:00+00:00). OceanBase Cloud may answer so for a wrong ID: check the instance "
            "ID, and Host and Project ID of the connection."
        )
    other = judge(tenant("billing", (1, 12)), tenants=["orders"])
    assert warnings(other).startswith("No tenant 'orders' is listed: instance 'ob-1' keeps waiting (wanted: ")
    assert other.advice == NOT_LISTED


def test_only_what_is_named_counts() -> None:
    listed = [tenant("orders", (1, 12)), tenant("billing", (20, 22)), tenant("old")]
    for name in ("orders", "id-orders"):
        assert judge(*listed, tenants=[name, name, "id-orders"]).found["tenantCount"] == 1
    assert judge(*listed, tenants=["orders", "nobody"]).found is None
    assert judge(*listed, tenants=["orders", "old"]).found is None


def test_before_every_interval() -> None:
    listed = [tenant("ok", (1, 12)), tenant("orders", (14, 16), (12, 13)), tenant("billing", (13, 14))]
    verdict = judge(*listed)
    assert isinstance(verdict.failure, PointNotRestorableError)
    text = str(verdict.failure)
    assert text.startswith(
        "Never restorable to 2026-01-20T11:00:00+00:00: tenant 'orders' (ID id-orders) only from "
        "2026-01-20T12:00:00Z on, as 1 more, instance 'ob-1'; requestId r-1. Choose a later restore_time."
    )
    waits = judge(*listed, fail_if_unreachable=False)
    assert (waits.failure, waits.found) == (None, None)
    assert warnings(waits).startswith(
        "Tenant 'orders' is restorable only from 2026-01-20T12:00:00Z on; "
        "tenant 'billing' is restorable only from 2026-01-20T13:00:00Z on: instance 'ob-1' keeps waiting ("
    )
    assert "orders restorable only from 2026-01-20T12:00:00Z on" in waits.progress


def test_a_gap_is_waited_for() -> None:
    verdict = judge(tenant("orders", (12, 14), (1, 9), (8, 10)))
    assert (verdict.found, verdict.failure) == (None, None)
    assert verdict.progress == "orders restorable up to 2026-01-20T10:00:00Z and from 2026-01-20T12:00:00Z"
    assert warnings(verdict).endswith("If the gap does not close, choose another restore_time.")


@pytest.mark.parametrize(
    "interval",
    [
        (clock(1)[:-1], clock(12)),
        (clock(1), clock(12)[:-1]),
        (["2026"], clock(12)),
        ("1", "2"),
        (None, clock(12)),
        ("", ""),
        (clock(12), clock(1)),
        (clock(1), "9999-12-31T23:59:59-08:00"),
        ("2026-01-20", "2026-01-21"),
    ],
)
def test_an_interval_that_cannot_be_read(interval: tuple[Any, Any]) -> None:
    verdict = judge(tenant("orders", interval))
    assert (verdict.found, verdict.failure) == (None, None)
    assert verdict.progress == "orders has intervals that cannot be read"
    assert verdict.advice == UNREADABLE
    assert "Of tenant 'orders', the interval " in warnings(verdict)
    assert "is none that this provider can read: instance 'ob-1' keeps waiting" in warnings(verdict)
    # As long as one is unknown, nobody knows that all begin later.
    assert judge(tenant("orders", interval, (20, 21))).failure is None
    # One that can be read is enough.
    assert judge(tenant("orders", interval, (10, 12))).notices == []


_ODD_ENTRIES: list[tuple[Any, str]] = [
    (None, "(unnamed)"),
    ([], "(unnamed)"),
    ({}, "(unnamed)"),
    ({"tenantId": None, "tenantName": 7}, "(unnamed)"),
    (tenant("odd", (1, 12)) | {"tenantId": None}, "odd"),
    (tenant("odd", (1, 12)) | {"tenantId": 7}, "odd"),
    (tenant("odd", (1, 12)) | {"tenantId": "x" * 201}, "odd"),
    (tenant("odd") | {"timeIntervalList": {}}, "odd"),
    (tenant("odd") | {"timeIntervalList": [*tenant("odd", (1, 12))["timeIntervalList"], None]}, "odd"),
]


@pytest.mark.parametrize(("entry", "name"), _ODD_ENTRIES)
def test_an_entry_that_cannot_be_read(entry: Any, name: str) -> None:
    good = tenant("orders", (1, 12))
    # It does not end the wait for another tenant, and that is said.
    named = judge(good, entry, entry, tenants=["orders"])
    assert [one["tenantName"] for one in named.found["tenants"]] == ["orders"]
    assert warnings(named).startswith(f"Of tenant '{name}', ")
    assert warnings(named).endswith("Such an entry does not count: the wait is for other tenants.")
    # It may be any tenant: all of them are not known to be restorable.
    for unnamed in (judge(good, entry), judge(entry, entry)):
        assert (unnamed.found, unnamed.failure) == (None, None)
        assert f"{name} has an entry that cannot be read" in unnamed.progress
        assert f"Of tenant '{name}', " in warnings(unnamed)
        assert unnamed.advice == UNREADABLE
    # Nor is one that may be the tenant of that name, whatever another of its name is.
    own = judge(entry, tenant("odd", (1, 12), tenant_id="other"), tenants=["odd"])
    assert (own.found is None) == (name == "odd")
    assert judge(entry, tenants=["odd"]).found is None


def test_one_warning_of_each_kind() -> None:
    """However many tenants it is about; a wait has room for a hundred kinds."""
    listed = [tenant(f"odd{number}", ("x", "y")) for number in range(300)]
    listed += [tenant(f"bare{number}") for number in range(7)]
    listed += [tenant(f"late{number}", (13, 14)) for number in range(7)]
    listed += [tenant(f"gap{number}", (1, 2), (13, 14)) for number in range(5)]
    listed += [tenant("twin", (1, 12), tenant_id=f"{number}") for number in range(2)]
    names = [one["tenantName"] for one in listed] + [f"lost{number}" for number in range(300)]
    verdict = judge(*listed, {}, tenants=names, fail_if_unreachable=False)
    kinds = [notice.kind for notice in verdict.notices]
    assert kinds == ["ambiguous", "malformed", "missing", "odd", "bare", "late", "gap"]
    for text, number in (("odd", 295), ("bare", 2), ("late", 2), ("lost", 295)):
        (warning,) = [notice.text for notice in verdict.notices if f"'{text}4'" in notice.text]
        assert f", and {number} more: instance 'ob-1' keeps waiting (" in warning
        assert f"'{text}5'" not in warning
    assert all(len(notice.text) < 1_500 for notice in verdict.notices)


@pytest.mark.parametrize(
    ("listed", "advice"),
    [
        ([tenant("orders", ("x", "y"))], UNREADABLE),
        ([tenant("billing", (1, 12))], NOT_LISTED),
        ([tenant("orders", (1, 10))], NOT_RESTORABLE),
        ([tenant("orders", (1, 10)), {}], NOT_RESTORABLE),
    ],
)
def test_the_advice_after_a_timeout(listed: list[Any], advice: str) -> None:
    wait = Wait(RestorableCondition("ob-1", TIME.isoformat(), ["orders"]), logging.getLogger("airflow.task"))
    schedule = PollSchedule(poke_interval=60, timeout=7200)
    wait.lasts(schedule, time.time() - 7200)
    assert wait.answered(read_tenant_list(listed), "r-1") is None
    assert wait.timed_out(schedule, time.time() - 7200).endswith(f". {advice}")


@pytest.mark.parametrize("form", ["2026-01-20'T'{}:00:00.000'Z'", "2026-01-20T{}:00:00+00:00"])
def test_other_forms_of_times(form: str) -> None:
    assert judge(tenant("orders", (form.format(10), form.format(12)))).found is not None


def test_an_interval_that_ends_in_the_future() -> None:
    """A local time that counts as UTC would make of any time one that can be restored."""
    now = datetime.now(UTC)

    def until(minutes: float) -> dict[str, Any]:
        return tenant("orders", (clock(1), f"{now + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"))

    verdict = judge(until(60), fail_if_unreachable=False)
    assert verdict.found is None
    assert isinstance(verdict.failure, OceanBaseMalformedResponseError)
    assert str(verdict.failure).startswith("Interval ends in the future (")
    assert "tenant 'orders'): the restorable tenants of instance 'ob-1', requestId r-1" in str(
        verdict.failure
    ).replace("; ", ", ")
    # A service that writes local times does so for all tenants.
    other = judge(until(60), tenant("billing", (1, 12)), tenants=["billing"])
    assert isinstance(other.failure, OceanBaseMalformedResponseError)
    # Clocks differ.
    assert judge(until(2)).found is not None


def test_two_tenants_of_one_name() -> None:
    first, second = tenant("orders", (1, 12), tenant_id="t1"), tenant("orders", (1, 10), tenant_id="t2")
    verdict = judge(first, second, tenants=["orders"])
    assert (verdict.status, verdict.found) == ("1 of 2 tenants restorable", None)
    assert "2 tenants are named 'orders' (t1, t2), and each must be restorable" in warnings(verdict)
    assert judge(first, second, tenants=["t1"]).found["tenants"][0]["tenantId"] == "t1"
    both = judge(first, tenant("orders", (1, 12), tenant_id="t2"), tenants=["orders"])
    assert both.found["tenantCount"] == 2
    assert "2 tenants are named 'orders'" in warnings(both)
    # An ID may be another tenant's name.
    assert judge(first, tenant("t1", (1, 10)), tenants=["t1"]).found is None


def test_two_tenants_of_one_id() -> None:
    """The interval of one must not count for the other."""
    first, second = tenant("orders", (1, 12), tenant_id="t1"), tenant("billing", tenant_id="t1")
    assert judge(first, second, tenants=["billing"]).found is None
    assert judge(first, second).found is None
    assert judge(first, second, tenants=["orders"]).found["tenants"][0]["tenantName"] == "orders"
    verdict = judge(first, second, tenants=["t1"])
    assert verdict.status == "1 of 2 tenants restorable"
    # An entry without a name is part of the tenant, unless its ID has several names.
    part = {**tenant("", (13, 15), tenant_id="t1"), "tenantName": None}
    whole = judge(first, part, restore_time=clock(14), tenants=["orders"])
    assert whole.found["tenants"][0]["tenantName"] == "orders"
    assert judge(first, second, part, restore_time=clock(14), tenants=["orders"]).found is None
    shared = verdict.notices[0].text
    assert shared.startswith(
        "2 tenants have the ID 't1' ('orders', 'billing'), and each must be restorable: instance 'ob-1'"
    )
    assert shared.endswith("To wait for one, give its name.")


def test_an_entry_without_an_id_that_has_the_name() -> None:
    listed = [tenant("orders", (1, 12), tenant_id="t1"), tenant("orders", (1, 12)) | {"tenantId": None}]
    verdict = judge(*listed, tenants=["orders"])
    assert (verdict.status, verdict.found) == ("1 of 2 tenants restorable", None)
    assert verdict.progress == "orders has an entry that cannot be read"
    ambiguous, odd = (notice.text for notice in verdict.notices)
    assert ambiguous.startswith(
        "An entry without ID has the name 'orders' besides t1, and cannot be judged: instance 'ob-1'"
    )
    assert ambiguous.endswith("To wait for one, give its ID.")
    assert odd.startswith("Of tenant 'orders', there is an entry without tenantId: ")
    # That is what helps.
    assert judge(*listed, tenants=["t1"]).found["tenantCount"] == 1


def test_long_names_are_told_from_each_other() -> None:
    begin = "orders_emea_reporting_archive_production_"
    listed = [tenant(begin + end, (1, 10), tenant_id=f"id-{end}") for end in ("eu1", "us1")]
    verdict = judge(*listed)
    assert verdict.progress.count(f"{begin[:40]}… (ID id-") == 2
    for end in ("eu1", "us1"):
        assert f"(ID id-{end}) restorable up to " in verdict.progress
    late = judge(*listed, restore_time=clock(0.5))
    assert f"tenant '{begin[:40]}…' (ID id-eu1) only from" in str(late.failure)
    waits = judge(*listed, restore_time=clock(0.5), fail_if_unreachable=False)
    assert f"tenant '{begin[:40]}…' (ID id-us1) is restorable only from" in warnings(waits)
    # One that fits is whole, and needs no ID.
    assert judge(tenant(begin[:40], (1, 10))).progress.startswith(f"{begin[:40]} restorable up to ")


def test_entries_of_one_tenant_belong_together() -> None:
    verdict = judge(tenant("orders", (1, 9)), tenant("orders", (10, 12)))
    assert verdict.found["tenantCount"] == 1
    assert verdict.found["tenants"][0]["startTime"] == clock(10)


def test_foreign_text_is_bounded() -> None:
    name = "\x1b[31m\ud800" + "x" * 10_000
    verdict = judge(
        tenant(name, ("y" * 10_000, ""), tenant_id="t\x07"), *(tenant(f"t{number}") for number in range(50))
    )
    assert len(verdict.progress) < 500
    assert verdict.progress.endswith(", and 46 more")
    text = verdict.progress + warnings(verdict)
    assert len(text) < 2_000
    assert text.replace("\n", "").isprintable()


def test_what_goes_to_xcom_is_small() -> None:
    quoted = "'" * 5_000 + clock(1)
    listed = [
        tenant(f"{number}" + "\ud800" * 500, (quoted, 12), tenant_id=f"t{number}") for number in range(5000)
    ]
    verdict = judge(*listed)
    assert verdict.found["tenantCount"] == 5000
    assert len(verdict.found["tenants"]) == 100
    assert len(json.dumps(verdict.found)) < 200_000
    json.dumps(verdict.found, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tenants": "orders"}, "tenants is 'orders'; it must be a list of names"),
        ({"tenants": [None]}, "an entry of tenants is None, which is no name"),
        ({"tenants": ["orders", " "]}, "an entry of tenants is ' '"),
        ({"query_parameters": ["a"]}, "query_parameters is ['a']; it must be a dict of texts"),
    ],
)
def test_unusable_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        judge(**options)
    assert says in str(caught.value)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(OceanBaseInputError, match="which is no time in ISO 8601 with a time zone"):
        judge(restore_time="2026-01-20T11:00:00")
    # And before anything is sent.
    with pytest.raises(OceanBaseInputError, match="restore_time is '2026-01-20T11:00:00'"):
        _ = RestorableCondition("ob-1", "2026-01-20T11:00:00").query


_HOURS = st.integers(0, 22)
_TENANTS = st.lists(st.lists(st.tuples(_HOURS, _HOURS), max_size=3), max_size=3)


@given(_TENANTS, st.booleans())
def test_never_a_false_success(tenants: list[list[tuple[int, int]]], fail: bool) -> None:
    listed = [tenant(f"t{number}", *intervals) for number, intervals in enumerate(tenants)]
    verdict = judge(*listed, fail_if_unreachable=fail)
    restorable = [any(start <= 11 <= end for start, end in intervals) for intervals in tenants]
    lost = [bool(intervals) and all(11 < start <= end for start, end in intervals) for intervals in tenants]
    assert (verdict.found is not None) == (bool(tenants) and all(restorable))
    assert (verdict.failure is not None) == (fail and any(lost))
