"""One stream of listings for all triggers that watch the same instance. Needs Airflow 3.3."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_oceanbase.compat.sdk import AdvanceItem, SharedStreamProducer
from airflow_provider_oceanbase.watching.listings import Listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_oceanbase.watching.listings import BackupSetLister

#: Airflow confirms an event even if no asset received it, because the last DAG was just changed or paused. It
#: cancels the trigger then; these are the seconds that the cancellation may take.
CANCELLED_WITHIN = 2.0
#: They are counted in so many steps: while an import blocks the event loop, Airflow cancels nothing either.
_STEPS = 4

#: A listing; or the number of one whose events, and all events before, are in the database.
StreamItem: TypeAlias = "Listing | int"


class ListingStream(SharedStreamProducer):
    """Gives each listing to all triggers, and its number once the events from it are in the database.

    Only then may a cursor be saved that counts them as reported: Airflow stores an event about a second after
    it was yielded, and a triggerer that is killed in between loses it. A trigger that is no longer wanted
    loses it too, but is cancelled before it saves.

    :param lister: where the listings come from
    """

    def __init__(self, lister: BackupSetLister) -> None:
        self._lister = lister
        self._items: asyncio.Queue[StreamItem | Exception] = asyncio.Queue()

    async def open_stream(self) -> AsyncIterator[tuple[StreamItem, int | None]]:
        """Yield listings and numbers; with a listing its number, for :meth:`advance`."""
        async with self._lister:
            # Beside it, since an outage must not keep a cursor from being saved.
            polling = asyncio.create_task(self._poll())
            try:
                while True:
                    item = await self._items.get()
                    if isinstance(item, Exception):
                        raise item
                    yield item, item.number if isinstance(item, Listing) else None
            finally:
                polling.cancel()
                await asyncio.wait([polling])

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Take listings that all triggers have handled; one that failed restarts from what was saved."""
        numbers = [item.broker_payload for item in batch if item.broker_payload is not None]
        if numbers:
            self._confirm(max(numbers), CANCELLED_WITHIN / _STEPS, _STEPS)

    async def _poll(self) -> None:
        try:
            while True:
                self._items.put_nowait(await self._lister.next())
        except Exception as error:
            self._items.put_nowait(error)

    def _confirm(self, number: int, pause: float, steps: int) -> None:
        """Confirm a listing after so many pauses."""
        if steps:
            asyncio.get_running_loop().call_later(pause, self._confirm, number, pause, steps - 1)
        else:
            self._items.put_nowait(number)
