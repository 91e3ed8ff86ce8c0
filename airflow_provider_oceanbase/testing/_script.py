"""Backup sets whose status changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oceanbase.testing._envelope import Failure

#: The API's format of times.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
STATUSES = ("BEGINNING", "DOING", "DONE")
TENANTS = ("test1", "test2")
#: Size of a complete backup in GB: that of the vendor's example.
_SIZE = 0.06
_UNFINISHED = ("BEGINNING", "INITIALIZING", "DOING", "CANCELING", "UNKNOWN")

#: None: a response without data (not registered yet); a number: a failure with that HTTP status.
Statuses = Sequence[str | int | None]
#: Names, or a dict from names to fields to set or add; None for a null list.
Tenants = Sequence[str] | Mapping[str, Mapping[str, Any]] | None


def utc(time: datetime) -> str:
    """Return a time in the API's format."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone; give an aware datetime")
    return time.astimezone(UTC).strftime(TIME_FORMAT)


def check_seconds(seconds_per_status: float) -> None:
    """Check the duration of a status.

    :raises ValueError: it is below 0.001 seconds, or no number
    """
    if not 0.001 <= seconds_per_status < math.inf:
        raise ValueError(f"seconds_per_status is {seconds_per_status}; give a number from 0.001")


def _utc_now() -> str:
    return utc(datetime.now(UTC))


@dataclass
class BackupSetScript:
    """A backup set whose status changes by polls or by time; the last status stays.

    :param backup_task_id: its ID
    :param statuses: its statuses, one after another
    :param polls_per_status: number of polls that get each status
    :param seconds_per_status: duration of each status; replaces ``polls_per_status``
    :param tenants: its tenants
    :param fields: fields of ``data`` to set or add
    :param start_time: in the API's format; None: when it begins
    :param checkpoint: null until the backup ends; None: the end time
    :param end_time: null until the backup ends; None: the time of the first response with a final status
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
    #: Lists are ordered and filtered by it.
    started_at: str = ""
    _began: float | None = None
    _ended_at: str | None = None

    def __post_init__(self) -> None:
        if self.seconds_per_status is not None:
            check_seconds(self.seconds_per_status)

    def add(self, now: float | None) -> None:
        """Take its place among the others.

        :param now: when its first status begins, by the emulator's clock; None: with the first poll
        """
        self._began = now
        self.started_at = self.start_time or _utc_now()

    def count(self, now: float) -> None:
        """Count a poll."""
        self.polls += 1
        if self._began is None:
            self._began = now
            self.started_at = self.start_time or _utc_now()

    def poll(self, now: float, *, check_download: bool) -> dict[str, Any] | Failure | None:
        """Count a poll; return the ``data`` of its response, or the failure that replaces it."""
        self.count(now)
        status = self._past_statuses(now)[-1]
        if isinstance(status, int):
            return Failure(status)
        return None if status is None else self._set(status, now, check_download)

    def item(self, now: float, *, check_download: bool) -> dict[str, Any] | None:
        """Return the item of a list, None if it is not registered yet; this does not count as a poll."""
        past = (status for status in reversed(self._past_statuses(now)) if not isinstance(status, int))
        status = next(past, None)
        return (
            None if status is None else {"storageClass": "STANDARD", **self._set(status, now, check_download)}
        )

    def _past_statuses(self, now: float) -> Statuses:
        """The statuses up to that of the latest poll, or up to the present one if they change by time."""
        return self.statuses[: int(self._steps(now)) + 1]

    def _steps(self, now: float) -> float:
        """How many statuses are over, with the fraction of the present one."""
        if self.seconds_per_status is None:
            return max(self.polls - 1, 0) // self.polls_per_status
        return 0.0 if self._began is None else (now - self._began) / self.seconds_per_status

    def _set(self, status: str, now: float, check_download: bool) -> dict[str, Any]:
        self._ended_at = None if status in _UNFINISHED else self._ended_at or self.end_time or _utc_now()
        # It grows up to the last status.
        progress = self._steps(now) / max(len(self.statuses) - 1, 1) if status in _UNFINISHED else 1.0
        size = {"dataBackupSize": round(_SIZE * min(progress, 1.0), 4)}
        of_set = {"backupObjectType": "CLUSTER", "tenantId": "sys", "tenantName": "*"}
        data = self._data(status, check_download) | of_set | size
        tenants = self._tenants(status, check_download, size)
        return {**data, "tenantBackupSetList": tenants, **self.fields}

    def _tenants(
        self, status: str, check_download: bool, common: Mapping[str, Any]
    ) -> list[dict[str, Any]] | None:
        if self.tenants is None:
            return None
        fields: Mapping[str, Mapping[str, Any]] = self.tenants if isinstance(self.tenants, Mapping) else {}
        return [
            {
                **self._data(fields.get(name, {}).get("status", status), check_download, suffix=f"-{number}"),
                **common,
                "backupObjectType": "TENANT",
                "tenantId": f"t{number}",
                "tenantName": name,
                **fields.get(name, {}),
            }
            for number, name in enumerate(self.tenants, start=1002)
        ]

    def _data(self, status: str, check_download: bool, suffix: str = "") -> dict[str, Any]:
        """The fields that the set and its tenants' sets have in common."""
        return {
            "backupMode": "PHYSICAL_BACKUP",
            "backupSetId": f"{self.backup_task_id}{suffix}",
            "checkpoint": self._ended_at and (self.checkpoint or self._ended_at),
            "dataBackupMode": "FULL_BACKUP",
            "dataVersion": 1,
            "downloadEnabled": check_download and status == "DONE",
            "downloadTaskId": -1,
            "endTime": self._ended_at,
            "startTime": self.started_at,
            "status": status,
            "triggerMode": "BACKUP_NOW",
            "validity": "VALID" if status == "DONE" else None,
        }
