"""The commands that show instances and backups."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from commands import NOW, run

from airflow_provider_oceanbase.testing import CloudEmulator


def test_lists(server: CloudEmulator) -> None:
    code, out, _ = run(server, "instances", "-o", "json")
    assert (code, json.loads(out)) == (0, [{"instanceId": "ob-cli7", "status": "ONLINE"}])
    code, out, err = run(server, "backups", "ob-cli7", "-o", "json")
    listed = json.loads(out)
    assert code == 0
    assert [one["backupSetId"] for one in listed] == ["bak-new7", "bak-old7"]
    assert listed[1]["durationSeconds"] == pytest.approx(110 * 60, abs=2)
    assert "1 of 2 backup sets failed" in err
    code, out, _ = run(server, "backups", "ob-cli7", "--status", "failed", "-o", "plain")
    assert [line.split()[0] for line in out.splitlines()] == ["id", "bak-new7"]


def test_a_status_without_a_set(server: CloudEmulator) -> None:
    code, out, err = run(server, "backups", "ob-cli7", "--status", "NOPE", "--status", "doing", "-o", "json")
    assert (code, json.loads(out)) == (0, [])
    unknown, listed = err.splitlines()
    assert unknown.startswith("Unknown status: NOPE. This provider knows BEGINNING, ")
    assert listed.startswith("No backup set of the last 7 days is NOPE or doing. The list has ")
    assert "1 DONE" in listed
    assert "1 FAILED" in listed


def test_one_backup(server: CloudEmulator) -> None:
    code, out, _ = run(server, "backup", "ob-cli7", "bak-old7")
    assert code == 0
    # What looks like markup of the terminal is shown as it is.
    assert "[red]x[/y]" in out
    code, out, err = run(server, "backup", "ob-cli7", "bak-none")
    assert (code, out, len(err.splitlines())) == (1, "", 1)


def test_what_is_bad_is_told_without_colour(server: CloudEmulator) -> None:
    parts = {"订单": {"validity": "INVALID"}, "billing": {}, "new": {"validity": None}}
    server.add_backup_set("ob-cli7", "bak-bad", statuses=("DONE",), tenants=parts, validity="INVALID")
    _, out, _ = run(server, "backups", "ob-cli7", "-o", "plain")
    ends = {line.split()[0]: line.rsplit("  ", 1)[1] for line in out.splitlines()}
    assert ends == {"id": "problem", "bak-bad": "not valid", "bak-new7": "failed", "bak-old7": "-"}
    _, out, _ = run(server, "backup", "ob-cli7", "bak-bad", "-o", "plain")
    *_, header, wide, narrow, new = out.splitlines()
    assert [line.rsplit("  ", 1)[1] for line in (header, wide, narrow, new)] == [
        *("problem", "not valid", "-", "-")
    ]
    # Two characters that take four cells.
    begin = header.index("tenant id")
    assert (wide.index("t1002"), narrow.index("t1003")) == (begin - 2, begin)


def test_wait(server: CloudEmulator) -> None:
    server.add_backup_set("ob-cli7", "bak-w", statuses=("DOING", "DONE"))
    server.add_backup_set("ob-cli7", "bak-stuck", statuses=("DOING",))
    wait = ("--wait", "--interval", "0.1", "-o", "json")
    code, out, err = run(server, "backup", "ob-cli7", "bak-w", *wait)
    assert (code, json.loads(out)["status"]) == (0, "DONE")
    assert "bak-w: DOING (" in err
    code, out, _ = run(server, "backup", "ob-cli7", "bak-new7", *wait)
    assert (code, json.loads(out)["status"]) == (3, "FAILED")
    code, out, err = run(server, "backup", "ob-cli7", "bak-stuck", *wait, "--timeout", "1")
    assert (code, out) == (4, "")
    assert "bak-stuck still DOING after 1 s: timed out (" in err
    assert err.endswith("if it still runs, wait again. Raise --timeout, if backups take so long.\n")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (503, "Check the network and the state of OceanBase Cloud. Then wait again.\n"),
        (429, "Send fewer requests: raise --interval, or try again later."),
    ],
)
def test_advice_names_options_of_the_command(status: int, says: str, server: CloudEmulator) -> None:
    server.add_backup_set("ob-cli7", "bak-away", statuses=("DOING", *[status] * 100))
    wait = ("--wait", "--interval", "0.1", "--timeout", "1")
    code, _, err = run(server, "backup", "ob-cli7", "bak-away", *wait)
    assert (code, says in err) == (4, True)
    for of_tasks in ("poke_interval", "lear the task", "spread the tasks", "Raise timeout"):
        assert of_tasks not in err


def test_restorable(server: CloudEmulator) -> None:
    begin = NOW - timedelta(hours=2)
    ends = [(begin, begin + timedelta(hours=1)), (begin + timedelta(minutes=90), None)]
    server.add_restorable_tenant("ob-cli7", "[red]x[/y]", intervals=ends, lag=timedelta(minutes=5))
    server.add_restorable_tenant("ob-cli7", "new", intervals=[], timeIntervalList=None)
    code, out, err = run(server, "restorable", "ob-cli7", "-o", "json")
    first, second = json.loads(out)
    assert (code, first["tenantName"], second["timeIntervalList"]) == (0, "[red]x[/y]", None)
    assert "1 of 2 tenants have no interval" in err
    code, out, _ = run(server, "restorable", "ob-cli7", "--parameter", "openRequest=true", "-o", "plain")
    header, *rows = out.splitlines()
    assert (code, len(rows)) == (0, 3)
    assert "behind" in header
    assert "5 min" in rows[1]
    assert server.requests[-1].query["openRequest"] == "true"
    code, out, err = run(server, "restorable", "ob-nope7")
    assert (code, out) == (0, "No data found\n")
    assert (
        "No tenants in the list. OceanBase Cloud may answer so for a wrong ID: check the instance ID" in err
    )


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (["openRequest"], "'openRequest' is no NAME=VALUE"),
        (["a= b"], "'a= b' cannot be sent"),
        (["a=None"], "'a=None' cannot be sent"),
        (["requestId=r"], "'requestId=r' cannot be sent"),
        (["a=1", "b=1", "a=2"], "a name is given twice"),
    ],
)
def test_unusable_parameters(parameters: list[str], says: str, server: CloudEmulator) -> None:
    sent = len(server.requests)
    given = [word for parameter in parameters for word in ("--parameter", parameter)]
    code, out, err = run(server, "restorable", "ob-cli7", *given)
    assert (code, out, len(server.requests)) == (2, "", sent)
    assert f"argument --parameter: {says}\n" in err
    assert "query_parameters" not in err


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tenantId": None}, "there is an entry without tenantId"),
        ({"timeIntervalList": "x"}, "timeIntervalList is no list"),
    ],
)
def test_an_odd_entry_hides_no_other(fields: dict[str, object], says: str, server: CloudEmulator) -> None:
    server.add_restorable_tenant("ob-odd", "orders", intervals=[(NOW - timedelta(hours=2), NOW)])
    server.add_restorable_tenant("ob-odd", "odd", intervals=[], **fields)
    code, out, err = run(server, "restorable", "ob-odd", "-o", "plain")
    _, orders, odd = out.splitlines()
    assert (code, orders.split()[0], odd.split()[0]) == (0, "orders", "odd")
    assert ("unreadable" in orders, "unreadable" in odd) == (False, True)
    assert f"1 of 2 entries cannot be read: {says}. RestorablePointSensor does not count them" in err
    _, out, _ = run(server, "restorable", "ob-odd", "-o", "json")
    assert json.loads(out)[1].items() >= fields.items()
