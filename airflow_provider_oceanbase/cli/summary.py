"""What ``check`` says below its table: what it could not look at, and how the points stand. Plain code."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from airflow_provider_oceanbase._inferred import Verdict
from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cli.probes import DAYS, Observations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_oceanbase._inferred import Finding

_ANY_SET = f"a backup set of the last {DAYS} days: start a backup, or name another instance"
#: What a point needs, besides a backup set, to be seen.
_NEEDS = {
    "clock": "the header Date in a response",
    "list_order": "two backup sets that began at different times",
    "start_time": "a backup set whose start, checkpoint and end are at least two seconds apart",
    "validity": "a complete backup set",
    "times": "a backup set with times",
    "restorable": "a tenant with an interval that can be restored",
}
#: The points that need no backup set.
_WITHOUT_SETS = frozenset(
    {"challenge", "polls", "envelope", "clock", "instances", "project", "unknown_instance"}
)


def problem(found: Observations, instance_id: str | None) -> str | None:
    """Return why no backup set could be looked at, None if that is not for want of an instance.

    :param instance_id: the instance that was named
    """
    if found.page is None:
        if found.instances.error is not None:
            return str(found.instances.error)
        return (
            "No instance to look at: the list of instances is empty. Check the project of the connection, or "
            "name an instance."
        )
    error = found.page.error
    if found.is_unknown:
        answer = "its list of backup sets is empty." if error is None else f"the service says: {error}"
        return (
            f"No such instance: {shown(repr(instance_id))} is not in the list of instances, and {answer} "
            "The command instances shows what the AccessKey can see."
        )
    return None if error is None else str(error)


def summary(found: Observations, points: list[Finding], failed: str | None) -> Iterator[str]:
    """Yield the lines below the table, the verdict first.

    :param failed: what :func:`problem` says
    """
    if failed:
        yield failed
    keys = {verdict: [one.key for one in points if one.verdict == verdict] for verdict in get_args(Verdict)}
    confirmed, differing, unseen = keys.values()
    named = f" ({', '.join(differing)})" if differing else ""
    yield (
        f"Points: {len(points)}; confirmed: {len(confirmed)}; differing: {len(differing)}{named}; "
        f"not seen: {len(unseen)}."
    )
    wanting: dict[str, list[str]] = {}
    for key in unseen:
        wanting.setdefault(_need(found, key, failed), []).append(key)
    for need, without in wanting.items():
        yield f"Not seen: {', '.join(without)}. Needed: {need}."


def _need(found: Observations, key: str, failed: str | None) -> str:
    if key not in _WITHOUT_SETS and failed:
        return "an instance whose backup sets can be read"
    if key not in _WITHOUT_SETS and not found.sets:
        return _ANY_SET
    return _NEEDS.get(key, "an answer; check again once the service gives one")
