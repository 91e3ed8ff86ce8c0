"""Starting a backup: a request that is validated before it is sent, its answer, and its failure.

Source: "Start a backup" of the OceanBase Cloud API reference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.arguments import (
    NATIVE_HINT,
    PLAIN_HINT,
    TEMPLATE_HINT,
    checked_text,
    is_list,
    plain,
    unusable,
)
from airflow_provider_oceanbase.cloud.backup_set import is_word
from airflow_provider_oceanbase.cloud.query import Request, path_segment
from airflow_provider_oceanbase.exceptions import BackupStartUnknownError, OceanBaseInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

#: The backup of a tenant is physical, the others are logical.
BACKUP_OBJECT_TYPES = ("tenant", "database", "table")
BACKUP_POLICIES = ("manual",)
#: The most tables that a backup of tables may name.
MAX_TABLES = 200


def start_backup_request(
    instance_id: str,
    *,
    backup_object_type: str,
    tenant_id: str | None = None,
    database_tables: Iterable[Mapping[str, Any]] | None = None,
    backup_policy: str = "manual",
    need_pre_check: bool = True,
) -> Request[str]:
    """Return the request that starts a backup; its answer is the ID of the backup task.

    :raises OceanBaseInputError: an argument is not as documented; the message names it
    """
    instance = path_segment("instance_id", instance_id)
    _check_choice("backup_object_type", backup_object_type, BACKUP_OBJECT_TYPES)
    _check_choice("backup_policy", backup_policy, BACKUP_POLICIES)
    if not isinstance(need_pre_check, bool):
        raise _bad("need_pre_check", need_pre_check, "must be True or False")
    tables = _checked_database_tables(backup_object_type, database_tables)
    body = {
        "backupObjectType": backup_object_type,
        "backupPolicy": backup_policy,
        "needPreCheck": need_pre_check,
        "tenantId": None if tenant_id is None else checked_text("tenant_id", tenant_id),
        "databaseTables": tables,
    }
    return Request(
        method="POST",
        path=f"/api/v2/instances/{instance}/backup/data/start",
        query="",
        body={name: value for name, value in body.items() if value is not None},
        subject=f"the start of a {backup_object_type} backup of instance {shown(str(instance_id))!r}",
        read=read_backup_task_id,
    )


def read_backup_task_id(data: object) -> str:
    """Return the ID in ``data`` of the response.

    :raises ValueError: there is none
    """
    backup_task_id = data.get("backupTaskId") if isinstance(data, dict) else None
    if isinstance(backup_task_id, int) and not isinstance(backup_task_id, bool):
        # A backup has been started: whoever looks for it needs the number.
        raise ValueError(f"backupTaskId is the number {shown(str(backup_task_id))}, no text")
    # A replacement character is what was left of another.
    if not is_word(backup_task_id) or not backup_task_id.isprintable() or "\ufffd" in backup_task_id:
        raise ValueError("data have no backupTaskId")
    if not backup_task_id.strip():
        raise ValueError("data have a blank backupTaskId")
    return backup_task_id


def start_unknown(error: OceanBaseCloudError, instance_id: str) -> BackupStartUnknownError:
    """Return the error that says of a failed request that it may have started a backup."""
    return BackupStartUnknownError(
        error.what,
        instance_id=instance_id,
        conn_id=error.conn_id,
        http_status=error.status_code,
        error_code=error.error_code,
        error_message=error.error_message,
        request_id=error.request_id,
    )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise _bad(name, value, f"must be {' or '.join(choices)}", hint=TEMPLATE_HINT)


def _checked_database_tables(
    backup_object_type: str, database_tables: Iterable[Mapping[str, Any]] | None
) -> list[dict[str, Any]] | None:
    """Check what is documented. How an entry names its database is not."""
    name = "database_tables"
    if database_tables is None:
        if backup_object_type == "table":
            raise _bad(name, None, "must say which tables to back up")
        return None
    if backup_object_type == "tenant":
        raise _bad(name, database_tables, "is for backups of databases and tables only")
    entries = checked_databases(name, database_tables)
    if backup_object_type == "table":
        tables = entries[0].get("tables")
        if len(entries) > 1:
            raise _bad(name, entries, "must have one entry: tables of one database")
        if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_TABLES:
            raise _bad(name, entries, f"must list from 1 to {MAX_TABLES} tables, under 'tables'")
    return entries


def checked_databases(name: str, databases: object) -> list[dict[str, Any]]:
    """Return databases, and what they list, as plain JSON, whatever collections they are in.

    :raises OceanBaseInputError: there are none, or they are no such list
    """
    try:
        entries = plain(name, databases) if is_list(databases) else None
        json.dumps(entries, allow_nan=False)
    except OceanBaseInputError:
        raise
    except (TypeError, ValueError, RecursionError):
        raise _bad(name, databases, "must be plain JSON") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise _bad(name, databases, "must be a list of dicts, one a database", hint=NATIVE_HINT)
    return entries


def _bad(name: str, value: object, problem: str, *, hint: str = PLAIN_HINT) -> OceanBaseInputError:
    return unusable(name, value, f"; it {problem}", hint=hint)
