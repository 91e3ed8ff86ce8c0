"""No report holds a name, an ID or a host."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_oceanbase._inferred import write_report
from airflow_provider_oceanbase.cli.anonymous import anonymous, names_in
from airflow_provider_oceanbase.cli.observing import Seen
from airflow_provider_oceanbase.cli.points import findings
from airflow_provider_oceanbase.cli.probes import Observations

#: Names without digits: a form tells nobody that they are none of the API's words.
NAMES = {
    "instance": "obabcdefghij",
    "name": "acme",
    "set": "bakabcdefgh",
    "tenant": "Payroll",
    "project": "project-orders",
    "host": "https://internal.example",
}


def answered(data: Any, **more: Any) -> Seen:
    return Seen(status=200, envelope={"success": True, "data": data, "requestId": "r", **more})


def seen_of(odd: str) -> Observations:
    """Return what is seen of a service that puts a text wherever words are expected."""
    backup_set = {"backupSetId": NAMES["set"], "tenantName": NAMES["tenant"], odd: 1, "startTime": odd}
    backup_set |= dict.fromkeys(("status", "validity", "backupMode", "backupObjectType", "triggerMode"), odd)
    page = answered({"dataList": [backup_set], odd: 1}, **{odd: 1})
    instances = {"dataList": [{"instanceId": NAMES["instance"], "instanceName": NAMES["name"]}]}
    refused = Seen(status=404, envelope={"success": False, "errorCode": odd, odd: 1})
    return Observations(
        replace(answered(instances), challenges=(f'Digest realm="x", algorithm={odd}, qop="{odd}"',)),
        private=(NAMES["project"], NAMES["host"]),
        page=page,
        listed=backup_set,
        details=answered(backup_set),
        unknown_backup=refused,
        unknown_instance=refused,
        list_of_unknown_instance=refused,
    )


@pytest.mark.parametrize("form", ["{}", "E-{}-X", "{} cluster", "of_{}"])
@pytest.mark.parametrize("what", NAMES)
def test_a_name_is_in_no_report(what: str, form: str) -> None:
    name = NAMES[what].removeprefix("https://").partition(".")[0]
    found = seen_of(form.format(name.upper()))
    assert name.lower() not in write_report(findings(found), "1").lower()


def test_documented_words_stay_whatever_an_instance_is_named() -> None:
    ordinary = answered({"dataList": [{"instanceId": "total", "instanceName": "DONE"}]})
    found = replace(seen_of("DONE"), instances=ordinary)
    (statuses,) = (one for one in findings(found) if one.key == "statuses")
    assert statuses.seen["sets"] == ["DONE"]


def test_documented_words_stay_whatever_field_they_are_in() -> None:
    summaries = [{"type": "FULL_BACKUP", "mode": "PHYSICAL_BACKUP", "trigger": "BACKUP_NOW", "of": "time"}]
    seen = Observations(Seen(), restorable=[answered([{"backupSetRestoreSummaries": summaries}])])
    words = ["FULL_BACKUP", "PHYSICAL_BACKUP", "BACKUP_NOW", "timeIntervalList", "storageType"]
    assert anonymous(words, names_in(seen)) == words
    assert anonymous("some time", names_in(seen)) == "some (name)"


def test_a_short_name_is_no_part_of_other_words() -> None:
    names = names_in(Observations(Seen(), private=("ob",)))
    assert anonymous({"words": ["jobs", "ob", "of ob", "OB_X"]}, names) == {
        "words": ["jobs", "(name)", "of (name)", "(name)_X"]
    }


def test_forms_of_times_stay_whatever_an_instance_is_named() -> None:
    found = Observations(answered({"requestId": "9999-abcd"}, requestId="dead"), private=("9999", "a-9"))
    assert names_in(found) == []
    assert anonymous(["9999-99-99T99:99:99Z", "a9999"], names_in(found)) == ["9999-99-99T99:99:99Z", "a9999"]


def test_thousands_of_names_and_deep_data_are_read() -> None:
    deep: Any = "deep-name"
    for _ in range(900):
        deep = [deep]
    page = answered({"dataList": [{"backupSetId": f"bak-{number}"} for number in range(20_000)], "x": deep})
    names = names_in(Observations(Seen(), page=page))
    assert json.loads(json.dumps(anonymous(["of deep-name", "RUNNING"], names))) == ["of (name)", "RUNNING"]
