"""What the processes of a benchmark share: key, IDs and statistics. It imports next to nothing."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ACCESS_KEY_ID = "benchmark-key"
ACCESS_KEY_SECRET = "benchmark-secret"
CONN_ID = "benchmark"
HTTP_CONN_ID = "benchmark_http"
INSTANCE_ID = "ob-benchmark"
IN_FLIGHT = 32


def median(values: Iterable[float]) -> float:
    """Return the middle value, 0 where there is none."""
    return quantile(values, 0.5)


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all do not exceed, 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def take_stdout() -> Callable[[object], None]:
    """Return a function that says something to the parent; whatever else is printed goes to stderr."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(sys.stderr.fileno(), 1)

    def say(what: object) -> None:
        print(json.dumps(what), file=stdout, flush=True)

    return say
