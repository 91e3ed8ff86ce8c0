"""What lasts is logged again, at growing intervals; and how times and sizes read in the log. Plain code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.backup_set import tenants_of, time_of

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.backup_set import BackupSet, TenantBackupSet

_HOUR = 3600.0
#: Seconds after which a line is due; after the last of them, one each hour.
_FIRST_LINES = (600.0, 1800.0, _HOUR)
_HALF_A_DAY = 43200
#: Seconds of a unit, of the one that goes with it, and of what the next smaller duration is rounded to.
_UNITS = ((86400, "d", 3600, "h", 60), (3600, "h", 60, "min", 1), (60, "min", 1, "s", 0.1))
#: A larger size in GB is none, and would fill the line.
_LARGEST_SIZE = 1e9
_LEAST_SIZE = 0.001
#: So many names of tenants at most in a line of the log, and characters of each.
_NAMES = 5
_NAME_CHARACTERS = 40


@dataclass(slots=True)
class LogSchedule:
    """When to log again what lasts: after 10 minutes, after 30, then each hour.

    :param due: seconds from the beginning until the next line
    """

    due: float = _FIRST_LINES[0]

    @classmethod
    def after(cls, elapsed: float) -> Self:
        """Return the schedule of what has lasted for so many seconds, and was logged at each time so far."""
        due = next((first for first in _FIRST_LINES if first > elapsed), None)
        return cls(due or (elapsed // _HOUR + 1) * _HOUR)

    def is_due(self, elapsed: float) -> bool:
        """Return whether to log a line now; it counts as logged."""
        if elapsed < self.due:
            return False
        # However late it is: lines that were missed are not made up for.
        self.due = self.after(elapsed).due
        return True


def span(seconds: float) -> str:
    """Return a duration in words, such as ``1 h 30 min``."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    for size, unit, part, part_unit, below in _UNITS:
        # As the unit below would round it: 59.97 seconds are a minute, 86,399 a day.
        if seconds + below / 2 >= size:
            whole, rest = divmod(round(seconds / part), size // part)
            return f"{whole} {unit} {rest} {part_unit}" if rest else f"{whole} {unit}"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def moment(seconds: float) -> str:
    """Return what time it is after so many seconds, such as ``at 10:03 UTC (in 6 h)``."""
    try:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        # Or no number: the line goes on.
        return "never"
    clock = f"{at:%H:%M} UTC" if seconds < _HALF_A_DAY else f"{at:%Y-%m-%d %H:%M} UTC"
    return f"at {clock} (in {span(seconds)})"


def gigabytes(backup_set: TenantBackupSet | None) -> float | None:
    """Return the size of a set in GB, None if it says none that is one."""
    size = backup_set.get("dataBackupSize") if backup_set else None
    # The API may give anything: True is a number, too.
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size < _LARGEST_SIZE:
        return None
    return float(size)


def amount(size: float) -> str:
    """Return a size in GB in words, such as ``0.06 GB``."""
    if 0 < size < _LEAST_SIZE:
        return f"under {_LEAST_SIZE} GB"
    return f"{size:,.3f}".rstrip("0").rstrip(".") + " GB"


def described(backup_set: BackupSet) -> str:
    """Return what is known of a complete set, each part after a semicolon; nothing of what is not."""
    began, ended = time_of(backup_set, "startTime"), time_of(backup_set, "endTime")
    size, validity, checkpoint = (
        gigabytes(backup_set),
        backup_set.get("validity"),
        backup_set.get("checkpoint"),
    )
    parts = [
        f"the backup took {span((ended - began).total_seconds())}"
        if began and ended and began <= ended
        else "",
        "" if size is None else amount(size),
        shown(validity) if validity else "",
        f"checkpoint {shown(checkpoint)}" if isinstance(checkpoint, str) and checkpoint else "",
        _tenants(backup_set),
    ]
    return "".join(f"; {part}" for part in parts if part)


def _tenants(backup_set: BackupSet) -> str:
    tenants = tenants_of(backup_set)
    names = [name for one in tenants[:_NAMES] if isinstance(name := one.get("tenantName"), str)]
    listed = ", ".join(shown(name[:_NAME_CHARACTERS]) for name in names)
    more = ", …" if listed and len(tenants) > _NAMES else ""
    count = f"{len(tenants)} tenant{'s' * (len(tenants) > 1)}" if tenants else ""
    return f"{count} ({listed}{more})" if listed else count
