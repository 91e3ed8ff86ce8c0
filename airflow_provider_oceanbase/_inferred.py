"""What the provider relies on without documentation, and the report of what a service does instead.

``check`` of the command line writes such a report, and an emulator can be made from it. Plain code: it
imports nothing of the package.

A report is a JSON object::

    {"format": 1, "provider": "1.2.3", "points": [{"key": …, "verdict": …, "seen": {…}}, …]}

``docs/command-line.md`` describes ``seen`` of each key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

#: Version of the report's format: a key, or a field of ``seen``, that changes its meaning makes a new one.
FORMAT = 1

Verdict: TypeAlias = Literal["confirmed", "differs", "not seen"]

#: What the provider relies on, by the key of the point.
POINTS = {
    "challenge": "HTTP 401 offers digest with MD5, SHA-256, SHA-512-256 or SHA-512, and qop auth or none",
    "polls": "a poll after the first takes one round trip: a nonce serves many requests",
    "envelope": "a response has success, data and requestId; a failure errorCode and errorMessage",
    "clock": "the clocks of the service and of this machine agree within a minute",
    "instances": "the list of instances has dataList, and each entry instanceId",
    "project": "the header X-Ob-Project-Id is optional",
    "list": "the list of backup sets has dataList, and each entry the documented fields",
    "page_size": "a page holds as many sets as requested, or fewer",
    "list_end": "the list ends when hasMore or total says so, or with an empty page",
    "list_order": "the list may have any order",
    "list_tenants": "a set in the list has its tenants",
    "start_time": "startTime filters the list by start, end or checkpoint of a set",
    "backup_set": "the details of a set, and of each tenant in it, have the documented fields",
    "backup_set_id": "backupSetId in the list is the ID of the backup task",
    "unknown_backup": "an unknown backup task is HTTP 404 or success: false",
    "unknown_instance": "an unknown instance is an error for a backup task; its list is an error, or empty",
    "statuses": "status is DONE, FAILED, or another known word",
    "validity": "a set that is DONE has a validity, and a good one is VALID",
    "object_types": "backupObjectType of a whole instance is CLUSTER; TENANT, DATABASE and TABLE are parts",
    "modes": "backupMode, dataBackupMode and triggerMode are words",
    "times": "times are ISO 8601, with a time zone, and none is in the future",
    "size": "dataBackupSize is a number, the same in the list and in the details",
    "set_tenant": "the set itself has the tenant sys, named *",
    "restorable": "a restorable tenant has ID, name and intervals with times as above",
}
#: The one status that the vendor documents for this endpoint.
SUCCESS_STATUSES = ("DONE",)
#: Final failures in the vendor's sister APIs; that this endpoint uses the same words is inferred.
FAILURE_STATUSES = ("FAILED", "CANCELED", "OVERDUE")
#: A backup in progress, in the vendor's sister APIs: likewise.
IN_PROGRESS_STATUSES = ("BEGINNING", "INITIALIZING", "DOING", "RUNNING", "CANCELING", "UNKNOWN")
#: All statuses that the provider knows.
STATUSES = (*IN_PROGRESS_STATUSES, *SUCCESS_STATUSES, *FAILURE_STATUSES)
#: Objects of a backup, likewise.
OBJECT_TYPES = ("CLUSTER", "TENANT", "DATABASE", "TABLE")


@dataclass(frozen=True)
class Finding:
    """What a service does about one point.

    :param key: one of :data:`POINTS`
    :param verdict: whether the provider is right to rely on it
    :param seen: plain JSON, without any ID, name or host
    """

    key: str
    verdict: Verdict
    seen: dict[str, Any] = field(default_factory=dict)


def write_report(findings: list[Finding], provider: str) -> str:
    """Return a report as JSON text.

    :param provider: version of this package
    """
    report = {"format": FORMAT, "provider": provider, "points": [asdict(one) for one in findings]}
    return json.dumps(report, indent=2) + "\n"


def read_report(text: str) -> dict[str, Finding]:
    """Return the findings of a report by their keys; those with a key unknown here are left out.

    :raises ValueError: it is no report of a format that is known here
    """
    try:
        report = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply for a report") from None
    if not isinstance(report, dict) or type(report.get("format")) is not int or report["format"] != FORMAT:
        raise ValueError(f"no report of format {FORMAT}")
    points = report.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        raise ValueError("points is no list of objects with key, verdict and seen")
    found = [Finding(one["key"], cast("Verdict", one["verdict"]), one["seen"]) for one in points]
    return {one.key: one for one in found if one.key in POINTS}


def _is_point(one: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("key"), str)
        and one.get("verdict") in get_args(Verdict)
        and isinstance(one.get("seen"), dict)
    )
