"""Backup sets as assets, for DAGs that run whenever there is a new one. Needs Airflow 3."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_provider_oceanbase.event_triggers import POKE_INTERVAL, BackupSetEventTrigger
from airflow_provider_oceanbase.statuses import SUCCESS_STATUSES, checked_statuses

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_oceanbase._compat import Asset


def backup_set_asset(
    instance_id: str,
    *,
    oceanbase_conn_id: str = "oceanbase_default",
    poke_interval: float | timedelta = POKE_INTERVAL,
    success_statuses: Collection[str] = SUCCESS_STATUSES,
    require_valid: bool = True,
) -> Asset:
    """Return the asset of an instance's backup sets: a DAG with it as schedule runs whenever one gets done.

    The same arguments give the same asset, whichever DAG file asks for it. Its URI is
    ``oceanbase-cloud://CONNECTION/INSTANCE/backup-sets``; other statuses and ``require_valid=False`` make its
    query. What a run finds in ``triggering_asset_events`` is described at
    :class:`~airflow_provider_oceanbase.event_triggers.BackupSetEventTrigger`.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param poke_interval: seconds between two polls, or a timedelta; give it alike in all DAG files
    :param success_statuses: statuses of a set that is done; only DONE is documented by the vendor
    :param require_valid: whether its ``validity`` has to be VALID
    :raises TypeError: ``success_statuses`` is no list of statuses
    :raises ValueError: an ID or ``success_statuses`` is empty, or ``poke_interval`` is not above zero
    :raises RuntimeError: this is Airflow 2
    """
    from airflow_provider_oceanbase._compat import Asset, AssetWatcher

    if AssetWatcher is None:
        raise RuntimeError(
            "backup_set_asset needs Airflow 3, whose assets can be watched. On Airflow 2 schedule the DAG by "
            "time, and let a BackupCheckpointSensor wait for the backup."
        )
    seconds = poke_interval.total_seconds() if isinstance(poke_interval, timedelta) else float(poke_interval)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"poke_interval is {poke_interval!r}; it must be above zero")
    statuses = sorted(checked_statuses("success_statuses", success_statuses))
    if not statuses:
        raise ValueError("success_statuses is empty: no backup set would ever count")
    uri = _uri(instance_id, oceanbase_conn_id, statuses, require_valid=require_valid)
    trigger = BackupSetEventTrigger(
        instance_id,
        oceanbase_conn_id=oceanbase_conn_id,
        poke_interval=seconds,
        success_statuses=statuses,
        require_valid=require_valid,
    )
    return Asset(name=uri, uri=uri, watchers=[AssetWatcher(name="backup_sets", trigger=trigger)])


def _uri(instance_id: str, conn_id: str, statuses: list[str], *, require_valid: bool) -> str:
    """Return a URI in the form that Airflow itself would give it, so that it can be the name too."""
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
