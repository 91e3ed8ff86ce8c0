"""The emulator: what it knows, what it answers, and the HTTP server around it."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from airflow_provider_oceanbase.testing._digest import DigestServer, Verdict
from airflow_provider_oceanbase.testing._script import BackupSetScript, Failure
from airflow_provider_oceanbase.testing._server import Reply, Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Mapping, Sequence

_SETS_PREFIX = ("api", "v2", "instances")
_SETS_MIDDLE = ("backup", "data", "sets")


@dataclass(frozen=True)
class SeenRequest:
    """A request that the emulator answered; the value of ``Authorization`` is left out."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    #: HTTP status of the answer, 0 where the connection was dropped.
    status: int
    authorized: bool
    #: ``status`` of the backup set that was answered.
    backup_status: str | None = None
    at: float = field(default_factory=time.monotonic)


class CloudEmulator:
    """A stand-in for the OceanBase Cloud API on a local port, with real digest authentication.

    A context manager: it serves from ``with`` until the block ends.

    :param host: address to listen on
    :param port: port to listen on, 0 for a free one
    :param access_key_id: the AccessKey ID that is accepted
    :param access_key_secret: the AccessKey secret that is accepted
    :param algorithms: digest algorithms offered, in this order: ``MD5``, ``SHA-256``
    :param nonce_seconds: how long a nonce is good; then it is answered by ``stale=true``
    :param nonce_uses: for how many requests a nonce is good, None for any number
    :param projects: the ``X-Ob-Project-Id`` values that are accepted, None for any or none
    :param ssl_context: serve https with it
    :param on_request: called with each request once it is answered
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        access_key_id: str = "emulator-key",
        access_key_secret: str = "emulator-secret",
        algorithms: Sequence[str] = ("MD5",),
        nonce_seconds: float = 300.0,
        nonce_uses: int | None = None,
        projects: Collection[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        on_request: Callable[[SeenRequest], None] | None = None,
    ) -> None:
        self._clock: Callable[[], float] = time.monotonic
        self._digest = DigestServer(
            access_key_id, access_key_secret, algorithms, nonce_seconds, nonce_uses, lambda: self._clock()
        )
        self._projects = projects
        self._on_request = on_request
        self._sets: dict[tuple[str, str], BackupSetScript] = {}
        self._failures: deque[Failure] = deque()
        self._requests: list[SeenRequest] = []
        self._lock = threading.Lock()
        self._server = Server((host, port), self._answer, ssl_context)
        self._scheme = "https" if ssl_context else "http"
        self.host, self.port = host, int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:8199``."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection to it, as a dict of fields."""
        return {
            "conn_type": "oceanbase",
            "login": self._digest.access_key_id,
            "password": self._digest.access_key_secret,
            "host": self.host,
            "port": self.port,
            "schema": self._scheme,
        }

    @property
    def connection_uri(self) -> str:
        """The Airflow connection to it, as a URI for ``AIRFLOW_CONN_OCEANBASE_DEFAULT``."""
        login, secret = (quote(self.connection[name], safe="") for name in ("login", "password"))
        return f"oceanbase://{login}:{secret}@{self.host}:{self.port}/{self._scheme}"

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests so far, in the order of their answers."""
        with self._lock:
            return list(self._requests)

    @property
    def seen_digest_responses(self) -> set[str]:
        """The digest ``response`` values that clients sent: no log may hold one."""
        return set(self._digest.seen_responses)

    def polls(self, instance_id: str, backup_task_id: str) -> int:
        """Return how many times the backup set was read."""
        return self._sets[instance_id, backup_task_id].polls

    def add_backup_set(
        self,
        instance_id: str,
        backup_task_id: str,
        *,
        statuses: Sequence[str | int | None] = ("BEGINNING", "DOING", "DONE"),
        polls_per_status: int = 1,
        seconds_per_status: float | None = None,
        tenants: Sequence[str] | None = ("test1", "test2"),
        **fields: Any,
    ) -> None:
        """Add a backup set, or put another in its place.

        :param statuses: what it walks through; the last stays; None: not registered yet (null data); a
            number: a failure with that HTTP status
        :param polls_per_status: how many polls are answered with each status
        :param seconds_per_status: how long each status lasts, instead
        :param tenants: names of its tenants, None for a null list
        :param fields: fields of ``data`` to set or add, such as ``validity="INVALID"``
        """
        self._sets[instance_id, backup_task_id] = BackupSetScript(
            backup_task_id, statuses, polls_per_status, seconds_per_status, tenants, fields, self._clock()
        )

    def set_status(self, instance_id: str, backup_task_id: str, status: str | None) -> None:
        """Put a backup set into a status, where it stays."""
        self._sets[instance_id, backup_task_id].statuses = (status,)

    def fail(
        self,
        *,
        status: int = 503,
        times: int = 1,
        error_code: str = "E001R000",
        error_message: str = "Unknown Error",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        drop: bool = False,
    ) -> None:
        """Answer the next authorized requests with a failure instead; calls queue up.

        :param status: HTTP status
        :param times: how many requests
        :param error_code: ``errorCode`` of the envelope
        :param error_message: ``errorMessage`` of the envelope
        :param headers: further headers, such as ``Retry-After``
        :param body: sent as it is, in place of the envelope
        :param drop: close the connection without an answer
        """
        failure = Failure(status, error_code, error_message, headers or {}, body, drop)
        self._failures.extend([failure] * times)

    def rotate_key(self, access_key_id: str, access_key_secret: str) -> None:
        """Accept only another AccessKey from now on."""
        self._digest.access_key_id = access_key_id
        self._digest.access_key_secret = access_key_secret

    def _answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply | None:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        verdict = self._digest.check(method, target, headers.get("authorization"))
        data: object = None
        if verdict is Verdict.ACCEPTED:
            with self._lock:
                failure = self._failures.popleft() if self._failures else None
                if failure is None:
                    failure, data = self._read(method, parts.path, query, headers)
            reply = _reply(failure, data, query)
        else:
            reply = _reply(Failure(401, error_message="Unauthorized"), None, query)
            challenges = self._digest.challenges(stale=verdict is Verdict.STALE)
            reply.headers.extend(("WWW-Authenticate", challenge) for challenge in challenges)
        dropped = verdict is Verdict.ACCEPTED and failure is not None and failure.drop
        seen = SeenRequest(
            method=method,
            path=parts.path,
            query=query,
            headers={name: value for name, value in headers.items() if name != "authorization"},
            status=0 if dropped else int(reply.status),
            authorized=verdict is Verdict.ACCEPTED,
            backup_status=data.get("status") if isinstance(data, dict) else None,
        )
        with self._lock:
            self._requests.append(seen)
        if self._on_request:
            self._on_request(seen)
        return None if dropped else reply

    def _read(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[Failure | None, object]:
        if method != "GET":
            return Failure(405, error_message="Method not allowed"), None
        if not query.get("requestId"):
            return Failure(400, error_message="requestId is required"), None
        if self._projects is not None and headers.get("x-ob-project-id") not in self._projects:
            return Failure(403, error_message="No permission for this project"), None
        segments = tuple(unquote(segment) for segment in path.split("/")[1:])
        if segments == _SETS_PREFIX:
            instances = sorted({instance_id for instance_id, _ in self._sets})
            items = [{"instanceId": instance_id, "status": "ONLINE"} for instance_id in instances]
            return None, {"dataList": items, "total": len(items)}
        if len(segments) == 8 and segments[:3] == _SETS_PREFIX and segments[4:7] == _SETS_MIDDLE:
            return self._read_set(segments[3], segments[7], query)
        return Failure(404, error_message="No such path"), None

    def _read_set(
        self, instance_id: str, backup_task_id: str, query: Mapping[str, str]
    ) -> tuple[Failure | None, object]:
        check_download = query.get("checkBackupSetDownloadEnable", "false")
        if check_download not in ("true", "false"):
            return Failure(400, error_message="checkBackupSetDownloadEnable must be true or false"), None
        script = self._sets.get((instance_id, backup_task_id))
        if script is None:
            return Failure(404, error_message="No such backup set"), None
        answer = script.poll(self._clock(), check_download=check_download == "true")
        return (answer, None) if isinstance(answer, Failure) else (None, answer)


def _reply(failure: Failure | None, data: object, query: Mapping[str, str]) -> Reply:
    request_id = query.get("requestId", "")
    if failure is None:
        envelope = {"success": True, "data": data, "requestId": request_id}
        return Reply(HTTPStatus.OK, [("Content-Type", "application/json")], json.dumps(envelope).encode())
    if failure.body is not None:
        headers = {"Content-Type": "text/html", **failure.headers}
        return Reply(failure.status, list(headers.items()), failure.body)
    envelope = {
        "success": False,
        "errorCode": failure.error_code,
        "errorMessage": failure.error_message,
        "requestId": request_id,
    }
    headers = {"Content-Type": "application/json", **failure.headers}
    return Reply(failure.status, list(headers.items()), json.dumps(envelope).encode())
