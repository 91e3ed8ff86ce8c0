"""The backup sets of an instance, listed again and again in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_oceanbase._texts import frames
from airflow_provider_oceanbase.cloud.backup_sets import LOOKBACK, BackupSetList, day_of
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, unexpected
from airflow_provider_oceanbase.transport.trigger_connection import TriggerConnection
from airflow_provider_oceanbase.waiting.arguments import POKE_INTERVAL, seconds
from airflow_provider_oceanbase.waiting.metrics import record_failing
from airflow_provider_oceanbase.waiting.outage import Outage
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.watching.names import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of backup sets, for all triggers that watch the instance.

    :param number: counts the lists of one lister
    :param backup_sets: the sets that began since ``since``, whatever their status
    :param since: from when on the list is complete
    :param want: takes from when on the next list must be complete
    """

    number: int
    backup_sets: list[BackupSet]
    since: datetime
    want: Callable[[datetime], None]

    def reaches(self, since: datetime) -> bool:
        """Return whether the list is complete since a time.

        If it is not, the next one is, and comes without waiting for the interval.
        """
        self.want(since)
        return self.since <= since


class BackupSetLister:
    """Lists the backup sets of an instance at an interval, without end; use it with ``async with``.

    Airflow does not retry a watcher. So any failure is logged, at growing intervals while it lasts, and the
    next poll comes at the interval.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param poke_interval: seconds between two polls
    """

    def __init__(self, *, instance_id: str, oceanbase_conn_id: str, poke_interval: float) -> None:
        self._instance_id = instance_id
        self._connection = TriggerConnection(oceanbase_conn_id, log)
        self._schedule = PollSchedule(_usable(poke_interval), timeout=math.inf)
        self._watch = Watch(instance_id, oceanbase_conn_id)
        self._outage = Outage(log, self._watch)
        self._query: BackupSetList | None = None
        # Not the last listing itself: with thousands of tenants it takes megabytes.
        self._since = self._wanted = datetime.max.replace(tzinfo=UTC)
        self._number = 0
        #: Set when a trigger needs more than the last listing had: the next poll is due at once.
        self._too_short = asyncio.Event()
        #: When the next poll is due, by the clock of the event loop.
        self.due = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._connection.__aexit__(*details)

    async def next(self) -> Listing:
        """Wait until a poll is due, then until one is answered; return what it lists."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self.due):
                    await self._too_short.wait()
            self._too_short.clear()
            try:
                listing = await self._poll()
            except OceanBaseCloudError as error:
                self._outage.failed(error)
                self._record()
                self.due = loop.time() + self._schedule.pause(0.0, retry_after=error.retry_after)
            else:
                self._outage.answered()
                self._record()
                self.due = loop.time() + self._schedule.pause(0.0)
                return listing

    def _record(self) -> None:
        record_failing(self._watch.instance_id, self._watch.oceanbase_conn_id, self._outage.seconds or 0.0)

    async def _poll(self) -> Listing:
        earliest = datetime.now(UTC) - LOOKBACK
        day = day_of(min(self._wanted, earliest))
        try:
            if self._query is None or self._query.start_time != day:
                self._query = BackupSetList(self._instance_id, start_time=day)
            read_age = self._schedule.poke_interval
            backup_sets = (await self._connection.fetch(self._query, read_age=read_age)).data
        except OceanBaseCloudError:
            raise
        except Exception as error:
            # A bug: the other triggers of this triggerer are not affected.
            log.debug("The poll stopped unexpectedly (%s):\n%s", type(error).__name__, frames(error))
            hint = "The triggerer's log has the details at level DEBUG."
            raise unexpected("Poll", error, hint=hint) from None
        self._since, self._wanted = datetime.fromisoformat(day), earliest
        self._number += 1
        return Listing(self._number, backup_sets, self._since, self._want)

    def _want(self, since: datetime) -> None:
        self._wanted = min(self._wanted, since)
        if self._wanted < self._since:
            self._too_short.set()


def _usable(poke_interval: Any) -> float:
    try:
        return seconds("poke_interval", poke_interval, above_zero=True)
    except ValueError as error:
        log.error("%s; using %g.", error, POKE_INTERVAL)
        return POKE_INTERVAL
