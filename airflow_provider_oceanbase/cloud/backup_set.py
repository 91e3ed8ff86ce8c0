"""A backup set: its fields, the request for one, and what is kept of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypedDict, TypeGuard, cast

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.query import Request, path_segment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

#: The one value of ``validity`` that is known to be good.
VALID = "VALID"
#: The clocks of the service and of this machine may differ by so much: a time further ahead is not believed.
CLOCKS_DIFFER = timedelta(minutes=5)
_SUMMARY_VALUE_BYTES = 160
#: Statuses and IDs are far shorter; logs, errors and XComs hold them whole.
_MAX_WORD_CHARACTERS = 200
#: The documented data have three levels.
_MAX_DEPTH = 16
#: OceanBase is younger.
_FIRST_YEAR = 1970
_WITH_CHECK, _WITHOUT_CHECK = (f"checkBackupSetDownloadEnable={value}" for value in ("true", "false"))


class TenantBackupSet(TypedDict, total=False):
    """The backup set of one tenant, as the API gives it; fields unknown here pass through.

    Source: "Query the details of a backup set" of the OceanBase Cloud API reference.
    """

    backupMode: str
    """Backup mode, such as ``PHYSICAL_BACKUP``."""
    backupObjectType: str
    """``TENANT`` for an item of the list, ``CLUSTER`` for the set."""
    backupSetId: str
    """ID of the backup set."""
    checkpoint: str | None
    """Time point of the backup set: UTC, ISO 8601."""
    dataBackupMode: str
    """Data backup mode, such as ``FULL_BACKUP``."""
    dataBackupSize: float
    """Size of the data backup, in GB."""
    dataVersion: int
    """Data version number."""
    downloadEnabled: bool
    """Whether the backup set can be downloaded; the API checks it only on request."""
    downloadTaskId: int
    """ID of the download task, -1 if there is none."""
    endTime: str | None
    """End of the backup: UTC, ISO 8601."""
    startTime: str | None
    """Start of the backup: UTC, ISO 8601."""
    status: str
    """Status, such as ``DONE``."""
    tenantId: str
    """ID of the tenant; ``sys`` on the set itself."""
    tenantName: str
    """Name of the tenant; ``*`` on the set itself."""
    triggerMode: str
    """Trigger mode, such as ``BACKUP_NOW``."""
    validity: str
    """Validity, such as ``VALID``."""


class BackupSet(TenantBackupSet, total=False):
    """A backup set of an instance: the same fields, about the whole, and the tenants' backup sets."""

    tenantBackupSetList: list[TenantBackupSet] | None
    """The backup sets of the tenants."""


class BackupSetSummary(TypedDict):
    """What tasks push to XCom: the documented scalars of a set and the number of its tenants."""

    backupMode: str | None
    backupObjectType: str | None
    backupSetId: str | None
    checkpoint: str | None
    dataBackupMode: str | None
    dataBackupSize: float | None
    dataVersion: int | None
    downloadEnabled: bool | None
    downloadTaskId: int | None
    endTime: str | None
    startTime: str | None
    status: str | None
    tenantId: str | None
    tenantName: str | None
    triggerMode: str | None
    validity: str | None
    tenantCount: int


def backup_set_request(
    instance_id: str, backup_task_id: str, *, check_backup_set_download_enable: bool = False
) -> Request[BackupSet | None]:
    """Return the request for one backup set; the answer is None for a backup that is not registered yet.

    Source: "Query the details of a backup set" of the OceanBase Cloud API reference.

    :raises OceanBaseInputError: an ID cannot be one segment of a URL's path
    """
    instance = path_segment("instance_id", instance_id)
    backup_task = path_segment("backup_task_id", backup_task_id)
    return Request(
        path=f"/api/v2/instances/{instance}/backup/data/sets/{backup_task}",
        query=_WITH_CHECK if check_backup_set_download_enable else _WITHOUT_CHECK,
        subject=f"backup task {shown(str(backup_task_id))!r} of instance {shown(str(instance_id))!r}",
        read=read_backup_set,
    )


def read_backup_set(data: object) -> BackupSet | None:
    """Return ``data`` of the response as a backup set, None if it is empty ("not registered yet").

    Only what decisions depend on is checked: status, validity and the shape of the list. All other fields
    pass through.

    :raises ValueError: the data are not of the documented shape
    """
    if data is None or data == {}:
        return None
    if problem := _problem(data):
        raise ValueError(problem)
    return cast("BackupSet", data)


