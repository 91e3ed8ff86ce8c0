"""Polls that fail for a while: counted, and logged without a flood."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_provider_oceanbase.waiting.metrics import count_poll
from airflow_provider_oceanbase.waiting.progress import LogSchedule, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError


#: For so many seconds after an outage, a short one that is no worse is not logged: polls may fail by turns.
_CALM_SECONDS = 600.0


class Named(Protocol):
    """What polls."""

    @property
    def name(self) -> str:
        """What the log calls it."""


@dataclass(slots=True)
class Outage:
    """Counts polls, and logs when they begin to fail, that they still do, and when they succeed again.

    :param log: where to log it
    :param source: what polls
    """

    log: logging.Logger | AirflowLogger
    source: Named
    #: What happened to the last poll that failed, a phrase.
    what: str = field(default="", init=False)
    _began: float | None = field(default=None, init=False)
    _logged: int = field(default=logging.NOTSET, init=False)
    #: When to log again that it lasts, None as long as polls do not fail.
    _lines: LogSchedule | None = field(default=None, init=False)
    #: When the last outage ended that was logged, and how bad it was.
    _former: tuple[float, int] = field(default=(-math.inf, logging.NOTSET), init=False)

    @property
    def seconds(self) -> float | None:
        """How long polls have been failing, None if the last one did not."""
        return None if self._began is None else time.monotonic() - self._began

    def answered(self) -> None:
        """Record a poll that was answered."""
        count_poll("answered")
        if self._logged:
            lasted = span(self.seconds or 0.0)
            self.log.info("OceanBase Cloud answers again after %s: %s.", lasted, self.source.name)
            self._former = time.monotonic(), self._logged
        self._began = self._lines = None
        self._logged = logging.NOTSET

    def failed(self, error: OceanBaseCloudError, outlook: Callable[[], str] = str) -> None:
        """Record a poll that failed; the error is logged again if it gets worse, and at growing intervals.

        :param outlook: what else a line says at its end
        """
        elapsed = self._count(error.what)
        lines = self._lines = self._lines or LogSchedule()
        level = logging.WARNING if error.transient else logging.ERROR
        if level > max(self._logged, self._calm(elapsed)):
            self._logged = level
            self.log.log(level, "%s%s", error.text(self._verdict(error)), outlook())
        elif lines.is_due(elapsed):
            self._logged = max(self._logged, level)
            verdict = self._verdict(error, f" for {span(elapsed)}")
            self.log.log(level, "%s%s", error.text(verdict), outlook())

    def _calm(self, elapsed: float) -> int:
        """Return the level up to which an outage is not worth a line, because it follows upon another."""
        ended, level = self._former
        return level if time.monotonic() - elapsed - ended < _CALM_SECONDS else logging.NOTSET

    def _verdict(self, error: OceanBaseCloudError, lasts: str = "") -> str:
        return f"{error.verdict}{lasts}; polling continues ({self.source.name})"

    def cut_off(self, seconds: float) -> None:
        """Record a poll that got no answer in the time that the wait had left for it."""
        self._count(f"no answer in {seconds:.0f} s", seconds)
        # Not as the beginning of an outage: the last poll follows, and says how it stands.
        text = "No answer in %.1f s to a poll, and the wait times out: %s."
        self.log.warning(text, seconds, self.source.name)

    def _count(self, what: str, seconds: float = 0.0) -> float:
        """Count a poll that failed; return for how long polls have been failing."""
        count_poll("failed")
        self.what = what
        now = time.monotonic()
        if self._began is None:
            self._began = now - seconds
        return now - self._began
