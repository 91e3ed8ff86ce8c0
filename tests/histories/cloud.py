"""OceanBase Cloud in a history: backup sets that begin, end and go, and faults of each kind."""

from __future__ import annotations

import errno
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from histories.clock import Clock
from histories.points import Restorable
from histories.wire import Reply

#: Where the API is.
ADDRESS = ("127.0.0.1", 8443)
#: What can happen to a request; what is said of one that starts a backup holds for all.
FAULTS = (
    "reset",  # before the request was received
    "lost",  # after it was received, but before it was served
    "lost answer",
    "hangs",
    "served, hangs",
    "503",
    "503, served",
    "429",
    "page",  # a proxy's HTML in place of the answer, which was served
    "interim",  # 102 before the answer
)
_SERVED = ("lost answer", "served, hangs", "503, served", "page", "interim")
_CHALLENGE = 'Digest realm="api", nonce="of-the-history", qop="auth", algorithm=MD5'


@dataclass(eq=False)
class Backup:
    """A backup set, from its beginning to its end.

    :param project: project of the instance
    :param tenant: ID of the tenant that it holds, None: it is of the whole instance
    :param began: when it began, in seconds of the history
    :param registers: seconds until it can be read
    :param takes: seconds until it ends
    :param ends: its last status
    """

    name: str
    project: str
    instance: str
    tenant: str | None
    began: float
    registers: float
    takes: float
    ends: str = "DONE"
    validity: str = "VALID"
    deleted: float | None = None

    @property
    def done_at(self) -> float:
        return self.began + max(self.takes, self.registers)

    def status(self, now: float) -> str | None:
        """Return its status, None if it cannot be read."""
        if now < self.began + self.registers or self.is_deleted(now):
            return None
        return self.ends if now >= self.began + self.takes else "DOING"

    def is_deleted(self, now: float) -> bool:
        return self.deleted is not None and self.deleted <= now

    def is_good(self, now: float) -> bool:
        return self.ends == "DONE" and self.validity == "VALID" and now >= self.done_at

    def has_failed(self, now: float) -> bool:
        return now >= self.done_at and self.ends != "DONE"


@dataclass
class Fault:
    """What happens to one request.

    :param kind: one of :data:`FAULTS`
    :param early: whether it may happen to a request that waits to be challenged
    """

    kind: str
    early: bool = False


