"""Polls that fail for a while: counted, and logged without a flood."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_oceanbase.waiting.metrics import count_poll

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError


@dataclass(slots=True)
class Outage:
    """Counts polls, and logs when they begin to fail and when they succeed again.

    :param log: where to log it
    """

    log: logging.Logger | AirflowLogger
    #: What happened to the last poll that failed, a phrase.
    what: str = field(default="", init=False)
    _began: float | None = field(default=None, init=False)
    _logged: int = field(default=logging.NOTSET, init=False)

    @property
    def seconds(self) -> float | None:
        """How long polls have been failing, None if the last one did not."""
        return None if self._began is None else time.monotonic() - self._began

    def answered(self) -> None:
        """Record a poll that was answered."""
        count_poll("answered")
        if self._logged:
            self.log.info("OceanBase Cloud answers again after %.0f s.", self.seconds)
        self._began, self._logged = None, logging.NOTSET

    def failed(self, error: OceanBaseCloudError) -> None:
        """Record a poll that failed; the error is logged again only if it gets worse."""
        self._count(error.what)
        level = logging.WARNING if error.transient else logging.ERROR
        if level > self._logged:
            self._logged = level
            text = "The poll failed; polling continues, and the next line says when it succeeds. %s"
            self.log.log(level, text, error)

    def cut_off(self, seconds: float) -> None:
        """Record a poll that got no answer in the time that the wait had left for it."""
        self._count(f"no answer in {seconds:.0f} s", seconds)
        # Not as the beginning of an outage: the last poll follows, and says how it stands.
        self.log.warning("The poll got no answer in %.1f s, and the wait times out.", seconds)

    def _count(self, what: str, seconds: float = 0.0) -> None:
        count_poll("failed")
        self.what = what
        if self._began is None:
            self._began = time.monotonic() - seconds
