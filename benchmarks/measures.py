"""Key, IDs and statistics for all processes of a benchmark. Imports almost nothing."""

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
    """Return the median, 0 if there are no values."""
    return quantile(values, 0.5)


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all do not exceed, 0 if there are no values."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def take_stdout() -> Callable[[object], None]:
    """Return a function that sends a line of JSON to the parent process; redirect other output to stderr."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(sys.stderr.fileno(), 1)

    def send(message: object) -> None:
        print(json.dumps(message), file=stdout, flush=True)

    return send
