"""What was seen of the data themselves, of instances and backup sets: as in ``points``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_oceanbase._inferred import OBJECT_TYPES, STATUSES
from airflow_provider_oceanbase.cli.forms import answer_of, forms_of_times, kind, words
from airflow_provider_oceanbase.cli.probes import MOMENTS, Observations, is_complete
from airflow_provider_oceanbase.cloud.backup_set import (
    CLOCKS_DIFFER,
    VALID,
    TenantBackupSet,
    parsed_time,
    read_backup_set,
)
from airflow_provider_oceanbase.cloud.backup_sets import read_backup_set_page
from airflow_provider_oceanbase.cloud.instances import InstanceList
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_oceanbase.cli.observing import Seen

#: Whether the provider is right to rely on a point, None if that cannot be told, and what was seen of it.
#: None: nothing was.
Result: TypeAlias = tuple[bool | None, dict[str, Any]] | None
#: Failures that say nothing about what was requested.
OUTSIDE = (OceanBaseAuthenticationError, OceanBaseThrottledError, OceanBaseUnavailableError)
#: The documented fields of a set, and of a tenant's set.
_DOCUMENTED = frozenset(TenantBackupSet.__annotations__)


def instances(found: Observations) -> Result:
    """Judge the list of instances."""
    if found.instances.error is not None:
        return _unanswered(found.instances)
    return _shape(found.instances.data, InstanceList().page(1).read, _top(found.instances.data))


def list_(found: Observations) -> Result:
    """Judge the fields of the list of backup sets."""
    if found.page is None or found.is_unknown:
        return None
    if found.page.error is not None:
        return _unanswered(found.page)
    seen = _top(found.page.data) | _fields(found.sets, _DOCUMENTED)
    # Without a set, nothing is known of the fields of one.
    right = not seen["missing"] if found.sets else None
    return _shape(found.page.data, read_backup_set_page, seen, right=right)


def list_tenants(found: Observations) -> Result:
    """Judge whether the list has the sets' tenants."""
    if not found.sets:
        return None
    kinds = sorted({kind(one, "tenantBackupSetList") for one in found.sets})
    return kinds == ["list"], {"in_list": kinds, "in_details": kind(details(found), "tenantBackupSetList")}


def backup_set(found: Observations) -> Result:
    """Judge the fields of the details of a set."""
    if found.details is None:
        return None
    if found.details.error is not None:
        # What their ID came to is another point: backup_set_id.
        return None, answer_of(found.details)
    one = details(found)
    tenants = _tenants_of(one)
    of_tenants = {f"tenant_{what}": fields for what, fields in _fields(tenants, _DOCUMENTED).items()}
    seen = _fields([one], _DOCUMENTED | {"tenantBackupSetList"}) | of_tenants
    right = not seen.get("missing") and not seen.get("tenant_missing")
    return _shape(one, read_backup_set, seen, right=right)


def statuses(found: Observations) -> Result:
    """Judge the statuses."""
    if not found.sets:
        return None
    sets, tenants = _values(found.sets, "status"), _values(_tenants(found), "status")
    ended = [one for one in found.sets if one.get("endTime")]
    seen = {
        "sets": words(sets),
        "tenants": words(tenants),
        "sets_with_end_time": words(_values(ended, "status")),
    }
    return {*words(sets), *words(tenants)} <= {*STATUSES}, seen


def validity(found: Observations) -> Result:
    """Judge the validities."""
    complete = list(filter(is_complete, found.sets))
    others = [one for one in found.sets if not is_complete(one)]
    if not complete and not any(one.get("validity") for one in others):
        return None
    seen = {
        "done": words(_values(complete, "validity")),
        "others": words(_values(others, "validity")),
        "tenants": words(_values(_tenants(found), "validity")),
    }
    right = VALID in seen["done"] and all(one.get("validity") is not None for one in complete)
    return right if complete else None, seen


