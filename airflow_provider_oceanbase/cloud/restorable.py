"""The tenants that can be restored, and the intervals of time to which each can be.

Source: "Query the tenants that can be restored" of the OceanBase Cloud API reference, in two versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypedDict, cast
from urllib.parse import urlencode

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.arguments import NATIVE_HINT, PLAIN_HINT, checked_text, unusable
from airflow_provider_oceanbase.cloud.backup_set import is_shallow, is_word
from airflow_provider_oceanbase.cloud.backup_sets import counts_of
from airflow_provider_oceanbase.cloud.query import Request, path_segment

#: Further parameters of the request, in the older version of the page.
OLDER_PARAMETERS = ("restoreType", "openRequest")


class RestorableInterval(TypedDict, total=False):
    """An interval of time: the tenant can be restored to each moment in it. Unknown fields pass through."""

    startTime: str
    """The earliest moment: UTC, ISO 8601."""
    endTime: str
    """The latest moment: UTC, ISO 8601. That it moves on with the archived log is inferred."""
    storageType: str
    """Where the backups are stored."""


class RestorableTenant(TypedDict, total=False):
    """A tenant that can be restored, as the API gives it; fields unknown here pass through."""

    tenantId: str
    """ID of the tenant: the only field that is required."""
    tenantName: str
    """Name of the tenant."""
    tenantMode: str
    """Compatibility mode, such as ``MySQL``."""
    status: str
    """Status of the tenant, such as ``ONLINE``."""
    obVersion: str
    """Version of OceanBase Database."""
    cpuNum: float
    """Number of CPUs of a unit."""
    memoryNum: float
    """Memory of a unit, in GB."""
    unitNum: int
    """Number of units."""
    usedDisk: float
    """Used disk space, in bytes."""
    backupSetRestoreSummaries: list[dict[str, object]] | None
    """What is known of its backup sets."""
    timeIntervalList: list[RestorableInterval] | None
    """The intervals in which a point in time can be restored."""


def restorable_tenants_request(
    instance_id: str,
    *,
    tenant_id: str | None = None,
    backup_set_id: str | None = None,
    restore_object_type: str | None = None,
    from_remote: bool | None = None,
    query_parameters: Mapping[str, str] | None = None,
) -> Request[list[RestorableTenant]]:
    """Return the request for the tenants of an instance that can be restored.

    :param query_parameters: further parameters of the URL's query, by the API's names
    :raises OceanBaseInputError: an argument is unusable
    """
    texts = {
        "tenantId": ("tenant_id", tenant_id),
        "backupSetId": ("backup_set_id", backup_set_id),
        "restoreObjectType": ("restore_object_type", restore_object_type),
    }
    query = {key: checked_text(name, text) for key, (name, text) in texts.items() if text is not None}
    if from_remote is not None:
        query["fromRemote"] = str(from_remote).lower()
    given: dict[str, str] = {}
    if query_parameters is not None and query_parameters != {}:
        given = checked_parameters("query_parameters", query_parameters)
    if twice := sorted({*query, "requestId"} & given.keys()):
        problem = f"; the provider sends {twice[0]} itself"
        raise unusable("query_parameters", given, problem, hint=PLAIN_HINT)
    parameters = query | given
    return Request(
        path=f"/api/v2/instances/{path_segment('instance_id', instance_id)}/backup/restore/tenants",
        query=_encoded(parameters),
        subject=f"the restorable tenants of instance {shown(str(instance_id))!r}",
        read=partial(read_restorable_tenants, tenant_id=parameters.get("tenantId")),
        shortfall=shortfall,
    )


def checked_parameters(name: str, value: object) -> dict[str, str]:
    """Return parameters of a URL's query as a dict of texts.

    :raises OceanBaseInputError: they are no dict, there are none, or a name or a value is unusable
    """
    if not isinstance(value, Mapping) or not value:
        raise unusable(name, value, "; it must be a dict of texts", hint=NATIVE_HINT)
    return {
        checked_text(f"a key of {name}", key, "name"): checked_text(f"{name}[{key!r}]", text, "value")
        for key, text in value.items()
    }


def _encoded(query: Mapping[str, str]) -> str:
    """Return the query of a URL, alike for equal parameters."""
    try:
        return urlencode(sorted(query.items()))
    except UnicodeEncodeError:
        problem = ", which is not Unicode text"
        raise unusable("a parameter of the request", dict(query), problem) from None


def read_restorable_tenants(data: object, *, tenant_id: str | None = None) -> list[RestorableTenant]:
    """Return ``data`` of the response as a list, an empty one if there are none.

    Only what decisions depend on is checked: IDs and the shape of the lists. Times may be unreadable.

    :param tenant_id: ID of the only tenant to return. Only the newer version of the page has the parameter:
        a service may ignore it
    :raises ValueError: the data are not of the documented shape
    """
    entries = entries_of(data)
    if problem := next(filter(None, map(problem_of, entries)), None):
        raise ValueError(problem)
    tenants = cast("list[RestorableTenant]", entries)
    return [tenant for tenant in tenants if tenant_id in (None, tenant["tenantId"])]


def entries_of(data: object) -> list[object]:
    """Return ``data`` of the response as a list, whatever its entries are.

    :raises ValueError: the data are no list, or nested too deep
    """
    if data is None or data == {}:
        return []
    if not isinstance(data, list):
        raise ValueError("data are no list")
    if not is_shallow(data):
        raise ValueError("data are nested too deep")
    return data


def problem_of(entry: object) -> str | None:
    """Return what keeps an entry of the list from being a tenant with intervals, None if nothing does."""
    if not isinstance(entry, dict) or not is_word(entry.get("tenantId")):
        return "there is an entry without tenantId"
    intervals = entry.get("timeIntervalList")
    if not isinstance(intervals, list | None):
        return "timeIntervalList is no list"
    if not all(isinstance(interval, dict) for interval in intervals or ()):
        return "timeIntervalList has an entry that is no object"
    return None


def shortfall(response: Mapping[str, Any]) -> str | None:
    """Return what the list of a response lacks, by what the response itself says; None if it is whole.

    The list is documented without pages. So what is not in it would not be missed.
    """
    data = response.get("data")
    listed = len(data) if isinstance(data, list) else 0
    total, has_more = counts_of(response)
    if total is not None and total > listed:
        return f"List is incomplete: it has {listed:,} of {total:,} tenants"
    return "List is incomplete: the API says that there are more tenants" if has_more else None


def intervals_of(tenant: RestorableTenant) -> list[RestorableInterval]:
    """Return the intervals of a tenant, an empty list if the API returned null."""
    return tenant.get("timeIntervalList") or []
