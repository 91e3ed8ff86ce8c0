"""python -m faults [ROW ...]: run the table of faults, and print what comes of each.

A cell is a result, the number of requests, and seconds. The exit code is 1 if one is not as its row demands.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import faults.cells as table
from faults.answers import COLUMNS, FAULTS

_LINE = "{:<40}" + "{:<23}" * len(COLUMNS)


@contextmanager
def captured() -> Iterator[tuple[Callable[[], str], TextIO]]:
    """Redirect all output of the process; yield what returns it, and the terminal."""
    with tempfile.TemporaryFile("w+") as file, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
        saved = os.dup(1), os.dup(2)
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger().addHandler(logging.StreamHandler())

        def read() -> str:
            sys.stdout.flush()
            sys.stderr.flush()
            file.seek(0)
            text = file.read()
            file.seek(0)
            file.truncate()
            return text

        try:
            yield read, terminal
        finally:
            read()
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


def main(*names: str) -> int:
    wrong: list[str] = []
    total, requests, seconds = 0, 0, 0.0
    with captured() as (logged, terminal):
        print(_LINE.format("", *COLUMNS), file=terminal)
        for name in names or FAULTS:
            texts = []
            for column in COLUMNS:
                if column not in FAULTS[name].columns:
                    texts.append("-")
                    continue
                cell = table.run(name, column, logged)
                problems = table.problems(name, column, cell)
                wrong += [f"{name}, {column}: {problem}" for problem in problems]
                total, requests, seconds = total + 1, requests + cell.requests, seconds + cell.seconds
                outcome = type(cell.error).__name__ if cell.error else "success"
                outcome = outcome.removeprefix("OceanBase").removesuffix("Error")
                mark = " !" if problems else ""
                texts.append(f"{outcome} {cell.requests} {cell.seconds:.1f}{mark}")
            print(_LINE.format(name, *texts), file=terminal)
    print(f"{total} cells, {requests} requests, {seconds:.0f} s; not as demanded: {len(wrong)}")
    for line in wrong:
        print(line)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
