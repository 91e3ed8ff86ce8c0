"""python -m outages [write]: print the table of outages as JSON, or write it into the documentation."""

from __future__ import annotations

import json
import sys

from outages.table import HEADING, PAGE, ROWS
from pages import write_rows

if __name__ == "__main__":
    cells = [row.cells for row in ROWS]
    if sys.argv[1:] == ["write"]:
        write_rows(PAGE, HEADING, cells)
    else:
        print(json.dumps(cells))
