"""What tests of BackupSetEventTrigger share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oceanbase.triggers import BackupSetEventTrigger

NOW = datetime.now(UTC)


def trigger(**options: Any) -> BackupSetEventTrigger:
    """Return a trigger as the triggerer builds it from the database."""
    path, arguments = BackupSetEventTrigger(
        **{"instance_id": "ob-1", "poke_interval": 0.05} | options
    ).serialize()
    assert path == "airflow_provider_oceanbase.triggers.BackupSetEventTrigger"
    return BackupSetEventTrigger(**json.loads(json.dumps(arguments)))


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
