"""What keeps a backup set from being accepted, in words: plain code without I/O.

The vendor documents one status and one validity. So neither a wait nor a watch may be silent about a set that
it passes over because of a value that it does not understand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.backup_set import (
    VALID,
    kind_of,
    names_of,
    tenants_of,
    time_of,
    time_or_never,
)
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, IN_PROGRESS_STATUSES
from airflow_provider_oceanbase.waiting.verdict import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, TenantBackupSet

#: Objects of a backup: parts of the instance (source: "Start a backup" of the API reference), and all of it.
_PARTS = frozenset({"TENANT", "DATABASE", "TABLE"})
_WHOLE = "CLUSTER"
#: So many kinds of near misses at most come with one answer.
_MAX_KINDS = 5


class Lack(NamedTuple):
    """One thing that keeps a backup set from being accepted.

    :param name: what it is about
    :param what: what is wrong with it, a clause
    :param remedy: what to do to have such sets accepted, a sentence
    :param value: the API's word for it, if it has one: what tells kinds of lacks apart
    :param has_ended: whether it is worse than it was, since the backup has ended
    """

    name: str
    what: str
    remedy: str = ""
    value: str = ""
    has_ended: bool = False

    @property
    def kind(self) -> str:
        """Tells lacks of one kind from those of another."""
        return f"{self.name}={self.value}{', ended' if self.has_ended else ''}"

    def notice(self, about: str) -> Notice:
        """Return the warning of a wait for one set.

        :param about: the set, in words
        """
        return Notice(self.kind, f"{_capital(self.what)}: {about} keeps waiting. {self.remedy}")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


class NearMiss(NamedTuple):
    """A backup set that would be accepted, but for a few things."""

    backup_set: BackupSet
    lacks: Sequence[Lack]

    @property
    def kind(self) -> str:
        """Tells near misses of one kind from those of another."""
        return "; ".join(lack.kind for lack in self.lacks)

    @property
    def what(self) -> str:
        """What is wrong with it, in clauses."""
        return ", and ".join(lack.what for lack in self.lacks)

    @property
    def remedy(self) -> str:
        """What to do to have such sets accepted, in sentences; the text may be empty."""
        return " ".join(lack.remedy for lack in self.lacks if lack.remedy)

    @property
    def verdict(self) -> str:
        """What keeps it from being accepted, in a few words."""
        names = " and ".join(lack.name for lack in self.lacks)
        verb = "keeps" if len(self.lacks) == 1 else "keep"
        name = shown(self.backup_set["backupSetId"])
        return f"only its {names} {verb} backup set {name!r} from being accepted"

    def notice(self, about: str) -> Notice:
        """Return the warning.

        :param about: what is waited for instead, in words
        """
        text = f"{_capital(self.verdict)}: {self.what}. Still waiting: {about}. {self.remedy}"
        return Notice(self.kind, text.rstrip())


def is_unknown(
    status: object, success_statuses: Collection[str], failure_statuses: Collection[str] | None
) -> bool:
    """Return whether a status is in no list of known words, so that nobody knows whether it is final.

    A word for a backup in progress may be written in any case: either way, waiting is right.

    :param failure_statuses: None where they are no argument: then the default
    """
    final = (*success_statuses, *(FAILURE_STATUSES if failure_statuses is None else failure_statuses))
    return status not in final and str(status).strip().upper() not in IN_PROGRESS_STATUSES


def status_lack(
    backup_set: TenantBackupSet,
    success_statuses: Collection[str],
    failure_statuses: Collection[str] | None,
) -> Lack | None:
    """Return what the status of a set lacks, None if it is that of a complete one."""
    status = backup_set.get("status")
    if status in success_statuses:
        return None
    word = shown(str(status))
    if not is_unknown(status, success_statuses, failure_statuses):
        return Lack("status", f"its status is {word}", value=word)
    what = f"{word!r} is no status that this provider knows"
    if ended := backup_set.get("endTime"):
        what += f", and the backup has ended (endTime {shown(str(ended))})"
    remedy = f"If it means done, set success_statuses={(*success_statuses, word)}"
    if failure_statuses is not None:
        remedy += f"; if it means failed, set failure_statuses={(*failure_statuses, word)}"
    return Lack("status", what, f"{remedy}.", word, has_ended=bool(ended))


def validity_lack(backup_set: TenantBackupSet) -> Lack | None:
    """Return what the validity of a set lacks, None if it is VALID."""
    validity = backup_set.get("validity")
    if validity == VALID:
        return None
    if not validity:
        what, remedy = "it has no validity", "If OceanBase Cloud gives none, set require_valid=False."
        return Lack("validity", what, remedy)
    word = shown(str(validity))
    remedy = "If that is good enough, set require_valid=False."
    return Lack("validity", f"its validity is {word!r}, not {VALID}", remedy, word)


def completeness_lacks(
    backup_set: TenantBackupSet,
    success_statuses: Collection[str],
    failure_statuses: Collection[str] | None,
    *,
    require_valid: bool,
) -> list[Lack]:
    """Return what keeps a set, or a tenant's part of one, from being complete; none if it is."""
    found = [status_lack(backup_set, success_statuses, failure_statuses)]
    if require_valid:
        found.append(validity_lack(backup_set))
    return [lack for lack in found if lack]


