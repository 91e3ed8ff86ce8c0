"""Why a wait for a point in time may never end, in warnings: plain code without I/O.

One for each kind, however many tenants it is about: a wait has hundreds of polls, and an instance hundreds of
tenants.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.waiting.advice import NOT_LISTED, NOT_RESTORABLE, UNREADABLE, WRONG_ID
from airflow_provider_oceanbase.waiting.verdict import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_provider_oceanbase.cloud.intervals import TenantIntervals, TenantList

#: So many tenants at most in a line of the log.
SHOWN_TENANTS = 5
#: Backups are usually daily, and log is archived all the time.
_LONG_AGO = timedelta(days=2)


class Doubt(NamedTuple):
    """Something that a person should look at.

    :param kind: tells those of one kind from those of another
    :param what: what it is, a clause
    :param remedy: what to do, in sentences
    """

    kind: str
    what: str
    remedy: str

    def notice(self, about: str) -> Notice:
        """Return the warning.

        :param about: the wait, in words
        """
        return Notice(self.kind, f"{self.what[0].upper()}{self.what[1:]}: {about}. {self.remedy}")


def some(texts: Iterable[str], count: int) -> str:
    """Return the first of so many texts, and how many more there are."""
    more = f", and {count - SHOWN_TENANTS} more" if count > SHOWN_TENANTS else ""
    return "; ".join(islice(texts, SHOWN_TENANTS)) + more


def doubts_of_names(
    listed: TenantList, names: Collection[str], tenants: Collection[TenantIntervals]
) -> Iterator[Doubt]:
    """Yield what is doubtful of the names that a wait has, even if it succeeds; nothing without names.

    :param tenants: those that have the names
    """
    shared = [name for name in names if len(listed.named(name)) > 1]
    if of_ids := [name for name in shared if len({tenant.tenant_id for tenant in listed.named(name)}) == 1]:
        what = some((_shared_id(listed, name) for name in of_ids), len(of_ids))
        yield Doubt("shared ID", what, "To wait for one, give its name.")
    if ambiguous := [name for name in shared if name not in of_ids]:
        what = some((_ambiguity(listed, name) for name in ambiguous), len(ambiguous))
        yield Doubt("ambiguous", what, "To wait for one, give its ID.")
    if names and (strange := [tenant for tenant in listed.malformed if tenant not in tenants]):
        what = some(map(_oddity, strange), len(strange))
        yield Doubt("malformed", what, "Such an entry does not count: the wait is for other tenants.")


def doubts_of_wait(
    listed: TenantList,
    missing: Sequence[str],
    waiting: Iterable[TenantIntervals],
    time: datetime,
    now: datetime,
) -> Iterator[Doubt]:
    """Yield why a wait may never end.

    :param missing: names of tenants that are not listed
    :param waiting: tenants that are not restorable to the time
    """
    if not listed.tenants:
        yield Doubt("empty", "no tenants in the list", WRONG_ID)
    elif missing:
        what = some((f"no tenant {name!r} is listed" for name in map(shown, missing)), len(missing))
        yield Doubt("missing", what, "Check the name, or the ID. A tenant without a backup may be missing.")
    found: dict[str, list[TenantIntervals]] = {}
    for tenant in waiting:
        for kind in _kinds(tenant, time, now):
            found.setdefault(kind, []).append(tenant)
    for kind, (clause, remedy) in _KINDS.items():
        if tenants := found.get(kind):
            clauses = (clause(tenant, time) for tenant in tenants)
            yield Doubt(kind, some(clauses, len(tenants)), remedy)


def advice(doubts: Iterable[Doubt]) -> str:
    """Return what to do about them if the wait has timed out."""
    kinds = {doubt.kind for doubt in doubts}
    if "odd" in kinds:
        return UNREADABLE
    return NOT_LISTED if kinds & {"empty", "missing"} else NOT_RESTORABLE


def _kinds(tenant: TenantIntervals, time: datetime, now: datetime) -> Iterator[str]:
    """Yield what is doubtful of a tenant; nothing if its end may just move on."""
    end = tenant.up_to(time)
    if tenant.odd is not None:
        yield "odd" if end is None else "partly odd"
    elif not tenant.intervals:
        yield "bare"
    elif tenant.begins_after(time):
        yield "late"
    if tenant.gap_around(time):
        yield "gap"
    elif end is not None and now - end > _LONG_AGO:
        yield "behind"


def _shared_id(listed: TenantList, name: str) -> str:
    same = listed.named(name)
    names = ", ".join(tenant.quoted for tenant in same[:SHOWN_TENANTS])
    return f"{len(same)} tenants have the ID {shown(name)!r} ({names}), and each must be restorable"


def _ambiguity(listed: TenantList, name: str) -> str:
    same = listed.named(name)
    known = [tenant for tenant in same if tenant.tenant_id]
    ids = ", ".join(shown(tenant.tenant_id) for tenant in known[:SHOWN_TENANTS])
    if len(known) < len(same):
        return f"an entry without ID has the name {shown(name)!r} besides {ids}, and cannot be judged"
    return f"{len(same)} tenants are named {shown(name)!r} ({ids}), and each must be restorable"


def _oddity(tenant: TenantIntervals, _: datetime | None = None) -> str:
    return f"of tenant {tenant.quoted}, {tenant.odd}"


def _bareness(tenant: TenantIntervals, _: datetime) -> str:
    return f"tenant {tenant.quoted} has no interval"


def _lateness(tenant: TenantIntervals, _: datetime) -> str:
    return f"tenant {tenant.quoted} is restorable only from {tenant.begin} on"


def _delay(tenant: TenantIntervals, time: datetime) -> str:
    return f"tenant {tenant.quoted} is restorable only up to {tenant.up_to(time):%Y-%m-%d %H:%M} UTC"


def _gap(tenant: TenantIntervals, time: datetime) -> str:
    before, after = tenant.gap_around(time) or ("?", "?")
    return f"tenant {tenant.quoted} is restorable up to {before} and again from {after}"


_ODD = "What cannot be read does not count."
#: By the kind of a tenant: a clause about it, and what to do.
_KINDS: dict[str, tuple[Callable[[TenantIntervals, datetime], str], str]] = {
    "odd": (_oddity, _ODD),
    "partly odd": (_oddity, _ODD),
    "bare": (_bareness, "It may need a backup first."),
    "late": (_lateness, "Choose a later restore_time."),
    "gap": (_gap, "If the gap does not close, choose another restore_time."),
    "behind": (_delay, "That is long ago: look up its backups and its log archive in the console."),
}
