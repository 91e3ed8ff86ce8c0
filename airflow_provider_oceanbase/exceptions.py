"""The errors of this provider: what happened, to which backup task, and what to do next.

:class:`OceanBaseCloudError` and its subclasses say that *asking* OceanBase Cloud went wrong. Only
:class:`BackupSetFailedError` says that *the backup* did, and only :class:`BackupStartUnknownError` that
nobody knows whether there is one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

from airflow_provider_oceanbase._compat import AirflowFailException

_SHOWN_CHARACTERS = 300
TEMPLATE_HINT = "Nothing was sent. If it is a template, check what it renders to, under Rendered Template."
NATIVE_HINT = f"{TEMPLATE_HINT} A template gives a list in a DAG with render_template_as_native_obj=True."


def shown(text: str) -> str:
    """Return foreign text as it may stand in a message: short, and without control characters."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    if cut.isprintable():
        return cut
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


class OceanBaseCloudError(Exception):
    """Asking OceanBase Cloud failed.

    Not an ``AirflowException``: a deferred sensor with ``soft_fail`` would turn an outage into a skip.

    :param what: what happened, a phrase without a full stop
    :param subject: what was asked for, such as ``backup task 'bak-1' of instance 'ob-1'``
    :param status_code: HTTP status of the answer, None where there was none
    :param error_code: ``errorCode`` of the answer
    :param error_message: ``errorMessage`` of the answer
    :param request_id: ID of the request: the answer's ``requestId``, else the one that was sent
    :param hint: what to do next, a sentence; default: the class's own
    :param retry_after: seconds for which the server asked to be left alone
    :param may_have_acted: whether the server may have done what it was asked for; False where it was asked to
        read
    """

    #: True: the same request may succeed later, so that a wait goes on.
    transient: ClassVar[bool] = False
    #: True: the connection, read afresh, may help: its AccessKey may have been rotated.
    outdated: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""
    _FIELDS: ClassVar[tuple[str, ...]] = (
        "what",
        "subject",
        "status_code",
        "error_code",
        "error_message",
        "request_id",
        "hint",
        "retry_after",
        "may_have_acted",
    )

    def __init__(
        self,
        what: str,
        *,
        subject: str | None = None,
        status_code: int | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
        may_have_acted: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.subject = subject
        self.status_code = status_code
        self.error_code = error_code
        self.error_message = error_message
        self.request_id = request_id
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after
        self.may_have_acted = may_have_acted

    @property
    def repeatable(self) -> bool:
        """Whether to send the same request again: it may succeed later, and surely did nothing until now."""
        return self.transient and not self.may_have_acted

    def __str__(self) -> str:
        details = {
            "HTTP status": self.status_code,
            "errorCode": self.error_code,
            "errorMessage": self.error_message,
            "requestId": self.request_id,
        }
        known = ", ".join(f"{name} {value}" for name, value in details.items() if value is not None)
        text = f"{self.what} ({known})" if known else self.what
        if self.subject:
            text = f"Asked for {self.subject}: {text}"
        return f"{text}. {self.hint}" if self.hint else f"{text}."

    def __reduce__(self) -> tuple[Any, ...]:
        return OceanBaseCloudError.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as a dict that JSON can carry, for :meth:`from_dict`."""
        return {"class": type(self).__name__, **{name: getattr(self, name) for name in self._FIELDS}}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> OceanBaseCloudError:
        """Make the error that :meth:`to_dict` described, of the same class."""
        fields = dict(data)
        error_class = _CLASSES.get(fields.pop("class"), OceanBaseCloudError)
        return error_class(fields.pop("what"), **fields)


class OceanBaseInputError(OceanBaseCloudError, ValueError):
    """A connection field or an argument is unusable; nothing was sent."""


class OceanBaseAuthenticationError(OceanBaseCloudError):
    """HTTP 401 or 403: the AccessKey was not accepted, or may not do this."""

    outdated = True
    default_hint = (
        "Check login (AccessKey ID), password (AccessKey secret), host and project_id of the connection, and "
        "that the AccessKey is enabled."
    )


class OceanBaseNotFoundError(OceanBaseCloudError):
    """HTTP 404, or an answer without data where data were needed."""

    default_hint = (
        "Check the instance ID and the backup task ID, and that host and project_id of the connection are "
        "those of the instance."
    )


class OceanBaseThrottledError(OceanBaseCloudError):
    """HTTP 429: too many requests."""

    transient = True
    default_hint = "Ask less often: raise poke_interval, or spread the tasks."


class OceanBaseUnavailableError(OceanBaseCloudError):
    """No answer (network, TLS, timeout), or HTTP 408 or 5xx."""

    transient = True
    default_hint = "Check host, port, verify and proxy of the connection, and the state of OceanBase Cloud."


class OceanBaseMalformedAnswerError(OceanBaseCloudError):
    """The answer is not of the documented shape, for example a proxy's HTML page."""

    transient = True
    default_hint = (
        "Check that host of the connection is an OceanBase Cloud API host, and that no proxy or login page "
        "answers in its place."
    )


class OceanBaseRefusedError(OceanBaseCloudError):
    """``success: false``, or an HTTP status that has no class of its own."""

    default_hint = "errorCode and errorMessage say why; quote the requestId to OceanBase support."


_CLASSES: dict[str, type[OceanBaseCloudError]] = {
    error_class.__name__: error_class
    for error_class in (
        OceanBaseInputError,
        OceanBaseAuthenticationError,
        OceanBaseNotFoundError,
        OceanBaseThrottledError,
        OceanBaseUnavailableError,
        OceanBaseMalformedAnswerError,
        OceanBaseRefusedError,
    )
}


class BackupSetFailedError(AirflowFailException):
    """The backup itself failed. Airflow does not retry the task: the same backup will not get better.

    :param reason: such as ``ended with status FAILED``
    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task
    :param status: ``status`` of the backup set
    :param validity: ``validity`` of the backup set
    :param request_id: ID of the request that told
    """

    _FIELDS: ClassVar[tuple[str, ...]] = (
        "reason",
        "instance_id",
        "backup_task_id",
        "status",
        "validity",
        "request_id",
    )

    def __init__(
        self,
        reason: str,
        *,
        instance_id: str,
        backup_task_id: str,
        status: str,
        validity: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(
            f"Backup task {backup_task_id!r} of instance {instance_id!r} {reason} (requestId {request_id}). "
            "Nothing may rely on this backup: look it up in the OceanBase Cloud console, and back up again. "
            "A task that names the backup task ID needs the new one."
        )
        self.reason = reason
        self.instance_id = instance_id
        self.backup_task_id = backup_task_id
        self.status = status
        self.validity = validity
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return BackupSetFailedError.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as a dict that JSON can carry, for :meth:`from_dict`."""
        return {name: getattr(self, name) for name in self._FIELDS}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the error that :meth:`to_dict` described."""
        fields = dict(data)
        return cls(fields.pop("reason"), **fields)


class BackupStartUnknownError(AirflowFailException):
    """A backup may have been started, or not. Airflow does not retry the task: that might start a second one.

    :param reason: what happened, a phrase without a full stop
    :param instance_id: ID of the OceanBase cluster
    :param http_status: HTTP status of the answer, None where there was none
    :param request_id: ID of the request, None where it is not known
    """

    def __init__(
        self,
        reason: str,
        *,
        instance_id: str,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        details = {"HTTP status": http_status, "requestId": request_id}
        known = ", ".join(f"{name} {value}" for name, value in details.items() if value is not None)
        super().__init__(
            f"A backup of instance {instance_id!r} may be running: {reason}{f' ({known})' if known else ''}. "
            "It is not started again, since a second one might run beside it. Look for it in the OceanBase "
            "Cloud console, or with OceanBaseHook.list_backup_sets. Where there is none, clear the task to "
            "start one. Where there is one, wait for it by BackupSetSensor and its ID, or by "
            "BackupCheckpointSensor."
        )
        self.reason = reason
        self.instance_id = instance_id
        self.http_status = http_status
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in ("instance_id", "http_status", "request_id")}
        return partial(type(self), self.reason, **fields), ()
