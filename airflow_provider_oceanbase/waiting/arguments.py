"""Defaults of the arguments that DAGs give, and checks of them. Light: DAG files import it when parsed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_oceanbase._inferred import FAILURE_STATUSES as FAILURE_STATUSES
from airflow_provider_oceanbase._inferred import IN_PROGRESS_STATUSES as IN_PROGRESS_STATUSES
from airflow_provider_oceanbase._inferred import SUCCESS_STATUSES as SUCCESS_STATUSES
from airflow_provider_oceanbase.compat.sdk import conf

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase.compat.sdk import BaseOperator, BaseTrigger, KnowsMapping

#: Whether a task waits in the triggerer if its DAG does not say.
DEFAULT_DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)
#: Seconds between two polls.
POKE_INTERVAL = 60.0
#: Seconds of the longest time that counts, five years. Airflow adds it to dates: they end with the year 9999,
#: in MySQL in January 2038.
LONGEST_SECONDS = 5 * 365 * 86400.0
#: Templated arguments that a DAG may leave out.
_OPTIONAL = frozenset({"tenants", "backup_mode", "tenant_id", "database_tables", "query_parameters"})


def checked_statuses(name: str, statuses: Collection[str]) -> tuple[str, ...]:
    """Return the statuses that an argument gives.

    :param name: the argument
    :raises TypeError: it is no list of statuses; a single text would be a list of characters
    """
    # Once: an iterator has nothing left for a second time.
    given = tuple(statuses) if isinstance(statuses, Iterable) else (None,)
    # What is not printable is no status, and might not get into the database with a trigger's event.
    are_words = all(isinstance(status, str) and status.isprintable() for status in given)
    if isinstance(statuses, str) or not are_words:
        raise TypeError(f"{name} must be a list or tuple of statuses, such as ('DONE',), not {statuses!r}")
    return given


def final_statuses(
    success_statuses: Collection[str], failure_statuses: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the statuses that end a wait: with success, and with failure.

    :raises TypeError: one argument is no list of statuses
    :raises ValueError: no wait could use them
    """
    success = checked_statuses("success_statuses", success_statuses)
    failure = checked_statuses("failure_statuses", failure_statuses)
    if not success:
        raise ValueError("success_statuses is empty: the task could never succeed")
    if both := set(success) & set(failure):
        raise ValueError(f"{sorted(both)} cannot be in success_statuses and in failure_statuses")
    return success, failure


def seconds(name: str, value: float | timedelta, *, above_zero: bool = False) -> float:
    """Return a duration in seconds; one of over five years counts as five years.

    :param name: the argument
    :param above_zero: refuse zero
    :raises ValueError: it is no duration, or too short, or infinite
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(number, int | float) or not 0 <= number < math.inf or (above_zero and not number):
        least = "above zero" if above_zero else "not negative"
        raise ValueError(f"{name} is {value!r}; it must be seconds or a timedelta, and {least}")
    return float(min(number, LONGEST_SECONDS))


def sensor_timeout(timeout: float | timedelta | None) -> float:
    """Return the ``timeout`` of a sensor in seconds; None stands for the default of Airflow's configuration.

    :raises ValueError: see :func:`seconds`
    """
    if timeout is None:
        timeout = conf.getfloat("sensors", "default_timeout", fallback=604800.0)
    return seconds("timeout", timeout)


def is_left_out(value: object) -> bool:
    """Return whether an optional argument is none: None, or a list without entries."""
    return value is None or (isinstance(value, Collection) and not isinstance(value, str) and len(value) == 0)


def given(task: KnowsMapping, **optional: object) -> frozenset[str]:
    """Return the names of the optional arguments that a DAG gives, before its templates are rendered.

    Whatever a mapped task is made with counts as given: it may be all that another task has found.
    """
    return frozenset(
        name for name, value in optional.items() if name in task.mapped_arguments or not is_left_out(value)
    )


def check_templates(task: BaseOperator | BaseTrigger, given: Collection[str]) -> None:
    """Check what the templates of a task, or of its trigger, were rendered to, and make it plain.

    It comes before anything is sent.

    :param given: optional arguments that the DAG gives. If a template made nothing of one, it is not left out
    :raises OceanBaseInputError: an argument is unusable; the message names it
    """
    for name, check in _checks().items():
        if name not in task.template_fields:
            continue
        value = getattr(task, name)
        if name not in _OPTIONAL or name in given or not is_left_out(value):
            setattr(task, name, check(name, value))


def _checks() -> dict[str, Callable[[str, object], object]]:
    # Inside the function: a DAG file is parsed far more often than its tasks run.
    from airflow_provider_oceanbase.cloud.arguments import checked_names, checked_text
    from airflow_provider_oceanbase.cloud.backup_sets import checked_time
    from airflow_provider_oceanbase.cloud.restorable import checked_parameters
    from airflow_provider_oceanbase.cloud.start_backup import checked_databases

    return {
        "oceanbase_conn_id": checked_text,
        "instance_id": checked_text,
        "backup_task_id": checked_text,
        "min_checkpoint": lambda name, value: checked_time(name, value).isoformat(),
        "restore_time": lambda name, value: checked_time(name, value).isoformat(),
        "tenants": checked_names,
        "backup_mode": partial(checked_text, kind="backup mode"),
        "backup_object_type": partial(checked_text, kind="type of object"),
        "tenant_id": checked_text,
        "database_tables": checked_databases,
        "query_parameters": checked_parameters,
    }
