"""A trigger that wakes as often as a wait polls, and does nothing: what Airflow itself costs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.triggers.base import TriggerEvent


class ClockTrigger(BaseTrigger):
    """Sleeps again and again.

    :param seconds: sent as an argument, and not used
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and its arguments."""
        return f"{__name__}.ClockTrigger", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never end."""
        while True:
            await asyncio.sleep(float(os.environ["BENCHMARK_INTERVAL"]))
        yield
