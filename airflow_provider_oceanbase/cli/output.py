"""The output of a command: as Airflow's own commands print it, with ``--output``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.compat.sdk import AirflowConsole, SimpleTable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: What tables show where there is nothing.
NOTHING = "-"
_BAD = "bold red"


class _Console(AirflowConsole):
    def on_broken_pipe(self) -> None:
        """Leave it to the command: rich would exit as after an error."""
        raise BrokenPipeError


def show(
    output: str, data: Any, rows: Sequence[Mapping[str, object]], *, bad: Collection[int] = frozenset()
) -> None:
    """Print what a command has found.

    :param output: ``table``, ``plain``, ``json`` or ``yaml``
    :param data: what JSON and YAML hold
    :param rows: what tables show, from column to value
    :param bad: which rows to highlight in a table; a word in them must say the same
    """
    console = _Console(markup=False, emoji=False, highlight=False)
    if output == "json":
        console.print_as_json(data)
    elif output == "yaml":
        console.print_as_yaml(data)
    elif not rows:
        # What Airflow's commands print.
        console.print("No data found")
    elif output == "plain":
        console.print("\n".join(_plain(rows)), soft_wrap=True)
    else:
        console.print(_table(rows, bad))


def _table(rows: Sequence[Mapping[str, object]], bad: Collection[int]) -> SimpleTable:
    table = SimpleTable(show_header=True)  # type: ignore[no-untyped-call]
    for column in rows[0]:
        table.add_column(column)
    for index, row in enumerate(rows):
        # As Text: rich would take brackets in a str for its markup.
        style = _BAD if index in bad else ""
        table.add_row(*(Text(cell(value), style=style) for value in row.values()))
    return table


def _plain(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return lines of columns: Airflow's own writes an ID such as 12e3 as a number.

    A wide character, such as a Chinese one, takes two cells of a terminal.
    """
    lines = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]


def _padded(word: str, width: int) -> str:
    return word + " " * (width - cell_len(word))


def cell(value: object) -> str:
    """Return a value for a table: foreign text, short and printable."""
    return NOTHING if value is None or value == "" else shown(str(value))
