"""The forms of values that come from the service: what can be told of them without IDs, names and hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_oceanbase.cli.observing import Seen

#: A word of an API, or the name of a field. Without a digit: most IDs have one.
_WORD = re.compile(r"[A-Za-z][A-Za-z_ -]{0,39}")
#: An algorithm, or an error code.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
#: More of them are no vocabulary.
_MOST = 40
_KINDS = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
#: What :func:`kind` returns.
KINDS = frozenset({*_KINDS.values(), "absent", "object", "empty object"})


def kind(values: Mapping[str, Any], field: str) -> str:
    """Return what kind of value a field has: ``absent``, ``null``, ``text``, ``number``, and so on."""
    if field not in values:
        return "absent"
    value = values[field]
    return _KINDS.get(type(value), "object") if value or not isinstance(value, dict) else "empty object"


def words(values: Iterable[object]) -> list[str]:
    """Return the different words, or names of fields, among values; what is none, by its kind in brackets."""
    found = {
        value if isinstance(value, str) and _WORD.fullmatch(value) else f"({kind({'': value}, '')})"
        for value in values
    }
    return sorted(found)[:_MOST]


def name(value: object) -> str | None:
    """Return a name, None if there is none; what is no name, by its kind in brackets."""
    if value is None or (isinstance(value, str) and _NAME.fullmatch(value)):
        return value
    if isinstance(value, str) and all(_NAME.fullmatch(part.strip()) for part in value.split(",")):
        return ",".join(part.strip() for part in value.split(",")[:_MOST])
    return f"({kind({'': value}, '')})"


def forms_of_times(values: Iterable[object]) -> list[str]:
    """Return the different forms of times: 9 for each digit, and a for each letter but T and Z."""
    return sorted(set(map(_form_of_time, values)))[:_MOST]


def _form_of_time(value: object) -> str:
    if not isinstance(value, str):
        return f"({kind({'': value}, '')})"
    form = re.sub(r"[^\W\dTZ_]", "a", re.sub(r"\d", "9", value[:_MOST]))
    # What is not printable would be refused in a report.
    return re.sub(r"[^ -~]", "?", form)


def answer_of(seen: Seen) -> dict[str, Any]:
    """Return what came back: HTTP status, ``success``, ``errorCode``, and the kind of ``data``."""
    envelope = seen.envelope if isinstance(seen.envelope, dict) else {}
    answer: dict[str, Any] = {"http_status": seen.status}
    if not isinstance(seen.envelope, dict):
        return answer | {"body": "no JSON object"}
    success = envelope.get("success")
    answer["success"] = success if isinstance(success, bool) else kind(envelope, "success")
    if "errorCode" in envelope:
        answer["error_code"] = name(envelope["errorCode"])
    return answer | {"data": kind(envelope, "data")}
