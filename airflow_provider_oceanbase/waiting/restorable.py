"""The condition that tenants can be restored to a point in time: plain code without I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.arguments import checked_names
from airflow_provider_oceanbase.cloud.backup_set import CLOCKS_DIFFER
from airflow_provider_oceanbase.cloud.backup_sets import checked_time
from airflow_provider_oceanbase.cloud.intervals import Interval, TenantIntervals, read_tenant_list
from airflow_provider_oceanbase.cloud.restorable import checked_parameters, restorable_tenants_request
from airflow_provider_oceanbase.exceptions import OceanBaseMalformedResponseError, PointNotRestorableError
from airflow_provider_oceanbase.waiting.advice import LOCAL_TIMES, NOT_RESTORABLE
from airflow_provider_oceanbase.waiting.arguments import is_left_out
from airflow_provider_oceanbase.waiting.doubts import (
    SHOWN_TENANTS,
    advice,
    doubts_of_names,
    doubts_of_wait,
    some,
)
from airflow_provider_oceanbase.waiting.progress import span
from airflow_provider_oceanbase.waiting.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_oceanbase.cloud.intervals import TenantList
    from airflow_provider_oceanbase.cloud.query import Query, Request
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

#: So many tenants at most in an XCom, which is a row of Airflow's database.
_MAX_TENANTS = 100
_WORD_CHARACTERS = 200
_HALF_A_DAY = timedelta(hours=12)
_NEVER = datetime.min.replace(tzinfo=UTC)


class RestorePointTenant(TypedDict):
    """A tenant that can be restored to the time, and the interval that contains it."""

    tenantId: str
    tenantName: str | None
    startTime: str
    endTime: str
    storageType: str | None


class RestorePoint(TypedDict):
    """What ``RestorablePointSensor`` pushes to XCom: at most 100 tenants, and how many there are."""

    instanceId: str
    restoreTime: str
    tenantCount: int
    tenants: list[RestorePointTenant]


@dataclass(frozen=True, slots=True)
class RestorableCondition:
    """Tenants of an instance can be restored to a point in time.

    :param instance_id: ID of the OceanBase cluster
    :param restore_time: the point in time: ISO 8601, with a time zone
    :param tenants: names or IDs of the tenants; empty: all that are listed, and at least one
    :param fail_if_unreachable: whether to end the wait with ``PointNotRestorableError`` when all intervals of
        a tenant begin later
    :param query_parameters: further parameters of the request, by the API's names
    :raises OceanBaseInputError: ``tenants`` or ``query_parameters`` is unusable
    """

    missing: ClassVar[str] = "not restorable to that time"
    stuck: ClassVar[str] = NOT_RESTORABLE
    instance_id: str
    restore_time: str
    tenants: Collection[str] = ()
    fail_if_unreachable: bool = True
    query_parameters: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        tenants = [] if is_left_out(self.tenants) else checked_names("tenants", self.tenants)
        # A tenant that is named twice is waited for once.
        object.__setattr__(self, "tenants", list(dict.fromkeys(tenants)))
        given = self.query_parameters
        parameters = None if is_left_out(given) else checked_parameters("query_parameters", given)
        object.__setattr__(self, "query_parameters", parameters)

    @property
    def name(self) -> str:
        """The instance."""
        return shown(str(self.instance_id))

    @property
    def details(self) -> str:
        """The point in time."""
        return f"wanted: restorable to {self.restore_time}"

    @property
    def query(self) -> Query[TenantList]:
        """What to request: all tenants of the instance, so that all waits for it send equal queries.

        Waits that share an answer share what is read of it, too.

        :raises OceanBaseInputError: an argument is unusable, ``restore_time`` too: nothing is sent in vain
        """
        checked_time("restore_time", self.restore_time)
        request: Request[Any] = restorable_tenants_request(
            self.instance_id, query_parameters=self.query_parameters
        )
        return replace(request, read=read_tenant_list)

    def judge(self, listed: TenantList, request_id: str) -> Verdict:
        """Judge the tenants that are listed."""
        time = checked_time("restore_time", self.restore_time)
        if future := listed.ending_after(datetime.now(UTC) + CLOCKS_DIFFER):
            return self._untimely(*future, request_id)
        tenants, missing = self._wanted(listed)
        intervals = [(tenant, tenant.containing(time)) for tenant in tenants]
        ready = [(tenant, interval) for tenant, interval in intervals if interval]
        waiting = [tenant for tenant, interval in intervals if not interval]
        count = len(tenants) + len(missing)
        about = f"instance {self.name!r}, {self.details}"
        notices = [doubt.notice(about) for doubt in doubts_of_names(listed, self.tenants, tenants)]
        if count and len(ready) == count:
            status = f"{_tenants(count)} restorable to {self.restore_time}"
            return Verdict(status, found=self._point(ready), notices=notices)
        status = f"{len(ready)} of {_tenants(count)} restorable" if count else "no tenant listed"
        lost = [tenant for tenant in waiting if tenant.begins_after(time)]
        if lost and self.fail_if_unreachable:
            return Verdict(status, notices=notices, failure=self._failure(lost, request_id))
        # The one that lacks most comes first.
        waiting.sort(key=lambda tenant: tenant.up_to(time) or _NEVER)
        doubts = [*doubts_of_wait(listed, missing, waiting, time, datetime.now(UTC))]
        about = f"instance {self.name!r} keeps waiting ({self.details})"
        notices += [doubt.notice(about) for doubt in doubts]
        lines = chain(
            (f"{shown(name)} not listed" for name in missing),
            (_outlook(tenant, time) for tenant in waiting),
        )
        progress = some(lines, count - len(ready))
        return Verdict(status, notices=notices, progress=progress, advice=advice(doubts))

    def judge_error(self, error: OceanBaseCloudError, status: str | None) -> Verdict | None:
        """Judge no error: it says nothing about the tenants."""
        return None

    def summary(self, found: RestorePoint) -> dict[str, Any]:
        """Return the point."""
        return dict(found)

    def described(self, found: RestorePoint) -> str:
        """Return up to when the tenants can be restored."""
        tenants = found["tenants"][:SHOWN_TENANTS]
        more = ", …" if found["tenantCount"] > len(tenants) else ""
        listed = (f"{one['tenantName'] or one['tenantId']} up to {one['endTime']}" for one in tenants)
        return f"; {', '.join(listed)}{more}"

    def _wanted(self, listed: TenantList) -> tuple[Collection[TenantIntervals], list[str]]:
        """Return the tenants that are waited for, and the names of those that are not listed."""
        if not self.tenants:
            return listed.tenants, []
        found = dict.fromkeys(tenant for name in self.tenants for tenant in listed.named(name))
        return found, [name for name in self.tenants if not listed.named(name)]

    def _untimely(self, tenant: TenantIntervals, interval: Interval, request_id: str) -> Verdict:
        """Give up: a local time that counts as UTC makes of any time one that can be restored.

        It shows in the future only of a tenant whose log archive is up to date. But a service that writes
        local times does so for all.
        """
        end = interval.end_text
        error = OceanBaseMalformedResponseError(
            f"Interval ends in the future ({end}, tenant {tenant.quoted})",
            subject=f"the restorable tenants of instance {self.name!r}",
            request_id=request_id,
            hint=f"{LOCAL_TIMES} Correct the clock, or run airflow oceanbase check.",
        )
        return Verdict(f"{tenant.label} restorable up to {end}, in the future", failure=error)

    def _failure(self, lost: list[TenantIntervals], request_id: str) -> PointNotRestorableError:
        first = lost[0]
        more = f", as {len(lost) - 1} more" if len(lost) > 1 else ""
        return PointNotRestorableError(
            f"tenant {first.short_name!r} (ID {shown(first.tenant_id)}) only from {first.begin} on{more}",
            instance_id=self.instance_id,
            restore_time=self.restore_time,
            request_id=request_id,
        )

    def _point(self, ready: list[tuple[TenantIntervals, Interval]]) -> RestorePoint:
        return RestorePoint(
            instanceId=self.instance_id,
            restoreTime=self.restore_time,
            tenantCount=len(ready),
            tenants=[_of_point(tenant, interval) for tenant, interval in ready[:_MAX_TENANTS]],
        )


def _of_point(tenant: TenantIntervals, interval: Interval) -> RestorePointTenant:
    return RestorePointTenant(
        tenantId=shown(tenant.tenant_id),
        tenantName=_word(tenant.name or None),
        startTime=interval.start_text,
        endTime=interval.end_text,
        storageType=_word(interval.storage_type),
    )


def _word(value: object) -> str | None:
    return shown(value[:_WORD_CHARACTERS]) if isinstance(value, str) else None


def _tenants(count: int) -> str:
    return f"{count} tenant{'s' * (count != 1)}"


def _outlook(tenant: TenantIntervals, time: datetime) -> str:
    """Return up to when a tenant can be restored, and how much is missing."""
    if gap := tenant.gap_around(time):
        return f"{tenant.label} restorable up to {gap[0]} and from {gap[1]}"
    if end := tenant.up_to(time):
        return f"{tenant.label} restorable up to {_clock(end)}, {span((time - end).total_seconds())} to go"
    if tenant.begin is not None:
        return f"{tenant.label} restorable only from {tenant.begin} on"
    if tenant.is_malformed:
        return f"{tenant.label} has an entry that cannot be read"
    if tenant.odd is not None:
        return f"{tenant.label} has intervals that cannot be read"
    return f"{tenant.label} not restorable yet"


def _clock(time: datetime) -> str:
    """Return a time, which is UTC; with its date, if it is not of today."""
    is_near = abs(datetime.now(UTC) - time) < _HALF_A_DAY
    return f"{time:%H:%M} UTC" if is_near else f"{time:%Y-%m-%d %H:%M} UTC"
