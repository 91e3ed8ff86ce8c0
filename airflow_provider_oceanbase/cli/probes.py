"""What ``check`` requests of a service: about 30 GET requests, one after another."""

from __future__ import annotations

import re
import secrets
import string
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._inferred import FAILURE_STATUSES, IN_PROGRESS_STATUSES
from airflow_provider_oceanbase.cli.observing import Observer, Seen
from airflow_provider_oceanbase.cloud.backup_set import backup_set_request, is_word, parsed_time
from airflow_provider_oceanbase.cloud.backup_sets import BackupSetList, utc
from airflow_provider_oceanbase.cloud.instances import InstanceList
from airflow_provider_oceanbase.cloud.query import path_segment
from airflow_provider_oceanbase.cloud.restorable import OLDER_PARAMETERS, restorable_tenants_request
from airflow_provider_oceanbase.exceptions import (
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseRefusedError,
)
from airflow_provider_oceanbase.transport.requests_client import new_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Request
    from airflow_provider_oceanbase.hooks import OceanBaseHook

POLLS = 10
PAGE_SIZE = 100
#: How far back the list is read.
DAYS = 30
#: How many instances are asked for backup sets, if none is named.
_INSTANCES = 5
#: The times of a set by which ``startTime`` may filter.
MOMENTS = ("startTime", "checkpoint", "endTime")
#: Between two moments there must be room for a time in whole seconds that is neither.
_ROOM = timedelta(seconds=2)


@dataclass
class Observations:
    """What was seen; what could not be requested is None or empty."""

    instances: Seen
    #: Texts of the connection and the command line that no report may hold.
    private: tuple[str, ...] = ()
    has_project: bool = False
    without_project: Seen | None = None
    #: Whether the instance that was named has no backup set, and is not in the list of instances.
    is_unknown: bool = False
    #: The first page of the list, of up to :data:`PAGE_SIZE` sets.
    page: Seen | None = None
    #: Its first pages with a size of one set, and a page behind its end.
    small_pages: list[Seen] = field(default_factory=list)
    beyond: Seen | None = None
    #: A set of the list, and its details by its ``backupSetId``.
    listed: Mapping[str, Any] | None = None
    details: Seen | None = None
    unknown_backup: Seen | None = None
    unknown_instance: Seen | None = None
    list_of_unknown_instance: Seen | None = None
    #: A set with times that lie apart; lists from a time on, by the moments of the set after that time.
    filtered: Mapping[str, Any] | None = None
    filters: list[tuple[frozenset[str], Seen]] = field(default_factory=list)
    polls: list[Seen] = field(default_factory=list)
    #: The tenants that can be restored: by the request as it is, then with each parameter that is demanded.
    restorable: list[Seen] = field(default_factory=list)
    #: Documented parameters that the refusals of these requests name.
    demanded: list[str] = field(default_factory=list)

    @property
    def sets(self) -> list[Mapping[str, Any]]:
        """The sets of the list, as they came."""
        return items_of(self.page)

    @property
    def all(self) -> list[Seen]:
        """Everything that came back, in order."""
        single = (
            self.without_project,
            self.page,
            *self.small_pages,
            self.beyond,
            self.details,
            self.unknown_backup,
            self.unknown_instance,
            self.list_of_unknown_instance,
            *(seen for _, seen in self.filters),
            *self.restorable,
            *self.polls,
        )
        return [self.instances, *(seen for seen in single if seen is not None)]


