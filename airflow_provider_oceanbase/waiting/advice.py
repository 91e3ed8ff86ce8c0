"""How a task fails: with the advice on a line of its own, and without the lines of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_provider_oceanbase.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    triggerer_health,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

T = TypeVar("T")
#: What to do when a wait has timed out: the end of the error's text, which is all that a trigger hands over.
STUCK = (
    "Look the backup up in the console: if it still runs, clear the task to wait again. Raise timeout, if "
    "backups take so long."
)
#: Likewise, of a wait for a point in time.
NOT_RESTORABLE = (
    "Look up backups and log archive in the console: if they go on, clear the task. Raise timeout, if the "
    "log archive is so far behind."
)
#: If the list has what this provider cannot read.
UNREADABLE = (
    "Run airflow oceanbase restorable: it shows what this provider cannot read. Report that. Until then, "
    "wait for a backup with BackupCheckpointSensor."
)
#: If what is waited for is not in the list.
NOT_LISTED = (
    "Check the instance ID, the names of tenants, and Project ID of the connection. A tenant without a "
    "backup may be missing in the list."
)
#: What to do about an empty list.
WRONG_ID = (
    "OceanBase Cloud may answer so for a wrong ID: check the instance ID, and Host and Project ID of the "
    "connection."
)
#: What a time in the future means.
LOCAL_TIMES = "The service may write local times, or the clock of this machine is behind."
AWAY = "Check the network and the state of OceanBase Cloud. Clear the task to wait again."


def no_triggerer() -> str:
    """Return what to do when no triggerer has ended a wait."""
    where = triggerer_health()
    return f"Check that a triggerer runs, under {where}. If one had the wait, the log has the last status."


def advised(log: logging.Logger | AirflowLogger, work: Callable[[], T]) -> T:
    """Do the work of a task; if it fails, log what to do next, and raise the error as if it began here.

    The error's own text says it too, but far to the right of what a browser shows of a line. If Airflow makes
    a skip of an error, only the error's text is logged, as a warning.
    """
    # Inside the function: a DAG file is parsed far more often than its tasks run.
    from airflow_provider_oceanbase.exceptions import (
        BackupStartUnknownError,
        OceanBaseCloudError,
        WaitFailedError,
    )

    failure: BaseException
    try:
        return work()
    except (OceanBaseCloudError, WaitFailedError, BackupStartUnknownError) as error:
        failure, advice = error, error.advice
    except (AirflowSensorTimeout, AirflowTaskTimeout) as error:
        known_hints = (STUCK, NOT_RESTORABLE, UNREADABLE, NOT_LISTED, AWAY, no_triggerer())
        hints = [hint for hint in known_hints if str(error).endswith(hint)]
        if not hints:
            # Airflow's own: its lines say where the task was.
            raise
        failure, advice = error, hints[0].partition(". ")[0] + "."
    except AirflowSkipException as skip:
        # By soft_fail or never_fail: Airflow's own text does not say what happened. It may do so twice.
        cause = skip.__cause__
        while isinstance(cause, AirflowSkipException) and cause.__cause__:
            cause = cause.__cause__
        known = (OceanBaseCloudError, WaitFailedError, AirflowSensorTimeout, AirflowSkipException)
        if isinstance(cause, known) and str(cause) not in str(skip):
            log.warning("%s", cause)
        raise
    if advice:
        log.error("%s", advice)
    # Outside of the handler: the thirty lines of tenacity and others say nothing that the text does not.
    raise failure.with_traceback(None) from None