def is_word(value: object) -> TypeGuard[str]:
    """Return whether a value is text that can be a status or an ID: not empty, and not longer than any."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_WORD_CHARACTERS


def problem_of_word(data: Mapping[str, object], field: str) -> str | None:
    """Return what is wrong with a field that must be a word, None if it is one."""
    value = data.get(field)
    if is_word(value):
        return None
    if isinstance(value, str) and value:
        return f"{field} is too long"
    return f"data have no {field}" if value in (None, "") else f"{field} is no text"


def _problem(data: object) -> str | None:
    if not isinstance(data, dict):
        return "data are no object"
    if problem := problem_of_word(data, "status"):
        return problem
    if data.get("validity") is not None and not isinstance(data["validity"], str):
        return "validity is no text"
    if len(data.get("validity") or "") > _MAX_WORD_CHARACTERS:
        return "validity is too long"
    if not is_shallow(data):
        return f"data are nested deeper than {_MAX_DEPTH} levels"
    tenants = data.get("tenantBackupSetList")
    if not isinstance(tenants, list | None):
        return "tenantBackupSetList is no list"
    if not all(isinstance(tenant, dict) for tenant in tenants or ()):
        return "tenantBackupSetList has an entry that is no object"
    return None


def is_shallow(value: object, levels: int = _MAX_DEPTH) -> bool:
    """Return whether data are nested no deeper than so many levels: far more than is documented."""
    if not isinstance(value, (dict, list)):
        return True
    if not levels:
        return False
    # A loop: a response may have a hundred thousand values, and most are no lists.
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)) and not is_shallow(item, levels - 1):
            return False
    return True


def tenants_of(backup_set: BackupSet) -> list[TenantBackupSet]:
    """Return the tenants' backup sets, an empty list if the API returned null."""
    return backup_set.get("tenantBackupSetList") or []


def summary(backup_set: BackupSet) -> BackupSetSummary:
    """Return the set without its tenants: less than 4 KiB of JSON, whatever the size of the set."""
    scalars = {name: _bounded(backup_set.get(name)) for name in TenantBackupSet.__annotations__}
    return cast("BackupSetSummary", scalars | {"tenantCount": len(tenants_of(backup_set))})


def _bounded(value: object) -> object:
    if isinstance(value, str):
        # As in a log: some databases refuse a NUL or half a surrogate pair, and the trigger event with it.
        value = shown(value)
    elif not isinstance(value, int | float | None):
        return None
    if len(json.dumps(value)) <= _SUMMARY_VALUE_BYTES:
        return value
    # JSON spends up to 12 bytes on a character.
    return value[: _SUMMARY_VALUE_BYTES // 12] if isinstance(value, str) else None


def kind_of(backup_set: TenantBackupSet) -> str:
    """Return the object of a backup in capitals, an empty text if it is not known."""
    kind = backup_set.get("backupObjectType")
    return kind.strip().upper() if isinstance(kind, str) else ""


def names_of(tenant: TenantBackupSet) -> set[str]:
    """Return the name and the ID of a tenant."""
    return {name for name in (tenant.get("tenantName"), tenant.get("tenantId")) if isinstance(name, str)}


def time_of(
    backup_set: TenantBackupSet, name: Literal["checkpoint", "startTime", "endTime"]
) -> datetime | None:
    """Return a time of a set, which is UTC; None if it is missing or unreadable."""
    return parsed_time(backup_set.get(name))


def time_or_never(
    backup_set: TenantBackupSet, name: Literal["checkpoint", "startTime", "endTime"]
) -> datetime:
    """Return a time of a set; one before all others if it is missing or unreadable."""
    return time_of(backup_set, name) or datetime.min.replace(tzinfo=UTC)


def parsed_time(text: object, zone: tzinfo | None = UTC) -> datetime | None:
    """Return a time that is written in ISO 8601, None if it is not.

    Letters may be quoted, as a sister API of the vendor writes them: ``2024-01-01'T'12:10:10.000'Z'``.

    :param zone: time zone of a time that names none
    """
    try:
        time = datetime.fromisoformat(text.replace("'", "")) if isinstance(text, str) else None
    except ValueError:
        return None
    # No backup is older. The digits of a Unix time in milliseconds can also be read as a date before.
    if time is None or time.year < _FIRST_YEAR:
        return None
    return time if time.tzinfo else time.replace(tzinfo=zone)
