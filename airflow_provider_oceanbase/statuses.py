"""Which statuses of a backup set end a wait. All a DAG file needs to know of the rule; hence on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

#: The one status that the vendor documents for this endpoint.
SUCCESS_STATUSES = ("DONE",)
#: Final failures in the vendor's sister APIs; whether this endpoint uses the same words is inferred.
FAILURE_STATUSES = ("FAILED", "CANCELED", "OVERDUE")


def checked_statuses(name: str, statuses: Collection[str]) -> tuple[str, ...]:
    """Return the statuses that an argument gives.

    :param name: the argument
    :raises TypeError: it is no list of statuses; a text alone would be one of characters
    """
    if isinstance(statuses, str) or not all(isinstance(status, str) for status in statuses):
        raise TypeError(f"{name} must be a list or tuple of statuses, such as ('DONE',), not {statuses!r}")
    return tuple(statuses)
