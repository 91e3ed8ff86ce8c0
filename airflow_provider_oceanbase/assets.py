"""Backup sets as assets, for DAGs that run on each new backup. Needs Airflow 3."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from airflow_provider_oceanbase.compat.assets import BACKUP_SETS, asset_uri
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

    from airflow_provider_oceanbase.cloud.backup_set import BackupSetSummary
    from airflow_provider_oceanbase.compat.sdk import Asset

log = logging.getLogger(__name__)


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
    added as its query. A run reads its ``triggering_asset_events`` with :func:`backup_sets_of`.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    :param poke_interval: seconds between two polls, or a timedelta; default 60. Use the same value in all
        DAG files
    :param success_statuses: statuses of a complete set; default DONE, the only one that the vendor documents
    :param require_valid: whether its ``validity`` must be VALID; default True
    :raises TypeError: ``success_statuses`` is no list of statuses
    :raises ValueError: an ID is unusable, ``success_statuses`` is empty, or ``poke_interval`` is not above
        zero
    :raises RuntimeError: this is Airflow 2
    """
    from airflow_provider_oceanbase.cloud.arguments import checked_text
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
    instance_id = checked_text("instance_id", instance_id)
    oceanbase_conn_id = checked_text("oceanbase_conn_id", oceanbase_conn_id)
    uri = _uri(instance_id, oceanbase_conn_id, statuses, require_valid=require_valid)
    trigger = BackupSetEventTrigger(
        instance_id,
        oceanbase_conn_id=oceanbase_conn_id,
        poke_interval=interval,
        success_statuses=statuses,
        require_valid=require_valid,
    )
    return Asset(name=uri, uri=uri, watchers=[AssetWatcher(name="backup_sets", trigger=trigger)])


def backup_sets_of(events: Iterable[Any] | Mapping[Any, Iterable[Any]] | None) -> list[BackupSetSummary]:
    """Return the backup sets that asset events report, each once, in the order of the events.

    An event that names no backup set does not stop the others: a person can create one ("Create Event" in the
    web UI, or the REST API), and other tasks or triggers may update the asset. It is skipped, and the log
    says so. If its extra has the form of the trigger's, it counts:
    ``{"payload": {"backup_sets": [{"backupSetId": "bak-1"}]}}``.

    :param events: the events of an asset, ``triggering_asset_events[asset]``; or ``triggering_asset_events``,
        for those of all assets; None for none
    :returns: summaries, each with all fields; one that the event left out is None (``tenantCount``: 0). Empty
        if no event names a backup set, as in a run that was triggered by hand
    """
    # Here, since DAG files import this module when parsed.
    from airflow_provider_oceanbase.cloud.backup_set import summary

    unknown = dict(summary({}))
    of_assets = events.values() if isinstance(events, Mapping) else [events or ()]
    found: dict[tuple[str, str], BackupSetSummary] = {}
    skipped = 0
    for instance_id, entry in chain.from_iterable(map(_entries, chain.from_iterable(of_assets))):
        if isinstance(entry, dict) and _is_id(entry.get("backupSetId")):
            found[instance_id, entry["backupSetId"]] = cast("BackupSetSummary", unknown | entry)
        else:
            skipped += 1
    if skipped:
        text = "Skipped asset events, or parts, that name no backup set: %d. A person may have created them."
        log.warning(text, skipped)
    return list(found.values())


def _entries(event: object) -> list[tuple[str, object]]:
    """Return what an event reports, each with the instance; None if it is not of the trigger's form."""
    match getattr(event, "extra", None):
        case {"payload": {"backup_sets": list(entries)} as payload}:
            return [(str(payload.get("instance_id")), entry) for entry in entries or [None]]
    return [("", None)]


def _is_id(value: object) -> bool:
    """Return whether a value can be the ID of a backup set: a person may have typed it."""
    from airflow_provider_oceanbase.cloud.arguments import checked_text
    from airflow_provider_oceanbase.cloud.backup_set import is_word
    from airflow_provider_oceanbase.exceptions import OceanBaseInputError

    try:
        return is_word(value) and bool(checked_text("backupSetId", value))
    except OceanBaseInputError:
        return False


def _uri(instance_id: str, conn_id: str, statuses: list[str], *, require_valid: bool) -> str:
    """Return a URI in Airflow's normal form, so that it can be the name too."""
    uri = asset_uri(conn_id, instance_id, BACKUP_SETS)
    query = []
    if not require_valid:
        query.append(("require_valid", "false"))
    if statuses != sorted(SUCCESS_STATUSES):
        query += [("success_status", status) for status in statuses]
    return f"{uri}?{urlencode(query)}" if query else uri
