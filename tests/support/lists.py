"""Lists that are no lists, as templates and mapped tasks give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class Lazy(Sequence[Any]):
    """Like the sequence by which Airflow reads the XComs of a mapped task: no list, and not to be stored."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __reduce__(self) -> Any:
        raise TypeError("it holds a connection to Airflow")


#: The same two names, in all that a DAG or a template may give.
COLLECTIONS = {
    "list": ["billing", "orders"],
    "tuple": ("billing", "orders"),
    "set": {"orders", "billing"},
    "frozenset": frozenset({"orders", "billing"}),
    "keys": {"orders": 1, "billing": 2}.keys(),
    "values": {1: "billing", 2: "orders"}.values(),
    "lazy": Lazy("billing", "orders"),
}