@dataclass
class Cloud:
    """The server at :data:`ADDRESS`.

    :param effect: called before and after whatever a client makes the server do, with its kind
    :param started: called with each backup that a client starts
    :param trouble: called whenever a client meets trouble: a ``fault``, or one with its ``connection``
    """

    clock: Clock
    effect: Callable[[str], None]
    started: Callable[[Backup, dict[str, Any]], None]
    trouble: Callable[[str], None]
    #: What the API says of a backup that is not registered, or was deleted: 404, or no data.
    absent: str = "404"
    #: How the list tells that there are more pages.
    paging: str = "both"
    #: Seconds in which a backup registers, and in which it ends; and its last status.
    plan: tuple[float, float, str] = (0.0, 300.0, "DONE")
    key: str = "key-1"
    backups: list[Backup] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: {"GET": deque(), "POST": deque()})
    _count: int = 0

    def __post_init__(self) -> None:
        #: The tenants that can be restored.
        self.restorable = Restorable(self.clock)

    def begin(
        self, project: str, instance: str, tenant: str | None, plan: tuple[float, float, str]
    ) -> Backup:
        """Begin a backup."""
        self._count += 1
        registers, takes, ends = plan
        status, _, validity = ends.partition(" ")
        name = f"bak-{self._count}"
        now = self.clock.now
        backup = Backup(name, project, instance, tenant, now, registers, takes, status, validity or "VALID")
        self.backups.append(backup)
        return backup

    def connect(self, address: tuple[str, int]) -> None:
        self.effect("request")
        if address != ADDRESS:
            self.trouble("connection")
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    def receive(self, data: bytes) -> None:
        method = data.partition(b" ")[0].decode()
        faults = self.faults[method]
        if faults and faults[0].kind == "reset" and self._fault(method, authorized=b"username=" in data):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def answer(self, request: bytes) -> Reply:
        self.effect("request")
        head, _, body = request.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        user = re.search(r'username="([^"]*)"', headers.get("authorization", ""))
        fault = self._fault(method, authorized=user is not None)
        if user is None or user[1] != self.key:
            served = self._refused(401, {"WWW-Authenticate": _CHALLENGE})
            if user is not None:
                self.trouble("connection")
            return self._broken(fault.kind) if fault else served
        if fault is not None and fault.kind not in _SERVED:
            return self._broken(fault.kind)
        served = self._serve(method, target, headers, body)
        self.effect("start" if method == "POST" else "answer")
        if fault is None:
            return served
        if fault.kind == "interim":
            return Reply(b"HTTP/1.1 102 Processing\r\n\r\n" + served.data)
        return self._broken(fault.kind)

    def _fault(self, method: str, *, authorized: bool) -> Fault | None:
        faults = self.faults[method]
        if not faults or not (authorized or faults[0].early):
            return None
        self.trouble("fault")
        return faults.popleft()

    def _broken(self, kind: str) -> Reply:
        match kind:
            case "hangs" | "served, hangs":
                return Reply(hangs=True)
            case "503" | "503, served":
                return self._refused(503)
            case "429":
                return self._refused(429, {"Retry-After": "5"})
            case "page":
                return Reply(_response(200, {"Content-Type": "text/html"}, b"<html>"))
        return Reply()

    def _serve(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        url = urlsplit(target)
        instance, *_, last = [
            unquote(part) for part in url.path.removeprefix("/api/v2/instances/").split("/")
        ]
        project = headers.get("x-ob-project-id", "p1")
        if project not in ("p1", "p2"):
            self.trouble("connection")
            return self._refused(404)
        if method == "POST":
            wanted = json.loads(body)
            backup = self.begin(project, instance, wanted.get("tenantId"), self.plan)
            self.started(backup, wanted)
            return self._data({"backupTaskId": backup.name})
        here = [one for one in self.backups if (one.project, one.instance) == (project, instance)]
        now = self.clock.now
        if last == "tenants":
            return self._data(self.restorable.serve(project, instance))
        if last == "sets":
            return self._list([one for one in here if one.status(now)], parse_qs(url.query))
        for one in here:
            if one.name == last and one.status(now):
                return self._data(self._set(one))
        if self.absent == "404":
            return self._refused(404)
        return self._data(None)

    def _list(self, backups: list[Backup], query: dict[str, list[str]]) -> Reply:
        since = datetime.fromisoformat(query.get("startTime", ["2000-01-01T00:00:00Z"])[0])
        found = sorted(
            (one for one in backups if self.clock.moment(one.began) >= since), key=lambda one: -one.began
        )
        size, number = 2, int(query["pageNumber"][0])
        page = found[size * (number - 1) : size * number]
        data: dict[str, Any] = {"dataList": [self._set(one) for one in page]}
        if self.paging in ("both", "total"):
            data["total"] = len(found)
        if self.paging in ("both", "hasMore"):
            data["hasMore"] = len(found) > size * number
        return self._data(data)

    def _set(self, backup: Backup) -> dict[str, Any]:
        status = backup.status(self.clock.now)
        common = {
            "status": status,
            "validity": backup.validity if status == "DONE" else None,
            "startTime": self.clock.text(backup.began),
            "endTime": None if status == "DOING" else self.clock.text(backup.began + backup.takes),
            "checkpoint": None if status == "DOING" else self.clock.text(backup.began),
            "backupMode": "PHYSICAL_BACKUP",
        }
        tenants = ["t1", "t2"] if backup.tenant is None else []
        return common | {
            "backupSetId": backup.name,
            "backupObjectType": "CLUSTER" if backup.tenant is None else "TENANT",
            "tenantId": backup.tenant or "sys",
            "tenantBackupSetList": [
                common | {"tenantId": one, "tenantName": one, "backupObjectType": "TENANT"} for one in tenants
            ],
        }

    def _data(self, data: Any) -> Reply:
        body = json.dumps({"success": True, "requestId": "r-1", "data": data}).encode()
        return Reply(_response(200, {"Content-Type": "application/json"}, body))

    def _refused(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        body = json.dumps({"success": False, "requestId": "r-1", "errorCode": "E001R000"}).encode()
        return Reply(_response(status, {"Content-Type": "application/json", **(headers or {})}, body))


def _response(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
