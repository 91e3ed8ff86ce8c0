"""What ``check`` finds of services that answer otherwise than documented."""

from __future__ import annotations

import pytest
from profiles import PROFILES, checked

from airflow_provider_oceanbase.cli.summary import summary
from airflow_provider_oceanbase.testing import Profile

#: The points that differ, and those that were not seen, by the name of the profile; all others are confirmed.
ODD: dict[str, tuple[set[str], set[str]]] = {
    # No answer but data that are null: the instance is as unknown as the backup.
    "unknown ID: null data": ({"unknown_backup", "unknown_instance"}, set()),
    "other IDs": ({"backup_set_id"}, {"backup_set", "set_tenant"}),
    "lower case": ({"statuses", "object_types"}, set()),
    "lower validity": ({"validity"}, set()),
    "other words": ({"statuses", "object_types"}, set()),
    "no zone": ({"times", "restorable"}, set()),
    "numbers": ({"times", "restorable"}, {"list_order", "start_time"}),
    "sizes": ({"size"}, set()),
    "no tenants": ({"list_tenants"}, set()),
    "no validity": ({"list", "validity"}, set()),
    "fresh nonces": ({"polls"}, set()),
    "an older parameter": ({"restorable"}, set()),
    "older parameters": ({"restorable"}, set()),
    "a project": (
        {"instances", "project", "list", "restorable"},
        {
            *("polls", "page_size", "list_end", "list_order", "list_tenants", "start_time", "backup_set"),
            *("backup_set_id", "statuses", "validity", "object_types", "modes", "times", "size"),
            "set_tenant",
        },
    ),
}
ALL = PROFILES | {"a project": Profile(project_required=True)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("no_pauses")
def test_points_of_odd_services(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, points = checked(ALL[name], monkeypatch)
    by_verdict = {
        verdict: {one.key for one in points if one.verdict == verdict} for verdict in ("differs", "not seen")
    }
    differing, unseen = ODD.get(name, (set(), set()))
    assert by_verdict == {"differs": differing, "not seen": unseen}
    # Each point that was not seen has its place below the table.
    lines = [*summary(found, points, None)][1:]
    named = [key for line in lines for key in line.removeprefix("Not seen: ").split(". ")[0].split(", ")]
    assert {*named} == unseen
    assert len(named) == len(unseen)


def test_the_table_has_no_other_names() -> None:
    assert ODD.keys() <= ALL.keys()
