"""What a watcher has reported, kept in the state of its asset."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._texts import frames, shown
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK
from airflow_provider_oceanbase.compat.sdk import is_shared_state, watched_assets
from airflow_provider_oceanbase.waiting.metrics import record_failing
from airflow_provider_oceanbase.waiting.progress import LogSchedule, span
from airflow_provider_oceanbase.watching.cursor import MAX_PENDING, Criteria, Cursor, is_dated
from airflow_provider_oceanbase.watching.names import Watch

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.watching.listings import Listing

#: Airflow waits for a trigger that waits for its store, and never starts it anew.
_STORE_SECONDS = 30.0
#: So many kinds of sets without an event at most have a line of the log: a status may hold a percentage.
_LOGGED_KINDS = 20
#: So many IDs at most in a line of the log.
_LOGGED_IDS = 5


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
        self._watch = Watch(instance_id, oceanbase_conn_id)
        # An asset may watch more than one instance.
        self._key = f"oceanbase_backup_sets/{oceanbase_conn_id}/{instance_id}"
        self._criteria = criteria
        self._store = store
        self._log = log
        self._cursor: Cursor | None = None
        #: The cursor of a new watch, while nobody knows whether it is new.
        self._first: Cursor | None = None
        #: Cursors to save, each with the number of the listing after which it holds.
        self._unsaved: deque[tuple[int, Cursor]] = deque()
        #: Since when the store fails, by the clock that is never set, and when to log that again.
        self._failing: tuple[float, LogSchedule] | None = None
        self._undated_logged = self._nothing_logged = False
        #: The kinds of sets without an event that have been logged.
        self._doubted: set[str] = set()

    def named(self) -> AbstractContextManager[None]:
        """Let the log name the assets that this watches, as long as it does: around it."""
        return self._watch.serving(watched_assets(self._store))

    async def take(self, listing: Listing) -> list[BackupSet]:
        """Return the sets of a listing that need an event; they count as reported from now on."""
        self._log_nothing(listing)
        known = self._cursor = self._cursor or await self._begin(listing)
        if known is None:
            return []
        now = datetime.now(UTC)
        cursor = known.at(now)
        if not listing.reaches(cursor.earliest):
            return []
        dated = [one for one in listing.backup_sets if is_dated(one, now)]
        new = cursor.new(self._criteria.select(dated))
        after = cursor.after(new, dated, now)
        if after != cursor:
            # Otherwise it stays as it was, by whatever clock.
            self._cursor = after
            if self._store is not None:
                self._unsaved.append((listing.number, after))
        lost = [one for one in dated if cursor.gives_up(one, after) and not one.get("endTime")]
        self._log_lost([one for one in lost if one not in new])
        undated = [one for one in listing.backup_sets if not is_dated(one, now)]
        self._log_undated(self._criteria.select(undated))
        self._log_doubts(one for one in listing.backup_sets if not is_dated(one, now) or cursor.expects(one))
        return new

    async def save(self, number: int) -> None:
        """Save the cursor as it was after a listing; the events up to that one must be in the database."""
        cursor = None
        while self._unsaved and self._unsaved[0][0] <= number:
            _, cursor = self._unsaved.popleft()
        if cursor is None:
            return
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._store.aset(self._key, cursor.to_json())
        except Exception as error:
            self._unsaved.appendleft((number, cursor))
            self._log_failure("saved", error)
        else:
            self._log_recovery("saved")

    async def _begin(self, listing: Listing) -> Cursor | None:
        """Return the cursor from which to go on, None if it cannot be read now."""
        try:
            known = await self._load()
        except Exception as error:
            # Beginning without it would count sets as reported that completed meanwhile. If it turns out that
            # there is none, those that complete from now on are new all the same.
            self._first = self._first or self._start(listing)
            self._log_failure("read", error)
            return None
        self._log_recovery("read")
        if known is not None:
            self._log.info("Resumed the %s.", self._watch.name)
            return known
        first = self._first or self._start(listing)
        old = [one for one in self._criteria.select(listing.backup_sets) if not first.expects(one)]
        text = "Started the %s; backup sets already complete: %d."
        self._log.info(text, self._watch.name, len(old))
        if self._store is not None:
            # At once, since it waits for no event: after a kill, what completes meanwhile must be new.
            self._unsaved.append((0, first))
            await self.save(0)
        return first

    def _start(self, listing: Listing) -> Cursor:
        now = datetime.now(UTC)
        dated = [one for one in listing.backup_sets if is_dated(one, now)]
        return Cursor.start(now).after(self._criteria.select(dated), dated, now)

    async def _load(self) -> Cursor | None:
        if self._store is not None and is_shared_state(self._store):
            # Airflow runs one trigger for all assets whose triggers are equal, and keeps no state for it.
            self._store = None
            self._log_state("is kept in memory alone: several assets have equal triggers; let them be one")
        if self._store is None:
            return None
        async with asyncio.timeout(_STORE_SECONDS):
            stored = await self._store.aget(self._key)
        try:
            return None if stored is None else Cursor.from_json(stored)
        except ValueError as error:
            what = "cannot be understood; the watch starts over, and what completed meanwhile is not reported"
            self._log_state(f"{what} ({shown(str(error))})")
            return None

    def _log_nothing(self, listing: Listing) -> None:
        if not listing.backup_sets and not self._nothing_logged:
            self._nothing_logged = True
            text = (
                "No backup sets in the list since %s; %s. OceanBase Cloud may answer so for a wrong ID: "
                "check the instance ID, and Host and Project ID of the connection."
            )
            self._log.warning(text, listing.since.date(), self._watch.name)

    def _log_lost(self, backup_sets: Collection[BackupSet]) -> None:
        if backup_sets:
            text = (
                "Backup sets that no event will report: %d (%s); %s. They have been running for more than %d "
                "days, or too many run at once (more than %d)."
            )
            count, ids = len(backup_sets), some_ids(backup_sets)
            self._log.error(text, count, ids, self._watch.name, LOOKBACK.days, MAX_PENDING)

    def _log_doubts(self, backup_sets: Iterable[BackupSet]) -> None:
        # They are listed at each poll.
        for doubt in filter(None, map(self._criteria.doubt, backup_sets)):
            if doubt.kind not in self._doubted and len(self._doubted) < _LOGGED_KINDS:
                self._doubted.add(doubt.kind)
                text = "No event reports backup set %r as it is: %s; %s. %s"
                name = shown(doubt.backup_set["backupSetId"])
                self._log.warning(text, name, doubt.what, self._watch.name, doubt.remedy)

    def _log_undated(self, backup_sets: Sequence[BackupSet]) -> None:
        # They are listed at each poll.
        if backup_sets and not self._undated_logged:
            self._undated_logged = True
            text = (
                "Backup sets that no event reports: %d (%s); %s. Their startTime is missing, unreadable or "
                "in the future; that of the last one: %s."
            )
            last = shown(repr(backup_sets[-1].get("startTime")))
            self._log.error(text, len(backup_sets), some_ids(backup_sets), self._watch.name, last)

    def _log_failure(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        since, lines = self._failing or (now, LogSchedule(0.0))
        self._failing = since, lines
        record_failing(self._watch.instance_id, self._watch.oceanbase_conn_id, now - since)
        if lines.is_due(now - since):
            lasts = f" for {span(now - since)}" if now > since else ""
            # Not the error's own text: that of a store may hold its password.
            self._log_state(f"cannot be {what}{lasts}; each poll tries again ({type(error).__name__})")
            self._log.debug("%s", frames(error))

    def _log_recovery(self, what: str) -> None:
        if self._failing is not None:
            since, self._failing = self._failing[0], None
            text = "The record of reported backup sets is %s again after %s; %s."
            self._log.info(text, what, span(time.monotonic() - since), self._watch.name)

    def _log_state(self, what: str) -> None:
        # Airflow lists the asset's state under the key.
        text = "The record of reported backup sets %s; %s, key %r."
        self._log.error(text, what, self._watch.name, self._key)


def some_ids(backup_sets: Collection[BackupSet]) -> str:
    """Return the first IDs, for a log."""
    ids = [shown(one["backupSetId"]) for one in islice(backup_sets, _LOGGED_IDS)]
    return ", ".join([*ids, "…"] if len(backup_sets) > len(ids) else ids)
