"""The errors of this provider: what happened, to which backup task, and what to do next.

Each text has this order, since a log shows the beginning of a line: the verdict, what it is about, details,
advice.

:class:`OceanBaseCloudError` and its subclasses say that a *request* to OceanBase Cloud failed. Only
:class:`BackupSetFailedError` says that the *backup* failed, only :class:`PointNotRestorableError` that a
tenant cannot be restored to a time, and only :class:`BackupStartUnknownError` that it is not known whether
there is a backup.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar

from airflow_provider_oceanbase._texts import (
    SEEN_CHARACTERS,
    first_sentence,
    in_brackets,
    joined,
    sentence,
    shown,
)
from airflow_provider_oceanbase.compat.sdk import AirflowFailException


@dataclass(eq=False, repr=False, kw_only=True)
class OceanBaseCloudError(Exception):
    """A request to OceanBase Cloud failed.

    Not an ``AirflowException``: a deferred sensor with ``soft_fail`` would turn an outage into a skip.

    :param what: what happened, a phrase with a capital and without a full stop; its first words say it
    :param subject: what was requested, such as ``backup task 'bak-1' of instance 'ob-1'``
    :param conn_id: ID of the connection
    :param host: where the request was sent, such as ``https://api-cloud.oceanbase.com``
    :param accepted_until: when the AccessKey was last accepted, as far as this process knows
    :param status_code: HTTP status of the response, None if there was none
    :param error_code: ``errorCode`` of the response
    :param error_message: ``errorMessage`` of the response
    :param request_id: ID of the request: the response's ``requestId``, else the one that was sent
    :param hint: what to do next, a sentence; default: the class's own
    :param retry_after: seconds after which the server allows the next request
    :param may_have_acted: whether the server may have changed anything; False for a request that reads
    :param unsent: whether other requests left it no place: it says nothing about host, key and IDs
    """

    #: True: the same request may succeed later, so a task keeps waiting.
    transient: ClassVar[bool] = False
    #: True: not final at once; a wait polls once more, after it has read the connection again.
    outdated: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    what: str = field(kw_only=False)
    subject: str | None = None
    conn_id: str | None = None
    host: str | None = None
    accepted_until: str | None = None
    status_code: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None
    hint: str | None = None
    retry_after: float | None = None
    may_have_acted: bool = False
    unsent: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.what)
        if self.hint is None:
            self.hint = self.default_hint

    @property
    def repeatable(self) -> bool:
        """Whether to send the same request again: it may succeed later, and has certainly changed nothing."""
        return self.transient and not self.may_have_acted

    @property
    def verdict(self) -> str:
        """What happened, in the first words of the text, such as ``AccessKey refused (HTTP 401)``."""
        details = {"HTTP": self.status_code, "accepted until": self.accepted_until}
        return self.what + in_brackets(details)

    @property
    def advice(self) -> str:
        """What to do next, in one short sentence; if there is room, it names the connection."""
        advice = first_sentence(self.hint or "")
        named = advice.replace("the connection", f"connection {self.conn_id!r}")
        return named if self.conn_id and len(named) <= SEEN_CHARACTERS else advice

    def __str__(self) -> str:
        return self.text(self.verdict)

    def text(self, verdict: str) -> str:
        """Return the text with other first words, for a line of the log."""
        conn_id = self.conn_id and repr(shown(self.conn_id))
        about = joined({"": self.subject, "connection": conn_id, "host": self.host})
        response = {"errorCode": self.error_code, "errorMessage": self.error_message}
        details = joined({**response, "requestId": self.request_id})
        text = sentence(verdict, about, details)
        hint = (self.hint or "").replace(first_sentence(self.hint or ""), self.advice, 1)
        return f"{text} {hint}" if hint else text

    def brief(self, verdict: str) -> str:
        """Return what tells the error from one like it that a line of the log before has told whole."""
        return sentence(verdict, joined({"requestId": self.request_id}))

    def __reduce__(self) -> tuple[Any, ...]:
        return OceanBaseCloudError.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as a dict fit for JSON, for :meth:`from_dict`."""
        return {"class": type(self).__name__, **asdict(self)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> OceanBaseCloudError:
        """Make the error, of the same class, from what :meth:`to_dict` returned."""
        fields = dict(data)
        # A subclass elsewhere may be made from other arguments.
        ours = (one for one in OceanBaseCloudError.__subclasses__() if one.__module__ == __name__)
        classes = {one.__name__: one for one in ours}
        return classes.get(fields.pop("class"), OceanBaseCloudError)(**fields)


def unexpected(activity: str, error: Exception, **known: Any) -> OceanBaseCloudError:
    """Return the error for a bug, in the triggerer.

    :param activity: what it stopped, such as ``Wait``
    :param known: fields of the error
    """
    # Not the error's own text, which may hold a secret.
    what = f"{activity} stopped unexpectedly in the triggerer ({type(error).__name__})"
    return OceanBaseCloudError(what, **known)


class OceanBaseInputError(OceanBaseCloudError, ValueError):
    """An argument or a field of the connection is unusable, or there is no connection; nothing was sent."""


class OceanBaseAuthenticationError(OceanBaseCloudError):
    """HTTP 401 or 403: the AccessKey was not accepted, or may not do this."""

    outdated = True
    default_hint = (
        "Check AccessKey ID (login) and secret (password) of the connection. Check that the key is enabled. "
        "Check Host and Project ID, too."
    )


class OceanBaseNotFoundError(OceanBaseCloudError):
    """HTTP 404, or a response without the data that were needed."""

    default_hint = (
        "Check the instance ID and the backup task ID. Check that Host and Project ID of the connection are "
        "those of the instance. The backupSetId of a list may be no backup task ID."
    )


class OceanBaseThrottledError(OceanBaseCloudError):
    """HTTP 429: too many requests."""

    transient = True
    default_hint = "Poll less often: raise poke_interval, or spread the tasks."


class OceanBaseUnavailableError(OceanBaseCloudError):
    """No response (network, TLS, timeout), HTTP 408 or 5xx, or a connection that cannot be read now."""

    transient = True
    default_hint = (
        "Check Host, Port and Proxy URL of the connection. Check the state of OceanBase Cloud, too."
    )


class OceanBaseMalformedResponseError(OceanBaseCloudError):
    """The response is not of the documented shape, for example a proxy's HTML page."""

    transient = True
    default_hint = (
        "Check that Host of the connection is an OceanBase Cloud API host. Check that no proxy or login page "
        "answers in its place."
    )


class OceanBaseRefusedError(OceanBaseCloudError):
    """``success: false``, or an HTTP status without a class of its own."""

    default_hint = "errorCode and errorMessage say why; quote the requestId to OceanBase support."


class _FinalError(AirflowFailException):
    """An error after which Airflow does not retry the task; its subclasses are dataclasses."""

    hint: ClassVar[str]

    @property
    def advice(self) -> str:
        """What to do next, in one short sentence."""
        return first_sentence(self.hint)

    def __reduce__(self) -> tuple[Any, ...]:
        fields: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return partial(type(self), **fields), ()


class WaitFailedError(_FinalError):
    """What was waited for cannot come any more; its subclasses say why."""

    def to_dict(self) -> dict[str, Any]:
        """Return the error as a dict fit for JSON, for :meth:`from_dict`."""
        return {"class": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_dict(data: dict[str, Any]) -> WaitFailedError:
        """Make the error, of the same class, from what :meth:`to_dict` returned."""
        fields = dict(data)
        classes = {one.__name__: one for one in (BackupSetFailedError, PointNotRestorableError)}
        return classes[fields.pop("class")](**fields)


@dataclass(eq=False, repr=False, kw_only=True)
class BackupSetFailedError(WaitFailedError):
    """The backup itself failed. Airflow does not retry the task: the same backup will not recover.

    :param reason: such as ``ended with status FAILED``
    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task
    :param status: ``status`` of the backup set
    :param validity: ``validity`` of the backup set
    :param request_id: ID of the request that showed it
    """

    reason: str = field(kw_only=False)
    instance_id: str
    backup_task_id: str
    status: str
    validity: str | None = None
    request_id: str | None = None

    hint: ClassVar[str] = (
        "Do not rely on this backup: look it up in the console, and back up again. A task that names the "
        "backup task ID needs the new one."
    )

    def __post_init__(self) -> None:
        backup, instance = (repr(shown(str(one))) for one in (self.backup_task_id, self.instance_id))
        about = f"backup task {backup} of instance {instance}"
        details = joined({"requestId": self.request_id})
        super().__init__(f"{sentence(f'Backup {self.reason}', about, details)} {self.hint}")


@dataclass(eq=False, repr=False, kw_only=True)
class PointNotRestorableError(WaitFailedError):
    """A tenant can never be restored to a time: all that can be restored begins later.

    Airflow does not retry the task: what can be restored only begins later and later.

    :param reason: which tenant, and from when on it can be restored
    :param instance_id: ID of the OceanBase cluster
    :param restore_time: the time: ISO 8601, with a time zone
    :param request_id: ID of the request that showed it
    """

    reason: str = field(kw_only=False)
    instance_id: str
    restore_time: str
    request_id: str | None = None

    hint: ClassVar[str] = (
        "Choose a later restore_time. If that tenant does not matter, name the others in tenants. With "
        "fail_if_unreachable=False the task waits all the same."
    )

    def __post_init__(self) -> None:
        about = f"{self.reason}, instance {shown(str(self.instance_id))!r}"
        verdict, details = f"Never restorable to {self.restore_time}", joined({"requestId": self.request_id})
        super().__init__(f"{sentence(verdict, about, details)} {self.hint}")


@dataclass(eq=False, repr=False, kw_only=True)
class BackupStartUnknownError(_FinalError):
    """A backup may have been started, or not. Airflow does not retry the task: that might start a second one.

    :param reason: what happened, a phrase without a full stop
    :param instance_id: ID of the OceanBase cluster
    :param conn_id: ID of the connection
    :param http_status: HTTP status of the response, None if there was none
    :param error_code: ``errorCode`` of the response
    :param error_message: ``errorMessage`` of the response
    :param request_id: ID of the request, None if it is not known
    """

    reason: str = field(kw_only=False)
    instance_id: str
    conn_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None

    hint: ClassVar[str] = (
        "Look for it in the console, or with OceanBaseHook.list_backup_sets. The task does not start "
        "another, since two might run at once. If there is none, clear the task to start one. If there is "
        "one, wait for it with BackupSetSensor and its ID, or with BackupCheckpointSensor."
    )

    def __post_init__(self) -> None:
        conn_id = self.conn_id and repr(shown(self.conn_id))
        about = joined({"instance": repr(shown(self.instance_id)), "connection": conn_id})
        response = {"errorCode": self.error_code, "errorMessage": self.error_message}
        details = in_brackets({"HTTP": self.http_status, **response, "requestId": self.request_id})
        text = sentence("A backup may be running", about, self.reason + details)
        super().__init__(f"{text} {self.hint}")
