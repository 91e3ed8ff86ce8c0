"""What the emulator answers: backup sets that walk through statuses, and failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WAITING = ("BEGINNING", "INITIALIZING", "DOING", "CANCELING", "UNKNOWN")


def _utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Failure:
    """An answer that takes the place of the right one.

    :param status: HTTP status
    :param error_code: ``errorCode`` of the envelope
    :param error_message: ``errorMessage`` of the envelope
    :param headers: further headers
    :param body: sent as it is, in place of the envelope
    :param drop: close the connection without an answer
    """

    status: int
    error_code: str = "E001R000"
    error_message: str = "Unknown Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop: bool = False


@dataclass
class BackupSetScript:
    """A backup set that walks through statuses, by polls or by time; the last one stays.

    :param backup_task_id: its ID
    :param statuses: None stands for an answer without data (not registered yet), a number for a failure
        with that HTTP status
    :param polls_per_status: how many polls are answered with each status
    :param seconds_per_status: how long each status lasts; where it is given, polls do not count
    :param tenants: names of the tenants, None for a null list
    :param fields: fields of ``data`` to set or add
    :param began: when the walk began, in seconds of the emulator's clock
    """

    backup_task_id: str
    statuses: Sequence[str | int | None]
    polls_per_status: int
    seconds_per_status: float | None
    tenants: Sequence[str] | None
    fields: Mapping[str, Any]
    began: float
    polls: int = 0
    _start_time: str = field(default_factory=_utc_now)
    _end_time: str | None = None

    def poll(self, now: float, *, check_download: bool) -> dict[str, Any] | Failure | None:
        """Return the ``data`` of the answer to the next poll, or the failure that takes its place."""
        status = self._status(now)
        self.polls += 1
        if status is None:
            return None
        if isinstance(status, int):
            return Failure(status)
        self._end_time = (self._end_time or _utc_now()) if status not in _WAITING else None
        data = self._data(
            status, object_type="CLUSTER", download=check_download, tenant_id="sys", tenant_name="*"
        )
        tenants = [
            self._data(
                status,
                object_type="TENANT",
                download=check_download,
                suffix=f"-{1002 + index}",
                tenant_id=f"t{1002 + index}",
                tenant_name=name,
            )
            for index, name in enumerate(self.tenants or ())
        ]
        return {**data, "tenantBackupSetList": None if self.tenants is None else tenants, **self.fields}

    def _status(self, now: float) -> str | int | None:
        if self.seconds_per_status is None:
            step = self.polls // self.polls_per_status
        else:
            step = int((now - self.began) / self.seconds_per_status)
        return self.statuses[min(step, len(self.statuses) - 1)]

    def _data(
        self,
        status: str,
        *,
        object_type: str,
        download: bool,
        tenant_id: str,
        tenant_name: str,
        suffix: str = "",
    ) -> dict[str, Any]:
        return {
            "backupMode": "PHYSICAL_BACKUP",
            "backupObjectType": object_type,
            "backupSetId": f"{self.backup_task_id}{suffix}",
            "checkpoint": self._end_time,
            "dataBackupMode": "FULL_BACKUP",
            "dataBackupSize": 0.06,
            "dataVersion": 1,
            "downloadEnabled": download and status == "DONE",
            "downloadTaskId": -1,
            "endTime": self._end_time,
            "startTime": self._start_time,
            "status": status,
            "tenantId": tenant_id,
            "tenantName": tenant_name,
            "triggerMode": "BACKUP_NOW",
            "validity": "VALID" if status == "DONE" else None,
        }
