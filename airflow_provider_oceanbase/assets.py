"""Backup sets as assets, for DAGs that run on each new backup. Needs Airflow 3."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_provider_oceanbase.triggers import BackupSetEventTrigger
from airflow_provider_oceanbase.waiting.arguments import (
    POKE_INTERVAL,
    SUCCESS_STATUSES,
    checked_statuses,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from airflow_provider_oceanbase.compat.sdk import Asset


def backup_set_asset(
    instance_id: str,
    *,
    oceanbase_conn_id: str = "oceanbase_default",
    poke_interval: float | timedelta = POKE_INTERVAL,
    success_statuses: Collection[str] = SUCCESS_STATUSES,
    require_valid: bool = True,
) -> Asset:
    """Return the asset of an instance's backup sets: a DAG with it as schedule runs whenever one completes.

    Equal arguments give the same asset, in any DAG file. Its URI is
    ``oceanbase-cloud://CONNECTION/INSTANCE/backup-sets``; other statuses and ``require_valid=False`` are
    added as its query. :class:`~airflow_provider_oceanbase.triggers.BackupSetEventTrigger` describes what a
    run finds in ``triggering_asset_events``.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    :param poke_interval: seconds between two polls, or a timedelta; default 60. Use the same value in all
        DAG files
    :param success_statuses: statuses of a complete set; default DONE, the only one that the vendor documents
    :param require_valid: whether its ``validity`` must be VALID; default True
    :raises TypeError: ``success_statuses`` is no list of statuses
    :raises ValueError: an ID or ``success_statuses`` is empty, or ``poke_interval`` is not above zero
    :raises RuntimeError: this is Airflow 2
    """
    from airflow_provider_oceanbase.compat.sdk import Asset, AssetWatcher

    if AssetWatcher is None:
        raise RuntimeError(
            "backup_set_asset needs Airflow 3, which can watch assets. On Airflow 2 schedule the DAG by "
            "time, and let a BackupCheckpointSensor wait for the backup."
        )
    interval = seconds("poke_interval", poke_interval, above_zero=True)
    statuses = sorted(checked_statuses("success_statuses", success_statuses))
    if not statuses:
        raise ValueError("success_statuses is empty: no backup set would ever count")
    uri = _uri(instance_id, oceanbase_conn_id, statuses, require_valid=require_valid)
    trigger = BackupSetEventTrigger(
        instance_id,
        oceanbase_conn_id=oceanbase_conn_id,
        poke_interval=interval,
        success_statuses=statuses,
        require_valid=require_valid,
    )
    return Asset(name=uri, uri=uri, watchers=[AssetWatcher(name="backup_sets", trigger=trigger)])


def _uri(instance_id: str, conn_id: str, statuses: list[str], *, require_valid: bool) -> str:
    """Return a URI in Airflow's normal form, so that it can be the name too."""
    for name, value in (("instance_id", instance_id), ("oceanbase_conn_id", conn_id)):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{name} is {value!r}, which is no ID")
    uri = f"oceanbase-cloud://{quote(conn_id, safe='')}/{quote(instance_id, safe='')}/backup-sets"
    query = []
    if not require_valid:
        query.append(("require_valid", "false"))
    if statuses != sorted(SUCCESS_STATUSES):
        query += [("success_status", status) for status in statuses]
    return f"{uri}?{urlencode(query)}" if query else uri
