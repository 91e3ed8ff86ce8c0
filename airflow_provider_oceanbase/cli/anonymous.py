"""Take the names, IDs and hosts that were seen out of what a report holds: plain code.

A service may put a name where a word is expected: as a status, as the name of a field, in an error code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_oceanbase._inferred import OBJECT_TYPES, STATUSES, Verdict
from airflow_provider_oceanbase.cli.forms import KINDS
from airflow_provider_oceanbase.cloud.backup_set import VALID, BackupSet, TenantBackupSet
from airflow_provider_oceanbase.cloud.instances import Instance
from airflow_provider_oceanbase.cloud.restorable import OLDER_PARAMETERS, RestorableInterval, RestorableTenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_oceanbase.cli.probes import Observations

_NAME = "(name)"
#: Fields of a response whose values are words of the API, a text in which any word may stand, or random.
_WORDS_OF_API = frozenset(
    {"status", "validity", "backupMode", "dataBackupMode", "backupObjectType", "triggerMode"}
    | {"errorCode", "errorMessage", "requestId"}
)
#: What looks like the form of a time.
_FORM = re.compile(r"[9atz\W_]*")
#: What may stand in any report, whatever an instance is named.
_DOCUMENTED = frozenset(
    {*STATUSES, *OBJECT_TYPES, VALID, *KINDS, *get_args(Verdict), "Digest", "MD5", "SHA-256", "auth", "sys"}
    | {"PHYSICAL_BACKUP", "FULL_BACKUP", "BACKUP_NOW"}
    | {*RestorableTenant.__annotations__, *RestorableInterval.__annotations__}
    | {*BackupSet.__annotations__, *TenantBackupSet.__annotations__, *Instance.__annotations__}
    | {
        *OLDER_PARAMETERS,
        "dataList",
        "total",
        "hasMore",
        "success",
        "data",
        "requestId",
        "errorCode",
        "errorMessage",
    }
)
#: A shorter text is part of many words, so it counts only where it stands alone.
_SHORT = 4


def names_in(found: Observations) -> list[str]:
    """Return the texts that must not be passed on, and their parts, the longest first; in small letters."""
    seen = {text.casefold() for text in (*found.private, *_texts([one.envelope for one in found.all]))}
    parts = {part for text in seen for part in re.split(r"[\W_]+", text) if len(part) >= _SHORT}
    names = (text for text in seen | parts if not _FORM.fullmatch(text))
    return sorted(names, key=len, reverse=True)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield each text in some JSON, but for words of the API."""
    left = [*values]
    while left:
        match left.pop():
            case str(text):
                yield text
            case dict() as fields:
                left.extend(value for name, value in fields.items() if name not in _WORDS_OF_API)
            case list(items):
                left.extend(items)


def anonymous(seen: Any, names: list[str]) -> Any:
    """Return JSON without names.

    :param seen: what was seen of a point
    :param names: what :func:`names_in` returns
    """
    match seen:
        case str():
            return _without_names(seen, names)
        case dict():
            return {key: anonymous(value, names) for key, value in seen.items()}
        case list():
            return [anonymous(value, names) for value in seen]
    return seen


def _without_names(text: str, names: list[str]) -> str:
    if text in _DOCUMENTED:
        return text
    folded = text.casefold()
    # Most names are nowhere: a pattern is needed only for the others, the longest first.
    if inside := [_pattern(name) for name in names if name in folded]:
        return re.sub("|".join(inside), _NAME, text, flags=re.IGNORECASE)
    return text


def _pattern(name: str) -> str:
    pattern = re.escape(name)
    return pattern if len(name) >= _SHORT else rf"(?<![^\W_]){pattern}(?![^\W_])"
