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


def ending_statuses(
    success_statuses: Collection[str], failure_statuses: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the statuses that two arguments give, those that end a wait well and those that do not.

    :raises TypeError: one is no list of statuses
    :raises ValueError: no wait could go by them
    """
    success = checked_statuses("success_statuses", success_statuses)
    failure = checked_statuses("failure_statuses", failure_statuses)
    if not success:
        raise ValueError("success_statuses is empty: the task could never succeed")
    if both := set(success) & set(failure):
        raise ValueError(f"{sorted(both)} cannot be in success_statuses and in failure_statuses")
    return success, failure
