"""How the service answers where its documentation leaves that open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, Self

from airflow_provider_oceanbase.testing._envelope import Failure
from airflow_provider_oceanbase.testing._report import NUMBER, fields_of
from airflow_provider_oceanbase.testing._script import TIME_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

PageField = Literal["total", "hasMore"]
_TIMES = ("checkpoint", "startTime", "endTime")
_LISTS = ("tenantBackupSetList", "timeIntervalList")
_WORDS = ("status", "validity", "backupMode", "backupObjectType", "dataBackupMode", "triggerMode")
_OFFSET = re.compile(r"[+-]99:?99$")
_BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the service answers where its documentation leaves that open; for ``CloudEmulator(profile=…)``.

    The defaults are what is documented, and for the rest what this project infers.

    :param unknown_id: HTTP status of the failure for an unknown backup task ID; 200: ``success: false`` with
        that status; None: a success without data
    :param own_set_ids: whether a ``backupSetId`` differs from the ID of the backup task
    :param words: the service's word for a documented one, such as ``{"DONE": "SUCCESS"}``: for status,
        validity, modes and object type
    :param times: the form of times, with 9 for each digit from year to second, such as
        ``9999-99-99'T'99:99:99.999'Z'``; one that ends with ``+99:99`` is Beijing's; ``(number)``: a number
        of milliseconds
    :param sizes_as_text: whether ``dataBackupSize`` is a text
    :param list_leaves_out: fields that the list of backup sets does not have, such as ``validity``
    :param newest_first: whether the list begins with the newest backup set
    :param max_page_size: largest page of a list, whatever ``pageSize`` says; None for no limit
    :param page_fields: which of ``total`` and ``hasMore`` a page of a list has
    :param algorithms: digest algorithms, ``MD5`` or ``SHA-256`` or both, in the order of the challenges
    :param qop: whether a challenge offers ``qop="auth"``; False: none
    :param nonce_uses: for how many requests a nonce is valid, None for no limit
    :param project_required: whether a request without ``X-Ob-Project-Id`` is refused
    :param restore_requires: parameters without which the list of restorable tenants is refused, such as
        ``openRequest``
    """

    unknown_id: int | None = 404
    own_set_ids: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    times: str = "9999-99-99T99:99:99Z"
    sizes_as_text: bool = False
    list_leaves_out: Collection[str] = ()
    newest_first: bool = True
    max_page_size: int | None = None
    page_fields: Collection[PageField] = ("total", "hasMore")
    algorithms: Sequence[str] = ("MD5",)
    qop: bool = True
    nonce_uses: int | None = None
    project_required: bool = False
    restore_requires: Collection[str] = ()

    @classmethod
    def from_report(cls, report: str) -> Self:
        """Return the profile of a service, from the report that ``check --report`` wrote of it.

        What the report has not seen is as documented.

        :param report: its text
        :raises ValueError: it is no such report
        """
        return cls().replaced(**fields_of(report))

    def replaced(self, **fields: Any) -> Self:
        """Return the profile with other values; None stands for what it has, but for an unknown ID."""
        given = {name: value for name, value in fields.items() if value is not None or name == "unknown_id"}
        return replace(self, **given)

    def unknown_backup_task(self) -> Failure | None:
        """Return what answers for an unknown ID, in place of ``data``."""
        if self.unknown_id is None:
            return None
        return Failure(self.unknown_id, error_message="No such backup set")

    def as_listed(self, backup_set: Mapping[str, Any]) -> dict[str, Any]:
        """Return a backup set as the list has it."""
        kept = {name: value for name, value in backup_set.items() if name not in self.list_leaves_out}
        if "tenantBackupSetList" in kept:
            kept["tenantBackupSetList"] = _each(self.as_listed, kept["tenantBackupSetList"])
        return kept

    def as_read(self, backup_set: Mapping[str, Any]) -> dict[str, Any]:
        """Return a backup set as the service writes it."""
        return {name: self._value(name, value) for name, value in backup_set.items()}

    def _value(self, name: str, value: Any) -> Any:
        if name in _LISTS:
            return _each(self.as_read, value)
        if name == "backupSetId" and self.own_set_ids:
            return f"set-of-{value}"
        if name == "dataBackupSize" and self.sizes_as_text:
            return str(value)
        if name in _WORDS and isinstance(value, str):
            return self.words.get(value, value)
        return self._time(value) if name in _TIMES else value

    def _time(self, value: Any) -> Any:
        try:
            time = datetime.strptime(value, TIME_FORMAT).replace(tzinfo=UTC)
        except (TypeError, ValueError):
            # What a test sets in place of a time.
            return value
        if self.times == NUMBER:
            return round(time.timestamp() * 1000)
        head = _OFFSET.sub("", self.times)
        if is_offset := head != self.times:
            time = time.astimezone(_BEIJING)
        digits = iter(f"{time:%Y%m%d%H%M%S}")
        written = re.sub("9", lambda _: next(digits, "0"), head)
        return f"{written}+08:00" if is_offset else written


def _each(function: Callable[[Mapping[str, Any]], dict[str, Any]], values: Any) -> Any:
    """Return a list with what a function makes of its entries; what a test sets in place of one is kept."""
    if not isinstance(values, list | tuple):
        return values
    return [function(value) if isinstance(value, Mapping) else value for value in values]
