"""What is kept of a start between the tries of a task, and what the start was for: plain code without I/O."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._texts import shown

if TYPE_CHECKING:
    from pydantic import JsonValue

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Request

#: How a backup is started, not which.
_MANNERS = ("needPreCheck",)


def purpose_of(request: Request[str], endpoint: Endpoint) -> str:
    """Return a digest of all that decides which backup a request starts, and where.

    That is the host and the project of the connection, and of the arguments all but ``need_pre_check``: the
    instance, the kind of backup, the tenant, databases and tables in any order. The AccessKey is no part of
    it: it is replaced now and then.

    Another recipe needs another field of :class:`KeptStart`, since digests that differ mean other backups.
    """
    # As it is sent: keys are texts then, and a tuple is a list.
    body = json.loads(json.dumps(request.body))
    of_backup = {name: value for name, value in body.items() if name not in _MANNERS}
    purpose = [endpoint.origin, endpoint.project_id, request.path, _without_order(of_backup)]
    return hashlib.sha256(json.dumps(purpose, sort_keys=True).encode()).hexdigest()


def _without_order(value: Any) -> Any:
    """Return JSON with its lists sorted: a set, for one, has another order in each process."""
    match value:
        case dict():
            return {name: _without_order(item) for name, item in value.items()}
        case list():
            return sorted(map(_without_order, value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


@dataclass(frozen=True, slots=True)
class KeptStart:
    """A start of a backup, as a task keeps it for its later tries; None for what is not known.

    :param backup_task_id: ID of the backup task; not known while the backup is being started
    :param starting_since: when the start began: ISO 8601
    :param purpose: what it is for, from :func:`purpose_of`; earlier releases did not keep it
    :param run: what Airflow counts up when somebody clears the task, but not at a retry: ``max_tries``, as it
        was at the start, or when a later try took it up
    :param reported: whether ``BackupStartUnknownError`` was raised for it, in that run
    """

    backup_task_id: str | None = None
    starting_since: str | None = None
    purpose: str | None = None
    run: int | None = None
    reported: bool = False

    @classmethod
    def from_json(cls, value: JsonValue) -> KeptStart:
        """Read what is kept: a bare ID is of an earlier release, and what cannot be read is a start, too."""
        fields = {"backup_task_id": value} if isinstance(value, str) else value
        if not isinstance(fields, dict):
            return cls()
        texts = {name: _of_type(str, fields.get(name)) for name in _TEXTS}
        return cls(**texts, run=_of_type(int, fields.get("run")), reported=fields.get("reported") is True)

    def to_json(self) -> dict[str, JsonValue]:
        """Return what to keep."""
        return {
            name: value for name, value in asdict(self).items() if value is not None and value is not False
        }

    @property
    def name(self) -> str:
        """What was started, in words."""
        return f"backup task {shown(self.backup_task_id)!r}" if self.backup_task_id else "a backup"

    @property
    def since(self) -> str:
        """When it was started, in words."""
        return self.starting_since or "an unknown time"

    def began(self, now: float) -> float:
        """Return when the start began, in seconds since the epoch; now if that is not known."""
        try:
            began = datetime.fromisoformat(self.starting_since or "").astimezone(UTC).timestamp()
        except (ValueError, OverflowError, OSError):
            return now
        # If the clock was set back, it begins now.
        return min(began, now)


_TEXTS = ("backup_task_id", "starting_since", "purpose")


def _of_type(kind: type[Any], value: object) -> Any:
    return value if isinstance(value, kind) and value != "" else None
