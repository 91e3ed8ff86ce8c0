"""What a report of ``check`` says about a service, as the switches of a profile. Plain code.

A report holds what was seen of each point. What was not seen, or cannot be emulated, stays as documented.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_oceanbase._inferred import FORMAT, STATUSES, read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: What was seen of a point; fields of a profile, and their values.
Seen: TypeAlias = "Mapping[str, Any]"
Fields: TypeAlias = "Iterator[tuple[str, Any]]"

_ALGORITHMS = ("MD5", "SHA-256")
#: HTTP statuses by which the API says what there is, or that there is nothing.
_ANSWERS = (200, 400, 403, 404)
#: The form of a time that is a number.
NUMBER = "(number)"
#: What stands in a report in place of a name: as a word of the API, it says nothing.
_NAME = "(name)"
_DIGITS_OF_DATE = len("99999999")
_LONGEST_TIME = 40
#: The fields with words, where a report has their words, and the documented one.
_WORDS = (
    ("object_types", "sets", "CLUSTER"),
    ("object_types", "tenants", "TENANT"),
    ("modes", "backupMode", "PHYSICAL_BACKUP"),
    ("modes", "dataBackupMode", "FULL_BACKUP"),
    ("modes", "triggerMode", "BACKUP_NOW"),
)


def fields_of(report: str) -> dict[str, Any]:
    """Return the fields of a profile that a report gives.

    :param report: its text
    :raises ValueError: it is no report of a format that is known here
    """
    seen = {key: finding.seen for key, finding in read_report(report).items()}
    try:
        found = dict(chain.from_iterable(read(seen[key]) for key, read in _READERS.items() if seen.get(key)))
        return found | {"list_leaves_out": tuple(_left_out(seen)), "words": dict(_words(seen))}
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"a point of the report has another form than in format {FORMAT}") from error


def _challenge(seen: Seen) -> Fields:
    if offers := [one for one in seen["offers"] if one["scheme"] == "Digest"]:
        algorithms = [one["algorithm"] or "MD5" for one in offers]
        yield "algorithms", tuple(name for name in algorithms if name in _ALGORITHMS) or None
        yield "qop", any(one["qop"] for one in offers)


def _polls(seen: Seen) -> Fields:
    yield "nonce_uses", 1 if seen["stale"] >= max(seen["polls"] - 1, 1) else None


def _project(seen: Seen) -> Fields:
    if _is_answer(seen["without"]):
        yield "project_required", seen["without"].get("success") is not True


def _list_end(seen: Seen) -> Fields:
    has = {"total": seen["total"] == "number", "hasMore": seen["has_more"] == "boolean"}
    yield "page_fields", tuple(name for name in has if has[name])


def _page_size(seen: Seen) -> Fields:
    first = seen["pages"][0]
    # A first page of no set is no limit, but a fault.
    is_short = 0 < first["received"] < min(first["requested"], seen["total"] or 0)
    yield "max_page_size", first["received"] if is_short else None


def _order(seen: Seen) -> Fields:
    yield "newest_first", seen["order"] != "oldest first"


def _unknown_backup(seen: Seen) -> Fields:
    if _is_answer(seen):
        yield "unknown_id", None if seen.get("success") is True else seen["http_status"]


def _backup_set_id(seen: Seen) -> Fields:
    if _is_answer(seen.get("details", {})):
        yield "own_set_ids", not seen["same_id"]


def _size(seen: Seen) -> Fields:
    yield "sizes_as_text", "text" in (seen["in_list"], seen["in_details"])


def _times(seen: Seen) -> Fields:
    yield "times", next(filter(_is_form_of_time, _words_in(seen["startTime"])), None)


def _restorable(seen: Seen) -> Fields:
    yield "restore_requires", tuple(_words_in(seen.get("demands", [])))


def _is_answer(seen: Seen) -> bool:
    """Return whether the API answered: not an outage, nor a refused AccessKey."""
    return seen.get("http_status") in _ANSWERS


def _is_form_of_time(form: str) -> bool:
    """Return whether times can be written in a form: with a date at least, and not without end."""
    return form == NUMBER or (len(form) <= _LONGEST_TIME and form.count("9") >= _DIGITS_OF_DATE)


_READERS: dict[str, Callable[[Seen], Fields]] = {
    "challenge": _challenge,
    "polls": _polls,
    "project": _project,
    "list_end": _list_end,
    "page_size": _page_size,
    "list_order": _order,
    "unknown_backup": _unknown_backup,
    "backup_set_id": _backup_set_id,
    "size": _size,
    "times": _times,
    "restorable": _restorable,
}


def _left_out(seen: Mapping[str, Seen]) -> Iterator[str]:
    tenants, listed, validity = (seen.get(key, {}) for key in ("list_tenants", "list", "validity"))
    if tenants and "list" not in _words_in(tenants["in_list"]):
        yield "tenantBackupSetList"
    # While a backup runs, a field may be missing for that.
    if "validity" in _words_in(listed.get("missing", [])) and validity.get("done") == ["(null)"]:
        yield "validity"


def _words(seen: Mapping[str, Seen]) -> Iterator[tuple[str, str]]:
    statuses, validity = seen.get("statuses", {}), seen.get("validity", {})
    ended = _words_in(statuses.get("sets_with_end_time", []))
    strange = [word for word in _only_words(ended) if word.upper() not in STATUSES]
    for status in STATUSES:
        yield from _word(status, _words_in(statuses.get("sets", [])), strange if status == "DONE" else [])
    good = _only_words(_words_in(validity.get("done", [])))
    yield from _word("VALID", good or _words_in(validity.get("others", [])), good)
    for key, field, word in _WORDS:
        found = _words_in(seen.get(key, {}).get(field, []))
        yield from _word(word, found, _only_words(found))


def _words_in(values: object) -> list[str]:
    """Return a list of texts that can be sent.

    :raises TypeError: it is none
    """
    if not isinstance(values, list) or not all(isinstance(one, str) and one.isprintable() for one in values):
        raise TypeError("no list of words")
    return values


def _word(documented: str, seen: list[str], candidates: list[str]) -> Iterator[tuple[str, str]]:
    """Find the service's word for a documented one: in another case, or the only one that it can be."""
    same = [word for word in seen if word.upper() == documented]
    only = candidates if len(candidates) == 1 and _NAME not in candidates[0] else []
    if documented not in seen and (found := same or only):
        yield documented, found[0]


def _only_words(found: Iterable[str]) -> list[str]:
    """Leave out kinds of values; a word that is hidden stays one that there is."""
    return [word for word in found if _NAME in word or not word.startswith("(")]
