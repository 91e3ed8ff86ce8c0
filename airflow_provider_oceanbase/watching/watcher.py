"""What a watcher has reported, kept in the state of its asset."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.exceptions import shown
from airflow_provider_oceanbase.watching.cursor import Criteria, Cursor

if TYPE_CHECKING:
    import logging

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.watching.listings import Listing


class Watcher:
    """Finds the new sets in each listing, and remembers which it has reported.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of the connection
    :param criteria: which sets are worth an event
    :param store: Airflow's ``asset_state_store``, None if there is none
    :param log: where to log
    """

    def __init__(
        self,
        *,
        instance_id: str,
        oceanbase_conn_id: str,
        criteria: Criteria,
        store: Any,
        log: logging.Logger | AirflowLogger,
    ) -> None:
        self._instance_id = instance_id
        # An asset may watch more than one instance.
        self._key = f"oceanbase_backup_sets/{oceanbase_conn_id}/{instance_id}"
        self._criteria = criteria
        self._store = store
        self._log = log
        self._cursor: Cursor | None = None
        self._saved: Cursor | None = None

    async def take(self, listing: Listing) -> list[BackupSet]:
        """Return the sets of a listing that need an event; they count as reported from now on."""
        if self._cursor is not None:
            return self._new(self._cursor, listing)
        try:
            known = await self._load()
        except Exception as error:
            # Beginning without it would count sets as reported that completed meanwhile.
            self._log_state("cannot be read; the next poll tries again", error)
            return []
        new = self._new(known or Cursor.start(datetime.now(UTC)), listing)
        if self._cursor is None:
            return []
        if known is None:
            text = "Started watching instance %r; backup sets already complete: %d."
            self._log.info(text, self._instance_id, len(new))
            return []
        self._log.info("Resumed watching instance %r.", self._instance_id)
        self._saved = known
        return new

    async def save(self) -> None:
        """Save the cursor; all its events must be in the database."""
        if self._store is None or self._cursor is None or self._cursor == self._saved:
            return
        try:
            await self._store.aset(self._key, self._cursor.to_json())
        except Exception as error:
            self._log_state("cannot be saved; the next poll tries again", error)
        else:
            self._saved = self._cursor

    def _new(self, cursor: Cursor, listing: Listing) -> list[BackupSet]:
        if not listing.reaches(cursor.since):
            return []
        new = cursor.new(self._criteria.select(listing.backup_sets))
        self._cursor = cursor.after(new, listing.backup_sets, datetime.now(UTC))
        return new

    async def _load(self) -> Cursor | None:
        if self._store is None:
            return None
        try:
            stored = await self._store.aget(self._key)
        except ValueError as error:
            # Airflow runs one trigger for all assets whose triggers are equal, and keeps no state for it.
            self._store = None
            self._log_state(
                "is kept in memory alone: several assets have equal triggers; let them be one", error
            )
            return None
        try:
            return None if stored is None else Cursor.from_json(stored)
        except ValueError as error:
            self._log_state("cannot be understood; the watch starts over", error)
            return None

    def _log_state(self, what: str, error: Exception) -> None:
        # Airflow lists the asset's state under the key.
        text = "The record of reported backup sets, %r, %s. (%s)"
        self._log.error(text, self._key, what, shown(str(error)))
