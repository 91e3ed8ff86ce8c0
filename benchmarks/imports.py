"""Time an import on top of those of any DAG file with a sensor: ``python -m benchmarks.imports MODULE``."""

from __future__ import annotations

import importlib
import sys
import time

from benchmarks.measures import take_stdout


def main(module: str) -> None:
    """Print the seconds."""
    send = take_stdout()
    sdk = importlib.import_module("airflow.sdk")
    # It imports these lazily.
    assert sdk.DAG
    assert sdk.BaseSensorOperator
    began = time.perf_counter()
    importlib.import_module(module)
    send({"seconds": time.perf_counter() - began})


if __name__ == "__main__":
    main(*sys.argv[1:])
