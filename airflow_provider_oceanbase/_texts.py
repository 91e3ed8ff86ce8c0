"""The texts of errors and of the log: short, printable, and put together in one order."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_CHARACTERS = 300
#: So much of a line of the log is seen without scrolling, at a width of 1,400 pixels.
SEEN_CHARACTERS = 85
#: So many frames of a bug's traceback are logged, the innermost.
_SHOWN_FRAMES = 6


def shown(text: str) -> str:
    """Return foreign text fit for a message: short, and without control characters."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    if cut.isprintable():
        return cut
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


def first_sentence(hint: str) -> str:
    """Return the beginning of a hint, for a line of the log that is seen whole."""
    begin, stop, _ = hint.partition(". ")
    text = begin + stop.rstrip()
    return text if len(text) <= SEEN_CHARACTERS else text[: SEEN_CHARACTERS - 1] + "…"


def frames(error: Exception) -> str:
    """Return where an error was raised, for a log: the last lines of code, without the texts of errors."""
    return "".join(traceback.format_tb(error.__traceback__, limit=-_SHOWN_FRAMES)).rstrip()


def joined(details: Mapping[str, object]) -> str:
    """Return what is known, each after its name."""
    return ", ".join(f"{name} {value}".strip() for name, value in details.items() if value is not None)


def in_brackets(details: Mapping[str, object]) -> str:
    """Return what is known in brackets after a space, nothing if nothing is."""
    known = joined(details)
    return f" ({known})" if known else ""


def sentence(verdict: str, *parts: str) -> str:
    """Return a sentence of a verdict and of what is known besides."""
    known = "; ".join(part for part in parts if part)
    return f"{verdict}: {known}." if known else f"{verdict}."
