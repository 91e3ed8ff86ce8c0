"""What the triggerer of Airflow 3.3 and newer has for a task that begins there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import Context

_RESULT = "return_value"


async def kept(task_instance: Any, key: str) -> Any:
    """Return the XCom of a task, None without one: then Airflow also logs an error in the triggerer's log."""
    from airflow_provider_oceanbase.compat.sdk import XCom

    return await XCom.aget_one(key=key, **_names(task_instance))


async def keep(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom of a task, in place of a former one."""
    from airflow_provider_oceanbase.compat.sdk import XCom

    await XCom.aset(key, value, **_names(task_instance))


async def forget_result(task_instance: Any) -> None:
    """Delete the result of a former try of a task, as Airflow does where a worker begins it.

    Only in Airflow's database: what an XCom backend keeps elsewhere could not be deleted without blocking the
    event loop.
    """
    if task_instance.try_number > 1:
        from airflow_provider_oceanbase.compat.sdk import DeleteXCom, supervisor

        await supervisor().asend(DeleteXCom(key=_RESULT, **_names(task_instance)))


def forget_dag(task_instance: Any, context: Context) -> None:
    """Let go of the DAG, once templates are rendered.

    The triggerer holds a copy of the whole DAG for each task that begins there, for as long as it waits: six
    MiB for one of 800 tasks.
    """
    context.clear()  # type: ignore[attr-defined]
    task_instance.task = None


def _names(task_instance: Any) -> dict[str, Any]:
    return {name: getattr(task_instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
