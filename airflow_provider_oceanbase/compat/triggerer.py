"""What the triggerer of Airflow 3.3 and newer has for a task that begins there."""

from __future__ import annotations

import asyncio
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from airflow_provider_oceanbase.compat.sdk import Context

_RESULT = "return_value"


async def kept(task_instance: Any, key: str) -> Any:
    """Return the XCom of a task, None without one: then Airflow also logs an error in the triggerer's log."""
    from airflow_provider_oceanbase.compat.sdk import GetXCom, XCom, supervisor

    found = await supervisor().asend(GetXCom(key=key, **_names(task_instance)))
    return None if found.value is None else await _aside(partial(XCom.deserialize_value, found))


async def keep(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom of a task, in place of a former one."""
    from airflow_provider_oceanbase.compat.sdk import SetXCom, XCom, supervisor

    names = _names(task_instance)
    stored = await _aside(partial(XCom.serialize_value, value, key=key, **names))
    await supervisor().asend(SetXCom(key=key, value=stored, **names))


def follows_a_try(task_instance: Any) -> bool:
    """Return whether a task was retried or cleared."""
    return bool(task_instance.try_number > 1)


async def forget_result(task_instance: Any) -> None:
    """Delete the result of a former try of a task, as Airflow does where a worker begins it.

    Only in Airflow's database: what an XCom backend keeps elsewhere could not be deleted without blocking the
    event loop.
    """
    if follows_a_try(task_instance):
        from airflow_provider_oceanbase.compat.sdk import DeleteXCom, supervisor

        await supervisor().asend(DeleteXCom(key=_RESULT, **_names(task_instance)))


def forget_result_in_worker(task_instance: Any) -> None:
    """Delete it in a worker, if no trigger has."""
    if follows_a_try(task_instance):
        from airflow_provider_oceanbase.compat.sdk import DeleteXCom, supervisor

        supervisor().send(DeleteXCom(key=_RESULT, **_names(task_instance)))


def forget_dag(task_instance: Any, context: Context) -> None:
    """Let go of the DAG, once templates are rendered.

    The triggerer holds a copy of the whole DAG for each task that begins there, for as long as it waits: six
    MiB for one of 800 tasks.
    """
    context.clear()  # type: ignore[attr-defined]
    task_instance.task = None


async def _aside(work: Callable[[], Any]) -> Any:
    """Do what an XCom backend does, such as a request to an object store, beside the event loop.

    Airflow's own asynchronous methods of XComs do it in the event loop, and so block every trigger.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


@cache
def _threads() -> Executor:
    # Not those of the event loop, which look up hosts: a store that hangs would take them all.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(4, "oceanbase-xcom")


def _names(task_instance: Any) -> dict[str, Any]:
    return {name: getattr(task_instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
