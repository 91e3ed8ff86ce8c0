"""One stream of listings for all triggers that watch the same instance. Needs Airflow 3.3."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_oceanbase.compat.sdk import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_oceanbase.watching.listings import BackupSetLister, Listing

#: Airflow confirms an event even if no asset received it, because the last DAG was just changed or paused. It
#: cancels the trigger then; these are the seconds that the cancellation may take.
CANCELLED_WITHIN = 2.0


class ListingStream(SharedStreamProducer):
    """Gives each listing to all triggers, and None once the events from it are in the database.

    Only then may a cursor be saved that counts them as reported: Airflow stores an event about a second after
    it was yielded, and a triggerer that is killed in between loses it. A trigger that is no longer wanted
    loses it too, but is cancelled before it saves.

    :param lister: where the listings come from
    """

    def __init__(self, lister: BackupSetLister) -> None:
        self._lister = lister

    async def open_stream(self) -> AsyncIterator[tuple[Listing | None, asyncio.Event | None]]:
        """Yield listings, each with an event that is set when all triggers have handled it."""
        async with self._lister as lister:
            while True:
                settled = asyncio.Event()
                yield await lister.next(), settled
                # Events that take longer are confirmed with a later listing's: Airflow settles them in order.
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(lister.due):
                        await settled.wait()
                        await asyncio.sleep(CANCELLED_WITHIN)
                if settled.is_set():
                    yield None, None

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Record listings that all triggers have handled; one that failed restarts from what was saved."""
        for item in batch:
            if item.broker_payload is not None:
                item.broker_payload.set()