def object_types(found: Observations) -> Result:
    """Judge the objects of backups."""
    if not found.sets:
        return None
    sets = words(_values(found.sets, "backupObjectType"))
    tenants = words(_values(_tenants(found), "backupObjectType"))
    return {*sets} <= {*OBJECT_TYPES} and {*tenants} <= {"TENANT"}, {"sets": sets, "tenants": tenants}


def modes(found: Observations) -> Result:
    """Judge the modes of backups."""
    if not found.sets:
        return None
    fields = ("backupMode", "dataBackupMode", "triggerMode")
    are_text = all(isinstance(value, str) for field in fields for value in _values(found.sets, field))
    return are_text, {field: words(_values(found.sets, field)) for field in fields}


def times(found: Observations) -> Result:
    """Judge the forms of times."""
    values = [value for moment in MOMENTS for value in _values(found.sets, moment) if value is not None]
    if not values:
        return None
    # A zone of None shows which times name none.
    times = [parsed_time(value, zone=None) for value in values]
    service = next((seen.date for seen in found.all if seen.date is not None), None)
    now = datetime.now(UTC) if service is None else datetime.fromtimestamp(service, UTC)
    limit = now + CLOCKS_DIFFER
    ahead = any(time > limit for value in values if (time := parsed_time(value)) is not None)
    forms = {moment: forms_of_times(_values(found.sets, moment)) for moment in MOMENTS}
    zoned = all(time is not None and time.tzinfo is not None for time in times)
    return zoned and not ahead, forms | {"in_the_future": ahead}


def size(found: Observations) -> Result:
    """Judge the size of a set."""
    if found.listed is None:
        return None
    field, one = "dataBackupSize", details(found)
    in_list, in_details = kind(found.listed, field), kind(one, field)
    same = None if not one else found.listed.get(field) == one.get(field)
    seen = {"in_list": in_list, "in_details": in_details, "same": same}
    return in_list == "number" and same is not False, seen


def set_tenant(found: Observations) -> Result:
    """Judge the tenant of a whole set."""
    one = details(found)
    if not one:
        return None
    expected = {"tenantId": "sys", "tenantName": "*"}
    seen = {
        field: value if one.get(field) == value else f"another {kind(one, field)}"
        for field, value in expected.items()
    }
    return seen == expected, seen


def details(found: Observations) -> Mapping[str, Any]:
    """Return the details of a set as they came, empty without any."""
    data = found.details.data if found.details is not None else None
    return data if isinstance(data, dict) else {}


def _tenants(found: Observations) -> list[Mapping[str, Any]]:
    return [tenant for one in (*found.sets, details(found)) for tenant in _tenants_of(one)]


def _tenants_of(backup_set: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tenants = backup_set.get("tenantBackupSetList")
    return [one for one in tenants if isinstance(one, dict)] if isinstance(tenants, list) else []


def _values(items: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    return [item.get(field) for item in items]


def _top(data: object) -> dict[str, Any]:
    return {"fields": words(data)} if isinstance(data, dict) else {"data": kind({"": data}, "")}


def _fields(items: list[Mapping[str, Any]], documented: frozenset[str]) -> dict[str, list[str]]:
    """Return which documented fields some items lack, and which others some have."""
    missing = {field for item in items for field in documented - item.keys()}
    return {
        "missing": words(missing),
        "more": words({field for item in items for field in item} - documented),
    }


def _unanswered(seen: Seen) -> Result:
    """Return what is known of data that did not come."""
    # A key that may not read them, or an outage, says nothing of their shape.
    return None if isinstance(seen.error, OUTSIDE) else False, answer_of(seen)


def _shape(
    data: object, read: Callable[[object], object], seen: dict[str, Any], *, right: bool | None = True
) -> Result:
    """Compare data with what the provider's own reader of them accepts."""
    try:
        read(data)
    except ValueError as problem:
        return False, seen | {"problem": str(problem)}
    return right, seen