def checkpoint_lack(backup_set: TenantBackupSet, earliest: datetime) -> Lack | None:
    """Return what the checkpoint of a set lacks, None if it is not before a time."""
    checkpoint = time_of(backup_set, "checkpoint")
    text = backup_set.get("checkpoint")
    if checkpoint is not None:
        what = f"its checkpoint {shown(str(text))} is too early"
        return None if checkpoint >= earliest else Lack("checkpoint", what)
    remedy = "To wait for it by its ID, use BackupSetSensor."
    if not text:
        return Lack("checkpoint", "it has no checkpoint", remedy)
    what = f"its checkpoint {shown(str(text))!r} is no time that this provider can read"
    return Lack("checkpoint", what, remedy)


@dataclass(frozen=True, slots=True)
class Demands:
    """What a backup set must have to be accepted by ``CheckpointCondition``, whose fields have these names.

    :param earliest: the earliest accepted checkpoint
    """

    earliest: datetime
    tenants: Collection[str]
    backup_mode: str | None
    success_statuses: Collection[str]
    failure_statuses: Collection[str]
    require_valid: bool

    def accepts(self, backup_set: BackupSet) -> bool:
        """Return whether a set lacks nothing; of most sets, the thousands of tenants need not be read."""
        return not self._lacks_of_itself(backup_set) and not self.lacks(backup_set)

    def lacks(self, backup_set: BackupSet) -> list[Lack]:
        """Return all that keeps a set from being accepted, none if it is."""
        own = self._lacks_of_itself(backup_set)
        # What the whole set lacks need not be said of a tenant again.
        known = {(lack.name, lack.value) for lack in own}

        def of_tenant(tenant: TenantBackupSet) -> list[Lack]:
            return [lack for lack in self._lacks_of_itself(tenant) if (lack.name, lack.value) not in known]

        return [*self.lacks_of_mode(backup_set), *own, *self.lacks_of_scope(backup_set, of_tenant)]

    def lacks_of_scope(
        self, backup_set: BackupSet, of_tenant: Callable[[TenantBackupSet], list[Lack]] = lambda _: []
    ) -> list[Lack]:
        """Return what is missing in a set: the whole instance, or tenants.

        :param of_tenant: returns what a tenant's backup set lacks; default: nothing
        """
        kind = kind_of(backup_set)
        if kind in (_PARTS - {"TENANT"} if self.tenants else _PARTS):
            remedy = "To accept a backup of a tenant, name it in tenants." if kind == "TENANT" else ""
            what = f"its backupObjectType is {kind}, which is a part of the instance"
            return [Lack("backupObjectType", what, remedy, kind)]
        if not self.tenants:
            return [] if kind == _WHOLE else [_lack_of_kind(kind)]
        # A set of a single tenant has no list.
        inside: list[TenantBackupSet] = [*tenants_of(backup_set)]
        if kind == "TENANT":
            inside.append(backup_set)
        missing: dict[str, list[Lack] | None] = dict.fromkeys(self.tenants)
        for tenant in inside:
            for name in names_of(tenant) & missing.keys():
                if lacks := of_tenant(tenant):
                    missing[name] = lacks
                else:
                    del missing[name]
        return [_lack_of_tenants(missing, bool(inside))] if missing else []

    def near_misses(self, backup_sets: Iterable[BackupSet]) -> list[NearMiss]:
        """Return sets that have ended, for all anybody knows, but lack something: the newest of each kind."""
        misses: dict[str, NearMiss] = {}
        # Of sets whose times are none, the first that is listed.
        for one in sorted(backup_sets, key=lambda one: time_or_never(one, "startTime"), reverse=True):
            if lacks := self._doubts(one):
                miss = NearMiss(one, lacks)
                misses.setdefault(miss.kind, miss)
        return sorted(misses.values(), key=lambda miss: len(miss.lacks))[:_MAX_KINDS]

    def _doubts(self, backup_set: BackupSet) -> list[Lack]:
        """Return what a near miss lacks; none for a set that is accepted, or is none that is wanted."""
        status = backup_set["status"]
        is_strange = is_unknown(status, self.success_statuses, self.failure_statuses)
        if not is_strange and status not in self.success_statuses:
            return []
        reached = time_of(backup_set, "checkpoint") or time_of(backup_set, "endTime")
        if reached is not None and reached < self.earliest:
            return []
        if self.tenants and kind_of(backup_set) == "TENANT" and not names_of(backup_set) & {*self.tenants}:
            return []
        lacks = self.lacks(backup_set)
        # Of another kind anyway; but a set whose words nobody knows may be of any.
        others = {kind_of(backup_set) in _PARTS and "backupObjectType", not is_strange and "backupMode"}
        if len(lacks) > 1 and others & {lack.name for lack in lacks}:
            return []
        # As long as it may go on, it need not have the rest.
        is_running = is_strange and not backup_set.get("endTime")
        return [lack for lack in lacks if not is_running or lack.name == "status"]

    def lacks_of_mode(self, backup_set: BackupSet) -> list[Lack]:
        """Return what the mode of a set lacks, nothing if any will do."""
        mode = backup_set.get("backupMode")
        if self.backup_mode in (None, mode):
            return []
        word = shown(str(mode))
        remedy = "If that is the same, change backup_mode."
        return [Lack("backupMode", f"its backupMode is {word!r}, not {self.backup_mode!r}", remedy, word)]

    def _lacks_of_itself(self, backup_set: TenantBackupSet) -> list[Lack]:
        complete = completeness_lacks(
            backup_set, self.success_statuses, self.failure_statuses, require_valid=self.require_valid
        )
        checkpoint = checkpoint_lack(backup_set, self.earliest)
        return [*complete, checkpoint] if checkpoint else complete


def _lack_of_kind(kind: str) -> Lack:
    what = f"its backupObjectType is {shown(kind)!r}, not {_WHOLE}" if kind else "it has no backupObjectType"
    remedy = "If it holds the whole instance, name the tenants that you need in tenants."
    return Lack("backupObjectType", f"{what}, so it may hold a part", remedy, shown(kind))


def _lack_of_tenants(missing: dict[str, list[Lack] | None], has_list: bool) -> Lack:
    name, lacks = next(iter(missing.items()))
    if lacks:
        what = f"of its tenant {name!r}, {lacks[0].what}"
        return Lack("list of tenants", what, lacks[0].remedy, lacks[0].value)
    remedy = "To wait for the whole instance, leave tenants out."
    if has_list:
        return Lack("list of tenants", f"it has no tenant {name!r}", remedy)
    return Lack("list of tenants", f"it lists no tenants, so tenant {name!r} is not found", remedy, "none")
