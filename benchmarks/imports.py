"""Time an import on top of what any DAG file with a sensor has: ``python -m benchmarks.imports MODULE``."""

from __future__ import annotations

import importlib
import sys
import time

from benchmarks.measures import take_stdout


def main(module: str) -> None:
    """Print the seconds."""
    say = take_stdout()
    sdk = importlib.import_module("airflow.sdk")
    # It imports these when they are asked for.
    assert sdk.DAG
    assert sdk.BaseSensorOperator
    began = time.perf_counter()
    importlib.import_module(module)
    say({"seconds": time.perf_counter() - began})


if __name__ == "__main__":
    main(*sys.argv[1:])