def items_of(seen: Seen | None) -> list[Mapping[str, Any]]:
    """Return the objects in the list that came back."""
    items = seen.data.get("dataList") if seen is not None and isinstance(seen.data, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def observe(hook: OceanBaseHook, instance_id: str | None, say: Callable[[str], None]) -> Observations:
    """Request everything; after a failure of the first request that would meet the others too, nothing else.

    :param instance_id: the instance to look at, None for the first with backup sets
    :param say: takes what is requested next, in words
    """
    say("the list of instances")
    observer = Observer(hook.get_conn(), hook.endpoint, hook.log)
    found = Observations(
        observer.observe(_raw(InstanceList().page(1)), retry=False),
        private=_private(hook.endpoint, instance_id),
    )
    first = found.instances
    # No JSON is the answer of something that is not the API: a login page, a proxy.
    if first.status in (None, 401, 429) or first.status >= 500 or first.envelope is None:
        return found
    say("the list of instances without a project")
    found.has_project = hook.endpoint.project_id is not None
    _without_project(found, hook)
    say("the backup sets")
    known = [item["instanceId"] for item in items_of(found.instances) if _is_id(item.get("instanceId"))]
    for candidate in [instance_id] if instance_id is not None else known[:_INSTANCES]:
        backup_sets = _list(candidate)
        found.page = observer.observe(_raw(backup_sets.page(1)))
        instance_id = candidate
        if found.sets:
            break
    if instance_id is None:
        return found
    found.is_unknown = not found.sets and _is_not_listed(hook, instance_id)
    listed = [one for one in found.sets if _is_id(one.get("backupSetId"))]
    found.listed = next(filter(is_complete, listed), next(iter(listed), None))
    _pages(found, observer, instance_id, say)
    _unknown(found, observer, instance_id, say)
    _filters(found, observer, instance_id, say)
    say("what can be restored")
    _restorable(found, observer, instance_id)
    say(f"{POLLS} polls")
    _polls(found, observer, instance_id)
    return found


def is_complete(backup_set: Mapping[str, Any]) -> bool:
    """Return whether a set seems to be complete, whatever the service's word for DONE."""
    status = backup_set.get("status")
    return is_word(status) and status.upper() not in (*FAILURE_STATUSES, *IN_PROGRESS_STATUSES)


def _is_not_listed(hook: OceanBaseHook, instance_id: str) -> bool:
    """Return whether the whole list of instances, which may have several pages, is known not to hold one."""
    with suppress(OceanBaseCloudError):
        return all(one["instanceId"] != instance_id for one in hook.fetch(InstanceList()).data)
    return False


def _private(endpoint: Endpoint, instance_id: str | None) -> tuple[str, ...]:
    texts = (
        endpoint.conn_id,
        endpoint.origin,
        endpoint.access_key_id,
        endpoint.access_key_secret,
        endpoint.project_id,
        endpoint.proxy,
        instance_id,
    )
    return tuple(text for text in texts if text)


def _is_id(value: object) -> bool:
    """Return whether a value can be requested as an ID."""
    with suppress(OceanBaseInputError):
        return is_word(value) and path_segment("ID", value) != ""
    return False


def _raw(request: Request[Any]) -> Request[Any]:
    """Return a request whose data may have any shape, and need not be all."""
    return replace(request, read=lambda data: data, shortfall=lambda _: None)


def _list(instance_id: str, *, since: datetime | None = None, page_size: int = PAGE_SIZE) -> BackupSetList:
    start_time = utc("start_time", since or datetime.now(UTC) - timedelta(days=DAYS))
    return BackupSetList(instance_id, start_time=start_time, page_size=page_size)


def _without_project(found: Observations, hook: OceanBaseHook) -> None:
    if not found.has_project:
        found.without_project = found.instances
        return
    endpoint = replace(hook.endpoint, project_id=None)
    with new_session(endpoint) as session:
        request = _raw(InstanceList().page(1))
        found.without_project = Observer(session, endpoint, hook.log).observe(request)


def _pages(found: Observations, observer: Observer, instance_id: str, say: Callable[[str], None]) -> None:
    if not found.sets:
        return
    say("its pages")
    small = _list(instance_id, page_size=1)
    found.small_pages = [observer.observe(_raw(small.page(number))) for number in (1, 2)]
    found.beyond = observer.observe(_raw(_list(instance_id).page(1000)))
    if found.listed is not None:
        say("the details of a set")
        found.details = observer.observe(_raw(backup_set_request(instance_id, found.listed["backupSetId"])))


def _unknown(found: Observations, observer: Observer, instance_id: str, say: Callable[[str], None]) -> None:
    say("what does not exist")
    known = found.listed["backupSetId"] if found.listed is not None else "bak-00000000"
    nobody, nothing = alike(instance_id), alike(known)
    found.unknown_backup = observer.observe(_raw(backup_set_request(instance_id, nothing)))
    found.unknown_instance = observer.observe(_raw(backup_set_request(nobody, nothing)))
    found.list_of_unknown_instance = observer.observe(_raw(_list(nobody).page(1)))


def alike(identifier: str) -> str:
    """Return an ID of the same form, which is nobody's: random from its last hyphen on."""
    head, hyphen, tail = identifier.rpartition("-")
    alphabets = (string.digits, string.ascii_lowercase, string.ascii_uppercase)

    def other(character: str) -> str:
        return next((secrets.choice(each) for each in alphabets if character in each), character)

    # Few characters may come out as they were, or as another ID.
    return head + hyphen + "".join(map(other, tail)) + secrets.token_hex(4) * (len(tail) < 8)


def _filters(found: Observations, observer: Observer, instance_id: str, say: Callable[[str], None]) -> None:
    """Request the list from times between the moments of one set, to see from which time on it is missing."""
    times = {}
    for one in found.sets:
        times = {name: parsed_time(one.get(name)) for name in MOMENTS}
        moments = sorted({time for time in times.values() if time is not None})
        if None not in times.values() and len(moments) > 1 and moments[1] - moments[0] >= _ROOM:
            found.filtered = one
            break
    else:
        return
    say("the list from several times on")
    # The last one is later than all of them.
    for before, after in zip(moments, [*moments[1:], moments[-1] + _ROOM], strict=True):
        if after - before < _ROOM:
            continue
        since = before + timedelta(seconds=1)
        later = frozenset(name for name, time in times.items() if time is not None and time > since)
        found.filters.append((later, observer.observe(_raw(_list(instance_id, since=since).page(1)))))


def _restorable(found: Observations, observer: Observer, instance_id: str) -> None:
    """Request what can be restored; as long as a refusal names another parameter, again with that one.

    Its value is a guess: which ones there are is not documented. That it is demanded shows in any case.
    """
    while True:
        given = dict.fromkeys(found.demanded, "true")
        request = restorable_tenants_request(instance_id, query_parameters=given)
        found.restorable.append(seen := observer.observe(_raw(request)))
        refusal = seen.envelope.get("errorMessage") if isinstance(seen.envelope, dict) else None
        words = re.findall(r"\w+", str(refusal)) if isinstance(seen.error, OceanBaseRefusedError) else []
        new = [name for name in OLDER_PARAMETERS if name in words and name not in found.demanded]
        if not new:
            return
        found.demanded += new


def _polls(found: Observations, observer: Observer, instance_id: str) -> None:
    request: Request[Any] = InstanceList(page_size=1).page(1)
    if found.listed is not None and found.details is not None and found.details.error is None:
        request = backup_set_request(instance_id, found.listed["backupSetId"])
    # The first may need a challenge, as after any failure: that is not what is measured.
    found.polls = [observer.observe(_raw(request), retry=False) for _ in range(1 + POLLS)][1:]
