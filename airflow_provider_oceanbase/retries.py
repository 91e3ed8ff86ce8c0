"""Which errors Airflow retries, and when: a retry policy for tasks, from Airflow 3.3 on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import RetryDecision, RetryPolicy
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import Context


class OceanBaseRetryPolicy(RetryPolicy):
    """Retries only what may succeed later, and not before the server allows it.

    Give it to a task, or to all tasks of a DAG: ``default_args={"retry_policy": OceanBaseRetryPolicy()}``.
    ``retries`` and ``retry_delay`` stay as they are. Errors of anything but OceanBase Cloud are retried as
    without a policy.

    Airflow itself never retries a failed backup, a start that may have worked, or a sensor's timeout.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide on a failed try.

        :param exception: why it failed
        :param try_number: which try it was, from 1
        :param max_tries: how many retries the task has
        :param context: the task's context
        :return: no retry, for an error that will not change by itself; a retry after ``Retry-After``, where
            the response had one that is longer than ``retry_delay``; the task's own rule in all other cases
        """
        # The base class itself stands for a bug, of which nobody knows.
        if not isinstance(exception, OceanBaseCloudError) or type(exception) is OceanBaseCloudError:
            return RetryDecision.default()
        name = type(exception).__name__
        if not exception.transient:
            return RetryDecision.fail(f"No retry: {name} will not change by itself")
        seconds, own = exception.retry_after, _own_delay(context)
        # A shorter one must not use up the retries before their time.
        if seconds is not None and (own is None or own.total_seconds() < seconds):
            return RetryDecision.retry(
                timedelta(seconds=seconds),
                f"Retry in {seconds:g} s, as OceanBase Cloud demands: {name}",
            )
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return it for JSON: it has no parameters."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OceanBaseRetryPolicy:  # noqa: ARG003 - name of the base class
        """Make it from what :meth:`serialize` returned."""
        return cls()


def _own_delay(context: Context | None) -> timedelta | None:
    """Return the ``retry_delay`` of the task, None if it is not known."""
    delay = getattr((context or {}).get("task"), "retry_delay", None)
    return delay if isinstance(delay, timedelta) else None
