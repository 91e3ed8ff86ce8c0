"""What the commands show of instances and backup sets: plain code without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._inferred import FAILURE_STATUSES
from airflow_provider_oceanbase.cloud.backup_set import VALID, summary, tenants_of, time_of
from airflow_provider_oceanbase.waiting.progress import span

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, TenantBackupSet
    from airflow_provider_oceanbase.cloud.instances import Instance


def instance_row(instance: Instance) -> dict[str, object]:
    """Return what a table shows of an instance."""
    return {
        "id": instance["instanceId"],
        "name": instance.get("instanceName"),
        "status": instance.get("status"),
        "version": instance.get("version"),
        "class": instance.get("instanceClass"),
        "cloud": instance.get("cloudProvider"),
        "created": instance.get("createTime"),
    }


def backup_record(backup_set: BackupSet, now: datetime) -> dict[str, Any]:
    """Return what JSON and YAML hold of a set in a list: its summary, and times as seconds."""
    return {
        **summary(backup_set),
        "durationSeconds": _seconds(time_of(backup_set, "startTime"), time_of(backup_set, "endTime")),
        "checkpointAgeSeconds": _seconds(time_of(backup_set, "checkpoint"), now),
    }


def backup_row(backup_set: BackupSet, now: datetime) -> dict[str, object]:
    """Return what a table shows of a set in a list."""
    row = {**_row(backup_set, now), "tenants": len(tenants_of(backup_set))}
    return row | {"problem": problem(backup_set)}


def tenant_row(tenant: TenantBackupSet, now: datetime) -> dict[str, object]:
    """Return what a table shows of a tenant's backup set."""
    row = {"tenant": tenant.get("tenantName"), "tenant id": tenant.get("tenantId"), **_row(tenant, now)}
    return row | {"problem": problem(tenant)}


def problem(backup_set: TenantBackupSet) -> str | None:
    """Return what is bad about a set, or a tenant's part of one: it has failed, or is not valid."""
    if backup_set.get("status") in FAILURE_STATUSES:
        return "failed"
    return "not valid" if backup_set.get("validity") not in (None, VALID) else None


def _row(backup_set: TenantBackupSet, now: datetime) -> dict[str, object]:
    started, ended = time_of(backup_set, "startTime"), time_of(backup_set, "endTime")
    took = _seconds(started, ended)
    age = _seconds(time_of(backup_set, "checkpoint"), now)
    return {
        "id": backup_set.get("backupSetId"),
        "status": backup_set.get("status"),
        "validity": backup_set.get("validity"),
        "object": backup_set.get("backupObjectType"),
        "mode": _mode(backup_set),
        "started": backup_set.get("startTime"),
        "duration": None if took is None else span(took),
        "checkpoint": backup_set.get("checkpoint"),
        "age": None if age is None else span(age),
        "GB": backup_set.get("dataBackupSize"),
    }


def _mode(backup_set: Mapping[str, Any]) -> str:
    """Return both modes in short, such as ``PHYSICAL FULL``."""
    modes = (backup_set.get("backupMode"), backup_set.get("dataBackupMode"))
    return " ".join(str(mode).removesuffix("_BACKUP") for mode in modes if mode)


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else round((end - begin).total_seconds(), 3)
