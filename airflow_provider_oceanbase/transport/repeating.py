"""How often, and how long, a request is repeated: one rule for tasks and event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import tenacity

from airflow_provider_oceanbase.exceptions import OceanBaseCloudError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

RETRY_ATTEMPTS = 5
RETRY_SECONDS = 30.0


class _Rule(TypedDict):
    retry: tenacity.retry_if_exception
    stop: tenacity.stop.stop_base
    wait: Callable[[tenacity.RetryCallState], float]
    before_sleep: Callable[[tenacity.RetryCallState], None]
    reraise: bool


def retrying(
    is_repeatable: Callable[[BaseException], bool], log: logging.Logger | AirflowLogger
) -> tenacity.Retrying:
    """Return what calls a function again for a while, as long as its errors are repeatable.

    The log has what was requested once, and each attempt's verdict. What to do is in the error that is raised
    at last.
    """
    return tenacity.Retrying(**_rule(is_repeatable, log))


def retrying_async(
    is_repeatable: Callable[[BaseException], bool], log: logging.Logger | AirflowLogger
) -> tenacity.AsyncRetrying:
    """Return what does as :func:`retrying` does, in an event loop."""
    return tenacity.AsyncRetrying(**_rule(is_repeatable, log))


def is_repeatable(error: BaseException) -> bool:
    """Return whether a request that failed may be sent again at once."""
    return isinstance(error, OceanBaseCloudError) and error.repeatable


def _rule(is_repeatable: Callable[[BaseException], bool], log: logging.Logger | AirflowLogger) -> _Rule:
    logged: set[str] = set()

    def log_retry(state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, OceanBaseCloudError):
            number, pause = state.attempt_number, state.upcoming_sleep
            tries = f"attempt {number} of {RETRY_ATTEMPTS}, the next in {pause:.1f} s"
            text = error.brief if error.verdict in logged else error.text
            logged.add(error.verdict)
            log.warning("%s", text(f"{error.verdict}, {tries}"))

    return {
        "retry": tenacity.retry_if_exception(is_repeatable),
        "stop": tenacity.stop_after_attempt(RETRY_ATTEMPTS) | tenacity.stop_before_delay(RETRY_SECONDS),
        "wait": _retry_pause,
        "before_sleep": log_retry,
        "reraise": True,
    }


def _retry_pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    retry_after = getattr(error, "retry_after", None) or 0.0
    return max(tenacity.wait_exponential_jitter(initial=1, max=10, jitter=1)(state), retry_after)
