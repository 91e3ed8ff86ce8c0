"""What a backup set is, how to ask for one, and what of it is worth keeping: plain code without I/O."""

from __future__ import annotations

import json
from typing import TypedDict, cast

from airflow_provider_oceanbase.api import Request, path_segment
from airflow_provider_oceanbase.exceptions import shown

_SUMMARY_VALUE_BYTES = 160
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
    """Whether the backup set can be downloaded; checked only where it was asked for."""
    downloadTaskId: int
    """ID of the download task, -1 where there is none."""
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
    """A backup set: the fields of a tenant's, about the whole, and the tenants' sets."""

    tenantBackupSetList: list[TenantBackupSet] | None
    """The backup sets of the tenants."""


class BackupSetSummary(TypedDict):
    """What sensor and operator push to XCom of a set: its documented scalars and how many tenants it has."""

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
    """Return the request for one backup set; None is the answer to a backup that is not registered yet.

    Source: "Query the details of a backup set" of the OceanBase Cloud API reference.

    :raises OceanBaseInputError: an ID cannot be one segment of a URL's path
    """
    instance = path_segment("instance_id", instance_id)
    backup_task = path_segment("backup_task_id", backup_task_id)
    return Request(
        path=f"/api/v2/instances/{instance}/backup/data/sets/{backup_task}",
        query=_WITH_CHECK if check_backup_set_download_enable else _WITHOUT_CHECK,
        subject=f"backup task {shown(backup_task_id)!r} of instance {shown(instance_id)!r}",
        read=read_backup_set,
    )


def read_backup_set(data: object) -> BackupSet | None:
    """Return ``data`` of an answer as a backup set, None where there are none ("not registered yet").

    Only what decisions rest on is checked: status, validity and the shape of the list. All else is the
    API's business and passes through.

    :raises ValueError: the data are not of the documented shape
    """
    if data is None or data == {}:
        return None
    if problem := _problem(data):
        raise ValueError(problem)
    return cast("BackupSet", data)


def _problem(data: object) -> str | None:
    if not isinstance(data, dict):
        return "data are no object"
    if not isinstance(data.get("status"), str) or not data["status"]:
        return "data have no status"
    if not isinstance(data.get("validity"), str | None):
        return "validity is no text"
    tenants = data.get("tenantBackupSetList")
    if not isinstance(tenants, list | None):
        return "tenantBackupSetList is no list"
    if not all(isinstance(tenant, dict) for tenant in tenants or ()):
        return "tenantBackupSetList has an entry that is no object"
    return None


def tenants_of(backup_set: BackupSet) -> list[TenantBackupSet]:
    """Return the tenants' backup sets, an empty list where the API gave null."""
    return backup_set.get("tenantBackupSetList") or []


def summary(backup_set: BackupSet) -> BackupSetSummary:
    """Return the set without its tenants: JSON of under 4 KiB, whatever the set's size."""
    scalars = {name: _bounded(backup_set.get(name)) for name in TenantBackupSet.__annotations__}
    return cast("BackupSetSummary", scalars | {"tenantCount": len(tenants_of(backup_set))})


def _bounded(value: object) -> object:
    if isinstance(value, str):
        # As in a log: some databases refuse a NUL or half a character, and the event of a trigger with it.
        value = shown(value)
    elif not isinstance(value, int | float | None):
        return None
    if len(json.dumps(value)) <= _SUMMARY_VALUE_BYTES:
        return value
    # JSON spends up to 12 bytes on a character.
    return value[: _SUMMARY_VALUE_BYTES // 12] if isinstance(value, str) else None
