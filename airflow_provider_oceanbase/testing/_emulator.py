"""The emulator: the cloud, what tests configure, and the HTTP server around it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from airflow_provider_oceanbase.testing._cloud import Cloud
from airflow_provider_oceanbase.testing._digest import AuthResult, DigestServer
from airflow_provider_oceanbase.testing._envelope import Failure, SeenRequest, json_of, response_of
from airflow_provider_oceanbase.testing._profile import Profile
from airflow_provider_oceanbase.testing._restorable import RestorableScript
from airflow_provider_oceanbase.testing._script import STATUSES, TENANTS, BackupSetScript, check_seconds, utc
from airflow_provider_oceanbase.testing._server import Response, Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from airflow_provider_oceanbase.testing._profile import PageField
    from airflow_provider_oceanbase.testing._restorable import Interval
    from airflow_provider_oceanbase.testing._script import Statuses, Tenants


class CloudEmulator:
    """An emulator of the OceanBase Cloud API on a local port, with real digest authentication.

    A context manager: it listens from ``with`` until the block ends. Its methods are thread-safe.

    It returns the details of a backup set, lists the backup sets of an instance and its tenants that can be
    restored, starts backups, and lists the instances that have backup sets. Any other instance has no backup
    sets: its list is empty, and a backup can be started. A request that is not as the API documents gets HTTP
    400.

    Lists are ordered by start time, newest first; of two that started in the same second, the one that was
    added later comes first. ``startTime`` and ``endTime`` of a list are inclusive. A backup set that is not
    registered yet is not listed. One whose details are a failure is listed with its last status before that,
    if any. Page 1 of a list counts as a poll of every backup set of the instance, whatever the filter; the
    other pages show the state at the latest poll.

    :param host: address to listen on
    :param port: port to listen on, 0 for a free one
    :param access_key_id: accepted AccessKey ID
    :param access_key_secret: accepted AccessKey secret
    :param nonce_seconds: how long a nonce is valid; after that, the response is ``stale=true``
    :param projects: accepted values of ``X-Ob-Project-Id``; None: it is not checked
    :param profile: how it answers where the documentation leaves that open; default: :class:`Profile`
    :param algorithms: replaces those of the profile; likewise ``nonce_uses``, ``max_page_size`` and
        ``page_fields``
    :param seconds_per_status: duration of each status of a started backup, unless :meth:`next_backup` sets it
    :param ssl_context: enables https
    :param on_request: called with each request, just before the response is sent
    :raises ValueError: ``seconds_per_status`` is below 0.001
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        access_key_id: str = "emulator-key",
        access_key_secret: str = "emulator-secret",
        nonce_seconds: float = 300.0,
        nonce_uses: int | None = None,
        projects: Collection[str] | None = None,
        profile: Profile | None = None,
        algorithms: Sequence[str] | None = None,
        max_page_size: int | None = None,
        page_fields: Collection[PageField] | None = None,
        seconds_per_status: float = 1.0,
        ssl_context: ssl.SSLContext | None = None,
        on_request: Callable[[SeenRequest], None] | None = None,
    ) -> None:
        check_seconds(seconds_per_status)
        self._clock: Callable[[], float] = time.monotonic
        profile = (profile or Profile()).replaced(
            algorithms=algorithms,
            nonce_uses=nonce_uses,
            max_page_size=max_page_size,
            page_fields=page_fields,
        )
        self._digest = DigestServer(
            access_key_id, access_key_secret, profile, nonce_seconds, lambda: self._clock()
        )
        self._cloud = Cloud(lambda: self._clock(), seconds_per_status, profile, projects)
        self._on_request = on_request
        self._failures: deque[Failure] = deque()
        self._requests: list[SeenRequest] = []
        self._lock = threading.Lock()
        self._server = Server((host, port), self._respond, ssl_context)
        self._scheme = "https" if ssl_context else "http"
        self.host, self.port = host, int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """Its address, such as ``http://127.0.0.1:8199``."""
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
        """All requests up to now, in the order of their responses."""
        with self._lock:
            return list(self._requests)

    @property
    def seen_digest_responses(self) -> set[str]:
        """The digest ``response`` values that clients sent: no log may contain one."""
        return set(self._digest.seen_responses)

    def polls(self, instance_id: str, backup_task_id: str) -> int:
        """Return how many times the backup set was read or listed."""
        with self._lock:
            return self._cloud.sets[instance_id, backup_task_id].polls

    def add_backup_set(
        self,
        instance_id: str,
        backup_task_id: str,
        *,
        statuses: Statuses = STATUSES,
        polls_per_status: int = 1,
        seconds_per_status: float | None = None,
        tenants: Tenants = TENANTS,
        start_time: datetime | None = None,
        checkpoint: datetime | None = None,
        end_time: datetime | None = None,
        **fields: Any,
    ) -> None:
        """Add a backup set; one with the same ID is replaced.

        Its first status begins with the first poll. While it runs, its size grows from status to status.

        :param statuses: its statuses, one after another; the last one stays. None: not registered yet (null
            data). A number: the request fails with that HTTP status
        :param polls_per_status: number of polls that get each status
        :param seconds_per_status: duration of each status; replaces ``polls_per_status``
        :param tenants: names of its tenants, or a dict from names to fields to set or add, such as
            ``{"orders": {}, "billing": {"status": "FAILED"}}``; None for a null list
        :param start_time: a timezone-aware datetime; default: the time of the first poll
        :param checkpoint: a timezone-aware datetime, null until the backup ends; default: ``end_time``
        :param end_time: a timezone-aware datetime, null until the backup ends; default: the time of the first
            response with a final status
        :param fields: fields of ``data`` to set or add, such as ``validity="INVALID"`` or
            ``backupMode="LOGICAL_BACKUP"``
        :raises ValueError: a time has no time zone; ``seconds_per_status`` is below 0.001
        """
        script = BackupSetScript(
            backup_task_id,
            statuses,
            polls_per_status,
            seconds_per_status,
            tenants,
            fields,
            utc(start_time) if start_time else None,
            utc(checkpoint) if checkpoint else None,
            utc(end_time) if end_time else None,
        )
        with self._lock:
            self._cloud.add(instance_id, script, begun=False)

    def next_backup(
        self,
        instance_id: str,
        *,
        backup_task_id: str | None = None,
        statuses: Statuses = STATUSES,
        polls_per_status: int | None = None,
        seconds_per_status: float | None = None,
        tenants: Tenants = TENANTS,
        **fields: Any,
    ) -> str:
        """Plan the next backup of this instance: the next start request begins it. Calls queue up.

        A start request without a planned backup begins one with the defaults.

        :param backup_task_id: its ID; default: ``bak-started-1`` and so on
        :param statuses: as for :meth:`add_backup_set`; with ``(None, "DOING", "DONE")`` or
            ``(404, "DOING", "DONE")``, the ID is unknown at first
        :param polls_per_status: number of polls that get each status
        :param seconds_per_status: duration of each status; default: the emulator's, unless
            ``polls_per_status`` is given
        :param tenants: as for :meth:`add_backup_set`
        :param fields: as for :meth:`add_backup_set`
        :return: its ID
        """
        if polls_per_status is None and seconds_per_status is None:
            seconds_per_status = self._cloud.seconds_per_status
        with self._lock:
            script = BackupSetScript(
                backup_task_id or self._cloud.new_id(),
                statuses,
                polls_per_status or 1,
                seconds_per_status,
                tenants,
                fields,
            )
            self._cloud.planned[instance_id].append(script)
        return script.backup_task_id

    def add_restorable_tenant(
        self,
        instance_id: str,
        name: str,
        *,
        intervals: Sequence[Interval],
        lag: timedelta | None = None,
        tenant_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Add a tenant that can be restored; one with the same ID is replaced.

        Without any, an instance lists the tenants of its complete backup sets, each from the checkpoint of
        its earliest set on.

        :param name: its name
        :param intervals: begin and end of each interval, timezone-aware datetimes; an end of None moves on
            with the clock
        :param lag: how far that end is behind the clock; default: not at all
        :param tenant_id: its ID; default: ``id-of-`` and the name
        :param fields: fields to set or add, such as ``timeIntervalList=None``
        :raises ValueError: a time has no time zone
        """
        times = [(utc(begin), None if end is None else utc(end)) for begin, end in intervals]
        tenant_id = tenant_id or f"id-of-{name}"
        script = RestorableScript(name, tenant_id, times, lag or RestorableScript.lag, fields)
        with self._lock:
            self._cloud.restorable[instance_id, tenant_id] = script

    def set_status(self, instance_id: str, backup_task_id: str, status: str | None) -> None:
        """Set the status of a backup set for good."""
        with self._lock:
            self._cloud.sets[instance_id, backup_task_id].statuses = (status,)

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
        after_acting: bool = False,
    ) -> None:
        """Let the next authorized requests fail. Calls queue up.

        :param status: HTTP status
        :param times: number of requests
        :param error_code: ``errorCode`` of the envelope
        :param error_message: ``errorMessage`` of the envelope
        :param headers: additional headers, such as ``Retry-After``
        :param body: raw body, replaces the envelope
        :param drop: close the connection without a response
        :param after_acting: process the request, then fail: a backup starts, but the client cannot know
        """
        failure = Failure(status, error_code, error_message, headers or {}, body, drop, after_acting)
        with self._lock:
            self._failures.extend([failure] * times)

    def rotate_key(self, access_key_id: str, access_key_secret: str) -> None:
        """From now on, accept only this AccessKey."""
        self._digest.access_key_id = access_key_id
        self._digest.access_key_secret = access_key_secret

    def _respond(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes
    ) -> Response | None:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = json_of(content)
        auth = self._digest.check(method, target, headers.get("authorization"))
        result: Any = Failure(401, error_message="Unauthorized")
        if auth is AuthResult.ACCEPTED:
            with self._lock:
                failure = self._failures.popleft() if self._failures else None
                if failure is None or failure.after_acting:
                    project = headers.get("x-ob-project-id")
                    result = self._cloud.handle(method, parts.path, query, project, body)
            result = failure or result
        response = response_of(result, query.get("requestId", ""))
        if auth is not AuthResult.ACCEPTED:
            challenges = self._digest.challenges(stale=auth is AuthResult.STALE)
            response.headers.extend(("WWW-Authenticate", challenge) for challenge in challenges)
        dropped = isinstance(result, Failure) and result.drop
        seen = SeenRequest(
            method=method,
            path=parts.path,
            query=query,
            headers={name: value for name, value in headers.items() if name != "authorization"},
            status=0 if dropped else response.status,
            authorized=auth is AuthResult.ACCEPTED,
            credentials=auth.value,
            backup_status=result.get("status") if isinstance(result, dict) else None,
            body=body,
        )
        with self._lock:
            self._requests.append(seen)
        if self._on_request:
            self._on_request(seen)
        return None if dropped else response
