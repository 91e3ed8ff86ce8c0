"""One poll for all triggers of a triggerer that watch the same instance. Needs Airflow 3.3."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_oceanbase._compat import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_oceanbase.polls import Poll, Polls

#: Airflow confirms even an event that no asset has got, its last DAG having just been changed or paused; it
#: cancels the trigger with the same message. So many seconds it may take until that has happened.
CANCELLED_WITHIN = 2.0


class SharedPolls(SharedStreamProducer):
    """Gives each poll to all who share it, and None once the events that came of it are in the database.

    Only then may a cursor that counts them as told be saved: Airflow takes an event over a second or so after
    it was yielded, and a triggerer that is killed in between has lost it. So has a trigger that is no longer
    wanted: it is cancelled before it saves.

    :param polls: where the polls come from
    """

    def __init__(self, polls: Polls) -> None:
        self._polls = polls

    async def open_stream(self) -> AsyncIterator[tuple[Poll | None, asyncio.Event | None]]:
        """Yield polls, each with what is set when all are through with it."""
        async with self._polls as polls:
            while True:
                settled = asyncio.Event()
                yield await polls.next(), settled
                # Events that take longer are told of with a later poll's: Airflow settles them in order.
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(polls.due):
                        await settled.wait()
                        await asyncio.sleep(CANCELLED_WITHIN)
                if settled.is_set():
                    yield None, None

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Take note of polls that all are through with; who has failed begins again from what was saved."""
        for item in batch:
            if item.broker_payload is not None:
                item.broker_payload.set()
