"""Backup sets that walk through statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oceanbase.testing._envelope import Failure

#: How the API writes times.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
STATUSES = ("BEGINNING", "DOING", "DONE")
TENANTS = ("test1", "test2")
_WAITING = ("BEGINNING", "INITIALIZING", "DOING", "CANCELING", "UNKNOWN")

#: None stands for an answer without data (not registered yet), a number for a failure with that HTTP status.
Statuses = Sequence[str | int | None]
#: Names, or names with the fields of each to set or add; None for a null list.
Tenants = Sequence[str] | Mapping[str, Mapping[str, Any]] | None


def utc(time: datetime) -> str:
    """Return a time as the API writes it."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone; give an aware datetime")
    return time.astimezone(UTC).strftime(TIME_FORMAT)


def _utc_now() -> str:
    return utc(datetime.now(UTC))


@dataclass
class BackupSetScript:
    """A backup set that walks through statuses, by polls or by time; the last one stays.

    :param backup_task_id: its ID
    :param statuses: what it walks through
    :param polls_per_status: how many polls are answered with each status
    :param seconds_per_status: how long each status lasts; where it is given, polls do not count
    :param tenants: its tenants
    :param fields: fields of ``data`` to set or add
    :param start_time: as the API writes it; None: when it begins
    :param checkpoint: shown once it has ended; None: the end time
    :param end_time: shown once it has ended; None: when an answer first says so
    """

    backup_task_id: str
    statuses: Statuses = STATUSES
    polls_per_status: int = 1
    seconds_per_status: float | None = None
    tenants: Tenants = TENANTS
    fields: Mapping[str, Any] = field(default_factory=dict)
    start_time: str | None = None
    checkpoint: str | None = None
    end_time: str | None = None
    polls: int = 0
    #: Where it stands in the order of backup sets, and what a list's ``startTime`` and ``endTime`` go by.
    started_at: str = ""
    _began: float = 0.0
    _ended_at: str | None = None

    def begin(self, now: float) -> None:
        """Begin the walk at a time of the emulator's clock, in seconds."""
        self._began = now
        self.started_at = self.start_time or _utc_now()

    def poll(self, now: float, *, check_download: bool) -> dict[str, Any] | Failure | None:
        """Return the ``data`` of the answer to the next poll, or the failure that takes its place."""
        self.polls += 1
        status = self._walked(now)[-1]
        if isinstance(status, int):
            return Failure(status)
        return None if status is None else self._set(status, check_download)

    def item(self, now: float, *, check_download: bool) -> dict[str, Any] | None:
        """Return it as an item of a list, None where it is not registered yet; this is not a poll."""
        walked = (status for status in reversed(self._walked(now)) if not isinstance(status, int))
        status = next(walked, None)
        return None if status is None else {"storageClass": "STANDARD", **self._set(status, check_download)}

    def _walked(self, now: float) -> Statuses:
        """The statuses up to the one that the latest poll saw, or that it has now."""
        if self.seconds_per_status is None:
            step = max(self.polls - 1, 0) // self.polls_per_status
        else:
            step = int((now - self._began) / self.seconds_per_status)
        return self.statuses[: step + 1]

    def _set(self, status: str, check_download: bool) -> dict[str, Any]:
        self._ended_at = None if status in _WAITING else self._ended_at or self.end_time or _utc_now()
        of_set = {"backupObjectType": "CLUSTER", "tenantId": "sys", "tenantName": "*"}
        data = self._data(status, check_download) | of_set
        return {**data, "tenantBackupSetList": self._tenants(status, check_download), **self.fields}

    def _tenants(self, status: str, check_download: bool) -> list[dict[str, Any]] | None:
        if self.tenants is None:
            return None
        fields: Mapping[str, Mapping[str, Any]] = self.tenants if isinstance(self.tenants, Mapping) else {}
        return [
            {
                **self._data(fields.get(name, {}).get("status", status), check_download, suffix=f"-{number}"),
                "backupObjectType": "TENANT",
                "tenantId": f"t{number}",
                "tenantName": name,
                **fields.get(name, {}),
            }
            for number, name in enumerate(self.tenants, start=1002)
        ]

    def _data(self, status: str, check_download: bool, suffix: str = "") -> dict[str, Any]:
        """The fields that the set and each tenant's have in common."""
        return {
            "backupMode": "PHYSICAL_BACKUP",
            "backupSetId": f"{self.backup_task_id}{suffix}",
            "checkpoint": self._ended_at and (self.checkpoint or self._ended_at),
            "dataBackupMode": "FULL_BACKUP",
            "dataBackupSize": 0.06,
            "dataVersion": 1,
            "downloadEnabled": check_download and status == "DONE",
            "downloadTaskId": -1,
            "endTime": self._ended_at,
            "startTime": self.started_at,
            "status": status,
            "triggerMode": "BACKUP_NOW",
            "validity": "VALID" if status == "DONE" else None,
        }
