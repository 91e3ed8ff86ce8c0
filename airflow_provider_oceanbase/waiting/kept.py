"""What Airflow keeps of a wait that began in the triggerer: what its templates made.

Another triggerer that takes the wait over renders its templates again. By then a Variable, a connection or
the DAG may be another, and so the backup that is waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_oceanbase.compat.triggerer import follows_a_try, forget_result, keep, kept
from airflow_provider_oceanbase.exceptions import OceanBaseUnavailableError
from airflow_provider_oceanbase.transport.repeating import is_repeatable, retrying_async

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from airflow_provider_oceanbase.compat.sdk import Logger as AirflowLogger

#: An XCom backend that takes longer counts as one that does not answer.
_ANSWER_SECONDS = 30.0
#: The XCom of a task that has it.
KEY = "oceanbase_wait"


class Kept:
    """What Airflow keeps of a wait.

    :param task_instance: whose wait it is
    :param began: when it began: a cleared or retried task has the XComs of a former try
    :param log: where retries are logged
    """

    def __init__(self, task_instance: Any, began: float, log: logging.Logger | AirflowLogger) -> None:
        self._task_instance = task_instance
        self._began = began
        self._log = log

    @property
    def follows_a_try(self) -> bool:
        """Whether the task had a try before this one, whose result may be there."""
        return follows_a_try(self._task_instance)

    async def forget_result(self) -> None:
        """Delete the result of a former try: it must not be taken for that of this one.

        :raises OceanBaseUnavailableError: Airflow does not
        """
        await self._asking(lambda: forget_result(self._task_instance))

    async def earlier(self) -> dict[str, Any] | None:
        """Return the arguments that an earlier triggerer has kept, None if the wait begins now.

        :raises OceanBaseUnavailableError: Airflow does not say
        """
        found = await self._asking(lambda: kept(self._task_instance, KEY))
        is_ours = isinstance(found, dict) and found.get("began") == self._began
        return cast("dict[str, Any]", found["arguments"]) if is_ours else None

    async def keep(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments.

        :raises OceanBaseUnavailableError: Airflow does not keep them
        """
        value = {"began": self._began, "arguments": arguments}
        await self._asking(lambda: keep(self._task_instance, KEY, value))

    async def _asking(self, request: Callable[[], Awaitable[Any]]) -> Any:
        async def once() -> Any:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await request()
            except Exception as error:
                # Not its text, which may hold a secret.
                raise OceanBaseUnavailableError(
                    f"Airflow does not read or write XComs in the triggerer ({type(error).__name__})",
                    hint="Check Airflow's database, and a custom XCom backend. Then retry the task.",
                ) from None

        return await retrying_async(is_repeatable, self._log)(once)


def not_rendered(problem: str) -> OceanBaseUnavailableError:
    """Return the error of a wait that cannot begin.

    :param problem: which argument could not be rendered, and why; empty: Airflow has rendered none
    """
    if not problem:
        what = "Templates not rendered in the triggerer: the DAG has changed"
        hint = "A retry of the task begins the wait as the DAG is now. Nothing was sent."
    else:
        what = f"Template not rendered in the triggerer ({problem})"
        hint = "The log above says why. Check what the template reads, such as a Variable. Nothing was sent."
    return OceanBaseUnavailableError(what, hint=hint)
