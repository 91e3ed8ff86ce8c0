"""How a task fails: with the advice on a line of its own, and without the lines of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

T = TypeVar("T")


def advised(log: logging.Logger | AirflowLogger, work: Callable[[], T]) -> T:
    """Do the work of a task; if it fails, log what to do next, and raise the error as if it began here.

    The error's own text says it too, but far to the right of what a browser shows of a line.
    """
    # Inside the function: a DAG file is parsed far more often than its tasks run.
    from airflow_provider_oceanbase.exceptions import (
        BackupSetFailedError,
        BackupStartUnknownError,
        OceanBaseCloudError,
    )

    try:
        return work()
    except (OceanBaseCloudError, BackupSetFailedError, BackupStartUnknownError) as error:
        failure = error
    if failure.advice:
        log.error("%s", failure.advice)
    # Outside of the handler: the thirty lines of tenacity and others say nothing that the text does not.
    raise failure.with_traceback(None) from None
