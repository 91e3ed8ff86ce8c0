"""The state of the emulated cloud, and its responses to authorized requests; without HTTP."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_provider_oceanbase.testing._envelope import Failure
from airflow_provider_oceanbase.testing._restorable import RestorableScript, of_backup_sets
from airflow_provider_oceanbase.testing._script import TIME_FORMAT, BackupSetScript, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from airflow_provider_oceanbase.testing._profile import Profile

_FIRST_TIME = "1970-01-01T00:00:00Z"
_LAST_TIME = "9999-12-31T23:59:59Z"
_REQUIRED = ("backupObjectType", "backupPolicy")


class _BadRequestError(Exception):
    """The request is not as documented; the text says what is wrong."""


@dataclass
class Cloud:
    """The instances of an account and their backup sets. Not thread-safe: its owner holds a lock.

    :param clock: the time in seconds
    :param seconds_per_status: duration of each status of a backup that was not planned
    :param profile: how it answers where the documentation leaves that open
    :param projects: accepted values of ``X-Ob-Project-Id``; None: it is not checked
    """

    clock: Callable[[], float]
    seconds_per_status: float
    profile: Profile
    projects: Collection[str] | None
    sets: dict[tuple[str, str], BackupSetScript] = field(default_factory=dict)
    #: Tenants that can be restored, by instance and ID; without any, those of complete backup sets.
    restorable: dict[tuple[str, str], RestorableScript] = field(default_factory=dict)
    #: The next backups to start, by instance.
    planned: defaultdict[str, deque[BackupSetScript]] = field(default_factory=lambda: defaultdict(deque))
    _new_ids: Iterator[str] = field(default_factory=lambda: map("bak-started-{}".format, itertools.count(1)))

    def new_id(self) -> str:
        """Return a new backup task ID."""
        return next(self._new_ids)

    def add(self, instance_id: str, script: BackupSetScript, *, begun: bool) -> None:
        """Add a backup set; one with the same ID is replaced.

        :param begun: whether its first status begins now, and not with the first poll
        """
        script.add(self.clock() if begun else None)
        self.sets.pop((instance_id, script.backup_task_id), None)
        self.sets[instance_id, script.backup_task_id] = script

    def handle(self, method: str, path: str, query: Mapping[str, str], project: str | None, body: Any) -> Any:
        """Return the ``data`` of the response, or a :class:`Failure`.

        :param body: parsed JSON of the body
        """
        if (route := self._route(path, query, body)) is None:
            return Failure(404, error_message="No such path")
        allowed, action = route
        if method != allowed:
            return Failure(405, error_message="Method not allowed")
        if not query.get("requestId"):
            return Failure(400, error_message="requestId is required")
        if self.profile.project_required and not project:
            return Failure(400, error_message="X-Ob-Project-Id is required")
        if self.projects is not None and project not in self.projects:
            return Failure(403, error_message="No permission for this project")
        try:
            return action()
        except _BadRequestError as error:
            return Failure(400, error_message=str(error))

    def _route(self, path: str, query: Mapping[str, str], body: Any) -> tuple[str, Callable[[], Any]] | None:
        """Return the method that a path allows, and what it does; None for no path of the API."""
        match [unquote(segment) for segment in path.split("/")[1:]]:
            case ["api", "v2", "instances"]:
                return "GET", partial(self._list_instances, query)
            case ["api", "v2", "instances", instance_id, "backup", "data", "sets"]:
                return "GET", partial(self._list_sets, instance_id, query)
            case ["api", "v2", "instances", instance_id, "backup", "data", "sets", backup_task_id]:
                return "GET", partial(self._read_set, instance_id, backup_task_id, query)
            case ["api", "v2", "instances", instance_id, "backup", "restore", "tenants"]:
                return "GET", partial(self._list_restorable, instance_id, query)
            case ["api", "v2", "instances", instance_id, "backup", "data", "start"]:
                return "POST", partial(self._start, instance_id, body)
        return None

    def _list_instances(self, query: Mapping[str, str]) -> dict[str, Any]:
        instances = sorted({instance_id for instance_id, _ in [*self.sets, *self.restorable]})
        return self._page(
            [{"instanceId": instance_id, "status": "ONLINE"} for instance_id in instances], query
        )

    def _read_set(
        self, instance_id: str, backup_task_id: str, query: Mapping[str, str]
    ) -> dict[str, Any] | Failure | None:
        check_download = _check_download(query)
        script = self.sets.get((instance_id, backup_task_id))
        if script is None:
            return self.profile.unknown_backup_task()
        found = script.poll(self.clock(), check_download=check_download)
        return self.profile.as_read(found) if isinstance(found, dict) else found

    def _list_sets(self, instance_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        first, last = _time(query, "startTime", _FIRST_TIME), _time(query, "endTime", _LAST_TIME)
        check_download = _check_download(query)
        scripts = [script for (owner, _), script in reversed(self.sets.items()) if owner == instance_id]
        now = self.clock()
        if _positive(query, "pageNumber", 1) == 1:
            for script in scripts:
                script.count(now)
        # Of two that started in the same second, the one that was added later comes first.
        scripts.sort(key=lambda script: script.started_at, reverse=True)
        items = (
            script.item(now, check_download=check_download)
            for script in scripts
            if first <= script.started_at <= last
        )
        listed = [self.profile.as_read(self.profile.as_listed(item)) for item in items if item is not None]
        if not self.profile.newest_first:
            listed.reverse()
        return self._page(listed, query)

    def _page(self, listed: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
        number, size = _positive(query, "pageNumber", 1), _positive(query, "pageSize", 10)
        size = min(size, self.profile.max_page_size or size)
        end = number * size
        counts = {"total": len(listed), "hasMore": end < len(listed)}
        return {
            "dataList": listed[end - size : end],
            **{name: counts[name] for name in self.profile.page_fields},
        }

    def _list_restorable(self, instance_id: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        for name in self.profile.restore_requires:
            if not query.get(name):
                raise _BadRequestError(f"{name} is required")
        found = [script for (owner, _), script in self.restorable.items() if owner == instance_id]
        if not found:
            now = self.clock()
            scripts = [script for (owner, _), script in self.sets.items() if owner == instance_id]
            found = of_backup_sets(script.item(now, check_download=False) for script in scripts)
        wanted = query.get("tenantId")
        items = (script.item() for script in found if wanted in (None, script.tenant_id))
        return [self.profile.as_read(item) for item in items]

    def _start(self, instance_id: str, body: Any) -> dict[str, str]:
        if not isinstance(body, dict):
            raise _BadRequestError("the body must be a JSON object")
        for name in _REQUIRED:
            if not isinstance(body.get(name), str) or not body[name]:
                raise _BadRequestError(f"{name} is required")
        if not isinstance(body.get("needPreCheck", False), bool):
            raise _BadRequestError("needPreCheck must be true or false")
        planned = self.planned[instance_id]
        if planned:
            script = planned.popleft()
        else:
            script = BackupSetScript(self.new_id(), seconds_per_status=self.seconds_per_status)
        self.add(instance_id, script, begun=True)
        return {"backupTaskId": script.backup_task_id}


def _check_download(query: Mapping[str, str]) -> bool:
    text = query.get("checkBackupSetDownloadEnable", "false")
    if text not in ("true", "false"):
        raise _BadRequestError("checkBackupSetDownloadEnable must be true or false")
    return text == "true"


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise _BadRequestError(f"{name} must be a whole number from 1")
    return int(text)


def _time(query: Mapping[str, str], name: str, default: str) -> str:
    text = query.get(name, default)
    try:
        # strptime also accepts "2026-1-9", which does not compare as text.
        if utc(datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)) == text:
            return text
    except ValueError:
        pass
    raise _BadRequestError(f"{name} must be a time in UTC such as 2026-01-19T10:30:53Z")
