"""What a wait reports to Airflow's metrics."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Literal

# It imports Airflow's parts when they are used. An import at each poll would take as long as the rest of it.
from airflow_provider_oceanbase.compat import sdk

#: Counter: polls, each tagged with its ``outcome``, ``answered`` or ``failed``.
POLLS_METRIC = "oceanbase.backup_set.polls"
#: Timer: from the beginning of a wait until the backup set was seen complete.
WAIT_METRIC = "oceanbase.backup_set.wait_duration"
#: Gauge: seconds for which a watch has been failing, 0 if it is well; tagged with instance and connection.
FAILING_METRIC = "oceanbase.backup_set.watch.failing"


def count_poll(outcome: Literal["answered", "failed"]) -> None:
    """Count a poll."""
    sdk.Stats.incr(POLLS_METRIC, tags={"outcome": outcome})


def record_wait(began: float) -> None:
    """Record how long a successful wait took.

    :param began: when it began, in seconds since the epoch
    """
    sdk.Stats.timing(WAIT_METRIC, timedelta(seconds=max(time.time() - began, 0.0)))


def record_failing(instance_id: str, conn_id: str, seconds: float) -> None:
    """Record for how long a watch has been failing.

    :param seconds: 0 if it is well
    """
    sdk.Stats.gauge(FAILING_METRIC, seconds, tags={"instance_id": str(instance_id), "conn_id": str(conn_id)})
