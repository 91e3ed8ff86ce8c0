"""What was seen of each point, and the verdict: plain code without I/O.

Nothing that comes from the service is passed on as it is: only words of a known form, numbers, and the forms
of values. Of these, the names that were seen are taken out. So a finding holds no ID, no name and no host.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from airflow_provider_oceanbase._inferred import POINTS, Finding
from airflow_provider_oceanbase.cli import contents, restorable
from airflow_provider_oceanbase.cli.anonymous import anonymous, names_in
from airflow_provider_oceanbase.cli.contents import OUTSIDE, Result
from airflow_provider_oceanbase.cli.forms import answer_of, kind, name, words
from airflow_provider_oceanbase.cli.probes import MOMENTS, PAGE_SIZE, Observations, items_of
from airflow_provider_oceanbase.cloud.backup_set import parsed_time
from airflow_provider_oceanbase.cloud.digest import answerable_challenge, read_challenges
from airflow_provider_oceanbase.exceptions import OceanBaseNotFoundError, OceanBaseRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase._inferred import Verdict
    from airflow_provider_oceanbase.cli.observing import Seen

#: Clocks that differ by more delay or hasten what depends on the time.
_CLOCK_SECONDS = 60.0


def findings(found: Observations) -> list[Finding]:
    """Return a finding for each point, in their order."""
    names = names_in(found)
    return [_finding(key, _CHECKS[key](found), names) for key in POINTS]


def _finding(key: str, result: Result, names: list[str]) -> Finding:
    right, seen = result or (None, {})
    verdict: Verdict = "not seen" if right is None else "confirmed" if right else "differs"
    return Finding(key, verdict, anonymous(seen, names))


def _challenge(found: Observations) -> Result:
    header = next((header for seen in found.all for header in seen.challenges), None)
    if header is None:
        # Without any response nothing is known; one without a challenge is served to everybody.
        return None if found.instances.status is None else (False, {"offers": []})
    offers = [
        {
            "scheme": name(challenge.scheme),
            "algorithm": name(challenge.parameters.get("algorithm")),
            "qop": name(challenge.parameters.get("qop")),
            "opaque": "opaque" in challenge.parameters,
        }
        for challenge in read_challenges(header)
    ]
    return answerable_challenge(header) is not None, {"offers": offers}


def _polls(found: Observations) -> Result:
    answered = [seen for seen in found.polls if seen.error is None]
    if not answered:
        return None
    challenges = [header for seen in answered for header in seen.challenges]
    trips = sum(seen.round_trips for seen in answered)
    milliseconds = [1000 * seen.seconds for seen in answered]
    seen = {
        "polls": len(found.polls),
        "failed": len(found.polls) - len(answered),
        "round_trips": trips,
        "stale": sum("stale=true" in header.replace('"', "").lower() for header in challenges),
        "median_ms": round(statistics.median(milliseconds)),
        "max_ms": round(max(milliseconds)),
    }
    return len(answered) == len(found.polls) and trips == len(answered), seen


def _envelope(found: Observations) -> Result:
    received = [seen for seen in found.all if isinstance(seen.envelope, dict)]
    if not received:
        return None if found.instances.status != 200 else (False, {"body": "no JSON object"})
    good = [seen for seen in received if seen.status == 200]
    ids = {_request_id(seen) for seen in received}
    known = all(isinstance(seen.envelope.get("success"), bool) for seen in good)
    failures = [seen.envelope for seen in received if seen.envelope.get("success") is not True]
    seen = {
        "fields": words(field for one in good for field in one.envelope),
        "failure_fields": words(field for one in failures for field in one),
        "success": sorted({kind(one.envelope, "success") for one in good}),
        "request_id": sorted(ids),
    }
    return known and "absent" not in ids, seen


def _request_id(seen: Seen) -> str:
    received = seen.envelope.get("requestId")
    return "absent" if not received else "as sent" if received == seen.request_id else "its own"


def _clock(found: Observations) -> Result:
    skews = [seen.date + 0.5 - seen.at for seen in found.all if seen.date is not None]
    if not skews:
        return None
    skew = statistics.median(skews)
    return abs(skew) <= _CLOCK_SECONDS, {"ahead_seconds": round(skew)}


def _project(found: Observations) -> Result:
    without = found.without_project
    if without is None or without.status is None:
        return None
    same = _ids(without, "instanceId") == _ids(found.instances, "instanceId")
    seen = {"in_connection": found.has_project, "without": answer_of(without), "same_list": same}
    return without.error is None, seen


def _page_size(found: Observations) -> Result:
    if not found.sets:
        return None
    pages = [(PAGE_SIZE, found.page), *((1, one) for one in found.small_pages[:1])]
    received = [{"requested": size, "received": len(items_of(seen))} for size, seen in pages]
    seen = {"pages": received, "total": _count(found.page)}
    return all(one["received"] <= one["requested"] for one in received), seen


def _list_end(found: Observations) -> Result:
    if not found.sets or found.page is None or not found.small_pages:
        return None
    first = found.small_pages[0]
    data = first.data if isinstance(first.data, dict) else {}
    seen = {
        "total": kind(data, "total"),
        "has_more": kind(data, "hasMore"),
        "beyond": answer_of(found.beyond) | {"sets": len(items_of(found.beyond))} if found.beyond else None,
    }
    more = len(found.sets) > len(items_of(first))
    total, has_more = _count(found.page), data.get("hasMore")
    right = (total is None or total >= len(found.sets)) and has_more in (None, more)
    is_empty = found.beyond is not None and found.beyond.error is None and not items_of(found.beyond)
    return right and (total is not None or isinstance(has_more, bool) or is_empty), seen


def _list_order(found: Observations) -> Result:
    times = [time for one in found.sets if (time := parsed_time(one.get("startTime")))]
    if len(set(times)) < 2:
        return None
    orders = {"newest first": sorted(times, reverse=True), "oldest first": sorted(times)}
    return True, {"order": next((order for order, ordered in orders.items() if ordered == times), "other")}


def _start_time(found: Observations) -> Result:
    """Find by which moment of a set it was filtered: it is listed as long as that is later."""
    if found.filtered is None or not found.filters:
        return None
    if failed := next((seen for _, seen in found.filters if seen.error is not None), None):
        return False, {"answer": answer_of(failed)}
    name_of_set = found.filtered.get("backupSetId")
    listed = [
        (later, any(one.get("backupSetId") == name_of_set for one in items_of(seen)))
        for later, seen in found.filters
    ]
    by = [moment for moment in MOMENTS if all((moment in later) == is_listed for later, is_listed in listed)]
    return bool(by), {"by": by, "filters": not all(is_listed for _, is_listed in listed)}


def _backup_set_id(found: Observations) -> Result:
    if found.listed is None or found.details is None:
        kinds = sorted({kind(one, "backupSetId") for one in found.sets})
        return (False, {"in_list": kinds}) if found.sets else None
    same = contents.details(found).get("backupSetId") == found.listed["backupSetId"]
    right = None if isinstance(found.details.error, OUTSIDE) else same
    return right, {"details": answer_of(found.details), "same_id": same}


def _unknown_backup(found: Observations) -> Result:
    seen = found.unknown_backup
    # Of an unknown instance, nothing is known but that.
    return (
        None
        if seen is None or found.is_unknown or seen.status is None
        else (_is_refusal(seen), answer_of(seen))
    )


def _unknown_instance(found: Observations) -> Result:
    backup, listed = found.unknown_instance, found.list_of_unknown_instance
    if backup is None or listed is None or backup.status is None:
        return None
    seen = {"backup": answer_of(backup), "list": answer_of(listed) | {"sets": len(items_of(listed))}}
    return _is_refusal(backup) and not items_of(listed), seen


def _restorable(found: Observations) -> Result:
    if not found.restorable or found.is_unknown or isinstance(found.restorable[0].error, OUTSIDE):
        return None
    first, last = found.restorable[0], found.restorable[-1]
    result = restorable.judge(last)
    if first.error is None:
        return result
    # Whatever it answers to more parameters, it refuses the request as the provider sends it.
    shape = result[1] if result is not None and last.error is None else {}
    return False, answer_of(first) | {"demands": found.demanded} | shape


def _is_refusal(seen: Seen) -> bool:
    says_no = isinstance(seen.envelope, dict) and seen.envelope.get("success") is False
    return isinstance(seen.error, OceanBaseNotFoundError) or (
        isinstance(seen.error, OceanBaseRefusedError) and says_no
    )


def _ids(seen: Seen, field: str) -> list[str]:
    return sorted(repr(item.get(field)) for item in items_of(seen))


def _count(seen: Seen | None) -> int | None:
    total = seen.data.get("total") if seen is not None and isinstance(seen.data, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) else None


_CHECKS: dict[str, Callable[[Observations], Result]] = {
    "challenge": _challenge,
    "polls": _polls,
    "envelope": _envelope,
    "clock": _clock,
    "instances": contents.instances,
    "project": _project,
    "list": contents.list_,
    "page_size": _page_size,
    "list_end": _list_end,
    "list_order": _list_order,
    "list_tenants": contents.list_tenants,
    "start_time": _start_time,
    "backup_set": contents.backup_set,
    "backup_set_id": _backup_set_id,
    "unknown_backup": _unknown_backup,
    "unknown_instance": _unknown_instance,
    "statuses": contents.statuses,
    "validity": contents.validity,
    "object_types": contents.object_types,
    "modes": contents.modes,
    "times": contents.times,
    "size": contents.size,
    "set_tenant": contents.set_tenant,
    "restorable": _restorable,
}
