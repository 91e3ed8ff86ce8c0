"""Triggers that do no more than they must: what of a wait is Airflow's, and what is aiohttp's."""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_oceanbase.compat.triggerer import forget_dag
from benchmarks.waits import bare_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.sdk import Context
    from airflow.triggers.base import TriggerEvent
    from jinja2 import Environment

    from benchmarks.waits import Wait


class ClockTrigger(BaseTrigger):
    """Wakes as often as a wait polls, and does nothing.

    :param index: number of the wait
    """

    def __init__(self, index: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.index = index

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and its arguments."""
        return f"{__name__}.{type(self).__name__}", {"index": self.index}

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Let go of the DAG, as a wait does."""
        forget_dag(self.task_instance, context)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never end."""
        await self.wait(float(os.environ["BENCHMARK_INTERVAL"]))
        yield

    async def wait(self, poke_interval: float) -> None:
        """Sleep again and again."""
        while True:
            await asyncio.sleep(poke_interval)


class BareTrigger(ClockTrigger):
    """Sleeps, and polls with one aiohttp session of all: the minimum of a wait."""

    async def wait(self, poke_interval: float) -> None:
        """Poll again and again."""
        await _shared()(self.index, poke_interval)


@functools.cache
def _shared() -> Wait:
    # In the event loop: the session belongs to it.
    return bare_wait()
