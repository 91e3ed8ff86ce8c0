"""When a wait began that begins in the triggerer, and whether its next poll is its first: plain code."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

#: A poll that comes later is not taken for the first of its task: the triggerer may be another one by then.
FIRST_POLL_SECONDS = 300.0
#: A triggerer that takes the wait sooner is the first one, or begins it once more.
BEGINNING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Start:
    """How a trigger begins a wait that no worker has begun.

    :param timeout: seconds from the beginning until Airflow itself ends the wait
    :param given: optional arguments that the DAG gives
    :param since_began: fields of the condition that are moments, as seconds since the wait began
    :param templated: arguments with a template
    """

    timeout: float
    given: Collection[str] = ()
    since_began: dict[str, float] = field(default_factory=dict)
    templated: Collection[str] = ()

    def began(self, timeout_after: datetime | None) -> float:
        """Return when the wait began, in seconds since the epoch; the same after each restart of a triggerer.

        :param timeout_after: when Airflow itself ends the wait: it stays in the row of the task
        """
        if timeout_after is None:
            return time.time()
        # It may have no time zone.
        aware = timeout_after if timeout_after.tzinfo else timeout_after.replace(tzinfo=UTC)
        return aware.timestamp() - self.timeout


def is_first(began: float) -> bool:
    """Return whether the next poll of a trigger is the first of a wait that began at a time.

    Nothing remembers whether an earlier triggerer has polled: later on, it has.
    """
    return time.time() - began < FIRST_POLL_SECONDS


def may_have_begun(began: float) -> bool:
    """Return whether an earlier triggerer may have begun a wait."""
    return time.time() - began > BEGINNING_SECONDS
