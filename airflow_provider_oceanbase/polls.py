"""The backup sets of an instance, listed again and again in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_oceanbase.backup_sets import BackupSetList, day_of
from airflow_provider_oceanbase.connected import Connected
from airflow_provider_oceanbase.event_triggers import POKE_INTERVAL
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, shown
from airflow_provider_oceanbase.goals import LOOKBACK
from airflow_provider_oceanbase.waiting import Outage, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase.backup_set import BackupSet

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Poll:
    """A list of backup sets, for all who watch the instance.

    :param backup_sets: the sets that began since ``since``, whatever their status
    :param since: from when on the list is complete
    :param want: takes from when on the next list has to be complete
    """

    backup_sets: list[BackupSet]
    since: datetime
    want: Callable[[datetime], None]

    def reaches(self, since: datetime) -> bool:
        """Whether the list is complete since a time.

        Where it is not, the next one is, and does not wait for the interval.
        """
        self.want(since)
        return self.since <= since


class Polls:
    """Lists the backup sets of an instance, at an interval, for ever; use it by ``async with``.

    Nobody retries a watcher. So whatever fails is told once, and tried again at the interval.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param poke_interval: seconds between two polls
    """

    def __init__(self, *, instance_id: str, oceanbase_conn_id: str, poke_interval: float) -> None:
        self._instance_id = instance_id
        self._connected = Connected(oceanbase_conn_id)
        self._pace = Pace(_usable(poke_interval), timeout=math.inf)
        self._outage = Outage(log)
        self._question: BackupSetList | None = None
        # Not the last poll itself: with thousands of tenants it takes megabytes.
        self._since = self._wanted = datetime.max.replace(tzinfo=UTC)
        #: When the next poll is due, by the clock of the event loop.
        self.due = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._connected.__aexit__(*details)

    async def next(self) -> Poll:
        """Wait until a poll is due, and then until one is answered; return what it lists."""
        loop = asyncio.get_running_loop()
        # Somebody needs more than there was.
        if self._wanted < self._since:
            self.due = loop.time()
        while True:
            await asyncio.sleep(self.due - loop.time())
            try:
                poll = await self._poll()
            except OceanBaseCloudError as error:
                self._outage.failed(error)
                self.due = loop.time() + self._pace.pause(0.0, retry_after=error.retry_after)
            else:
                self._outage.answered()
                self.due = loop.time() + self._pace.pause(0.0)
                return poll

    async def _poll(self) -> Poll:
        earliest = datetime.now(UTC) - LOOKBACK
        day = day_of(min(self._wanted, earliest))
        try:
            if self._question is None or self._question.start_time != day:
                self._question = BackupSetList(self._instance_id, start_time=day)
            backup_sets = (await self._connected.ask(self._question)).data
        except OceanBaseCloudError:
            raise
        except Exception as error:
            # A connection that is missing, or a bug: others of this triggerer go on.
            log.debug("The check broke off.", exc_info=True)
            what = f"the check broke off in the triggerer ({type(error).__name__}: {shown(str(error))})"
            hint = "Check that the connection exists; the triggerer's log has the details at level DEBUG."
            raise OceanBaseCloudError(what, hint=hint) from None
        self._since, self._wanted = datetime.fromisoformat(day), earliest
        return Poll(backup_sets, self._since, self._want)

    def _want(self, since: datetime) -> None:
        self._wanted = min(self._wanted, since)


def _usable(poke_interval: Any) -> float:
    if isinstance(poke_interval, int | float) and math.isfinite(poke_interval) and poke_interval > 0:
        return float(poke_interval)
    log.error(
        "poke_interval is %r, which is no number of seconds; %g is taken.", poke_interval, POKE_INTERVAL
    )
    return POKE_INTERVAL
