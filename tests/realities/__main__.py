"""python -m realities: run the table of realities, and update that of the documentation.

The exit code is 1 if a cell is not as its row demands; then the documentation stays as it is.
"""

from __future__ import annotations

import re
import sys

from faults.__main__ import captured
from pages import ROOT
from realities import cells
from realities.table import CELLS, lines

PAGE = ROOT / "docs" / "if-the-service-differs.md"
_TABLE = re.compile(r"^\| the service \|.*\n(?:\|.*\n)+", re.MULTILINE)


def main() -> int:
    wrong: list[str] = []
    with captured() as (logged, _):
        for name, job in CELLS:
            cell = cells.run(name, job, logged)
            wrong += [f"{name}, {job}: {problem}" for problem in cells.problems(name, job, cell)]
    table = "\n".join(lines()) + "\n"
    print(table, f"{len(CELLS)} cells; not as demanded: {len(wrong)}", *wrong, sep="\n")
    if not wrong:
        PAGE.write_text(_TABLE.sub(lambda _: table, PAGE.read_text(), count=1))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
