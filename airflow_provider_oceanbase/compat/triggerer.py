"""What the triggerer of Airflow 3.3 and newer has for a task that begins there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import Context


async def kept(task_instance: Any, key: str) -> Any:
    """Return what a task has kept under a key, None if nothing.

    It is an XCom, but not by the XCom backend of the deployment, which may block the event loop.
    """
    from airflow_provider_oceanbase.compat.sdk import BaseXCom

    return await BaseXCom.aget_one(key=key, **_names(task_instance))


async def keep(task_instance: Any, key: str, value: Any) -> None:
    """Keep a value for :func:`kept`, in place of a former one."""
    from airflow_provider_oceanbase.compat.sdk import BaseXCom

    await BaseXCom.aset(key, value, **_names(task_instance))


def forget(key: str, task_instance: Any) -> None:
    """Delete an XCom of a task, in its worker."""
    from airflow_provider_oceanbase.compat.sdk import XCom

    XCom.delete(key=key, **_names(task_instance))


def forget_dag(task_instance: Any, context: Context) -> None:
    """Let go of the DAG, once templates are rendered.

    The triggerer holds a copy of the whole DAG for each task that begins there, for as long as it waits: six
    MiB for one of 800 tasks.
    """
    context.clear()  # type: ignore[attr-defined]
    task_instance.task = None


def _names(task_instance: Any) -> dict[str, Any]:
    return {name: getattr(task_instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
