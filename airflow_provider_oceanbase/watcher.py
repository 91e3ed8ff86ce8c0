"""What a watcher has told of, kept in the state of its asset."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.cursor import Criteria, Cursor
from airflow_provider_oceanbase.exceptions import shown

if TYPE_CHECKING:
    import logging

    from airflow_provider_oceanbase._compat import Logger as AirflowLogger
    from airflow_provider_oceanbase.backup_set import BackupSet
    from airflow_provider_oceanbase.polls import Poll


class Watcher:
    """Finds in each poll what is new, and keeps account of it.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of the connection
    :param criteria: which sets are worth an event
    :param store: Airflow's ``asset_state_store``, None where there is none
    :param log: where it is told what goes on
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

    async def take(self, poll: Poll) -> list[BackupSet]:
        """Return the sets of a poll that need an event; they count as told from now on."""
        if self._cursor is not None:
            return self._told(self._cursor, poll)
        try:
            known = await self._load()
        except Exception as error:
            # To begin without it would be to take for known what has got done meanwhile.
            self._tell("cannot be read; the next poll tries again", error)
            return []
        new = self._told(known or Cursor.start(datetime.now(UTC)), poll)
        if self._cursor is None:
            return []
        if known is None:
            self._log.info("The watch of instance %r begins; done before: %d.", self._instance_id, len(new))
            return []
        self._log.info("The watch of instance %r goes on.", self._instance_id)
        self._saved = known
        return new

    async def save(self) -> None:
        """Save how far it has come; all events for that must be in the database."""
        if self._store is None or self._cursor is None or self._cursor == self._saved:
            return
        try:
            await self._store.aset(self._key, self._cursor.to_json())
        except Exception as error:
            self._tell("cannot be saved; the next poll tries again", error)
        else:
            self._saved = self._cursor

    def _told(self, cursor: Cursor, poll: Poll) -> list[BackupSet]:
        if not poll.reaches(cursor.since):
            return []
        new = cursor.new(self._criteria.select(poll.backup_sets))
        self._cursor = cursor.after(new, poll.backup_sets, datetime.now(UTC))
        return new

    async def _load(self) -> Cursor | None:
        if self._store is None:
            return None
        try:
            stored = await self._store.aget(self._key)
        except ValueError as error:
            # Airflow runs one trigger for assets whose triggers have equal arguments; it keeps no state then.
            self._store = None
            self._tell("is kept in memory alone: several assets have equal triggers; let them be one", error)
            return None
        try:
            return None if stored is None else Cursor.from_json(stored)
        except ValueError as error:
            self._tell("cannot be understood; the watch begins anew", error)
            return None

    def _tell(self, what: str, error: Exception) -> None:
        # Under the key it is found in Airflow's list of the asset's state.
        self._log.error("What has been told, %r, %s. (%s)", self._key, what, shown(str(error)))
