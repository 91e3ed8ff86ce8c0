"""Tenants that can be restored, up to a time that moves on with the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.testing._script import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Begin and end of an interval; an end of None moves on with the clock.
Interval = tuple[datetime, datetime | None]


@dataclass
class RestorableScript:
    """A tenant that can be restored.

    :param name: its name
    :param tenant_id: its ID
    :param intervals: each in the API's format; an end of None moves on with the clock
    :param lag: how far that end is behind the clock
    :param fields: fields to set or add
    """

    name: str
    tenant_id: str
    intervals: Sequence[tuple[str, str | None]]
    lag: timedelta = timedelta()
    fields: Mapping[str, Any] = field(default_factory=dict)

    def item(self) -> dict[str, Any]:
        """Return the item of the list."""
        now = utc(datetime.now(UTC) - self.lag)
        return {
            "tenantId": self.tenant_id,
            "tenantName": self.name,
            "tenantMode": "MySQL",
            "status": "ONLINE",
            "backupSetRestoreSummaries": [],
            "timeIntervalList": [
                # Before it has begun, an interval has no end.
                {"startTime": begin, "endTime": end or max(begin, now), "storageType": "OSS"}
                for begin, end in self.intervals
            ],
            **self.fields,
        }


def of_backup_sets(backup_sets: Iterable[Mapping[str, Any] | None]) -> list[RestorableScript]:
    """Return the tenants of complete backup sets: each from the earliest checkpoint on, until now."""
    begins: dict[tuple[str, str], str] = {}
    for one in backup_sets:
        tenants = (one or {}).get("tenantBackupSetList")
        # A test may set what is none.
        for tenant in tenants if isinstance(tenants, list | tuple) else ():
            match tenant:
                case {
                    "status": "DONE",
                    "checkpoint": str(time),
                    "tenantName": str(name),
                    "tenantId": str(key),
                }:
                    begins[name, key] = min(begins.get((name, key), time), time)
    return [RestorableScript(name, tenant_id, [(begin, None)]) for (name, tenant_id), begin in begins.items()]
