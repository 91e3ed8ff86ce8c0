"""Arguments that templates or other tasks may have made: plain values, or an error that names one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeGuard

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.exceptions import OceanBaseInputError

PLAIN_HINT = "Correct the argument. Nothing was sent."
TEMPLATE_HINT = "If it is a template, check what it renders to, under Rendered Template. Nothing was sent."
NATIVE_HINT = f"{TEMPLATE_HINT} To render a list, a DAG needs render_template_as_native_obj=True."


def checked_text(name: str, value: object, kind: str = "ID") -> str:
    """Return an ID, or another word, as text.

    :param kind: what it is, for the error
    :raises OceanBaseInputError: it is blank, no text, no Unicode, or has blanks around it
    """
    # Native rendering makes a number of an ID of digits.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    # A template that finds nothing, for example no XCom, renders "None".
    if not isinstance(text, str) or text.strip() in ("", ".", "..", "None"):
        raise unusable(name, value, f", which is no {kind}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unusable(name, value, ", which is not Unicode text") from None
    if "\0" in text:
        # Some databases refuse it, and with it the event of a trigger, which ends the whole triggerer.
        raise unusable(name, value, ", which has a NUL in it")
    # As str.strip(), and what nobody sees, such as a byte order mark.
    if text != text.strip() or not (text[0] + text[-1]).isprintable():
        raise unusable(name, value, "; it must have no blanks or line breaks around it")
    return text


def checked_names(name: str, values: object) -> list[str]:
    """Return names as a list, whatever collection they are in.

    :raises OceanBaseInputError: they are in none, there are none, or one is unusable
    """
    if not is_list(values):
        raise unusable(name, values, "; it must be a list of names", hint=NATIVE_HINT)
    names = [checked_text(f"an entry of {name}", value, "name") for value in in_order(values)]
    if not names:
        raise unusable(name, names, ", which names none")
    return names


def plain(name: str, value: object) -> object:
    """Return a value as JSON has it: a list for any collection, such as those that Airflow reads lazily.

    :raises OceanBaseInputError: text in it is blank, or has blanks around it
    """
    if value is None or isinstance(value, str):
        return checked_text(name, value, "name")
    if isinstance(value, Mapping):
        return {key: plain(f"{name}[{key!r}]", item) for key, item in value.items()}
    if is_list(value):
        return [plain(f"{name}[{index}]", item) for index, item in enumerate(in_order(value))]
    return value


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Return whether a value can stand for a list: neither text nor a dict."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping)


def in_order(values: Iterable[object]) -> Iterable[object]:
    """Return values in an order that is the same in every process."""
    return sorted(values, key=repr) if isinstance(values, Set) else values


def unusable(name: str, value: object, problem: str, *, hint: str = TEMPLATE_HINT) -> OceanBaseInputError:
    """Return the error for an argument.

    :param problem: ends the sentence
    """
    what = f"Unusable argument: {shown(name)} is {shown(repr(value))}{problem}"
    return OceanBaseInputError(what, hint=hint)
