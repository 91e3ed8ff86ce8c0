"""What differs between the supported versions of Airflow. No other module depends on the version it runs on.

Airflow moves names from version to version. A library of old and new names is no help: the one that an
Airflow pins is as old as that Airflow. Each name is looked up at its first use, so that a DAG file, which is
parsed again and again, imports only what it needs.
"""

from __future__ import annotations

import sys
import warnings
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from airflow.cli.cli_config import ARG_OUTPUT as ARG_OUTPUT
    from airflow.cli.cli_config import ActionCommand as ActionCommand
    from airflow.cli.cli_config import Arg as Arg
    from airflow.cli.cli_config import GroupCommand as GroupCommand
    from airflow.cli.cli_config import lazy_load_command as lazy_load_command
    from airflow.cli.simple_table import AirflowConsole as AirflowConsole
    from airflow.cli.simple_table import SimpleTable as SimpleTable
    from airflow.sdk import Asset as Asset
    from airflow.sdk import AssetWatcher as AssetWatcher
    from airflow.sdk import BaseHook as BaseHook
    from airflow.sdk import BaseOperator as BaseOperator
    from airflow.sdk import BaseOperatorLink as BaseOperatorLink
    from airflow.sdk import BaseSensorOperator as BaseSensorOperator
    from airflow.sdk import Connection as Connection
    from airflow.sdk import Context as Context
    from airflow.sdk import PokeReturnValue as PokeReturnValue
    from airflow.sdk import ResumableJobMixin as ResumableJobMixin
    from airflow.sdk import RetryDecision as RetryDecision
    from airflow.sdk import RetryPolicy as RetryPolicy
    from airflow.sdk.configuration import conf as conf
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import AirflowTaskTimeout as AirflowTaskTimeout
    from airflow.sdk.execution_time.comms import DeleteXCom as DeleteXCom
    from airflow.sdk.execution_time.comms import GetXCom as GetXCom
    from airflow.sdk.execution_time.comms import SetXCom as SetXCom
    from airflow.sdk.execution_time.xcom import XCom as XCom
    from airflow.sdk.lineage import get_hook_lineage_collector as get_hook_lineage_collector
    from airflow.sdk.observability.stats import Stats as Stats
    from airflow.sdk.types import Logger as Logger
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger
    from airflow.triggers.base import BaseTrigger as BaseTrigger
    from airflow.triggers.base import StartTriggerArgs as StartTriggerArgs
    from airflow.triggers.base import TriggerEvent as TriggerEvent
    from airflow.triggers.shared_stream import AdvanceItem as AdvanceItem
    from airflow.triggers.shared_stream import SharedStreamProducer as SharedStreamProducer

#: The modules that hold a name, or held it, newest first; Airflow 2.11 is the last resort.
_MODULES = {
    "ActionCommand": ("airflow.cli.cli_config",),
    "AdvanceItem": ("airflow.triggers.shared_stream",),
    "AirflowConsole": ("airflow.cli.simple_table",),
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowNotFoundException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSensorTimeout": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSkipException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowTaskTimeout": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "Arg": ("airflow.cli.cli_config",),
    "ARG_OUTPUT": ("airflow.cli.cli_config",),
    "Asset": ("airflow.sdk",),
    "AssetWatcher": ("airflow.sdk",),
    "BaseEventTrigger": ("airflow.triggers.base",),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "BaseTrigger": ("airflow.triggers.base",),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "DeleteXCom": ("airflow.sdk.execution_time.comms",),
    "get_hook_lineage_collector": ("airflow.sdk.lineage", "airflow.lineage.hook"),
    "GetXCom": ("airflow.sdk.execution_time.comms",),
    "GroupCommand": ("airflow.cli.cli_config",),
    "lazy_load_command": ("airflow.cli.cli_config",),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "ResumableJobMixin": ("airflow.sdk",),
    "RetryDecision": ("airflow.sdk",),
    "RetryPolicy": ("airflow.sdk",),
    "SetXCom": ("airflow.sdk.execution_time.comms",),
    "SharedStreamProducer": ("airflow.triggers.shared_stream",),
    "SimpleTable": ("airflow.cli.simple_table",),
    "StartTriggerArgs": ("airflow.triggers.base",),
    "Stats": ("airflow.sdk.observability.stats", "airflow.stats"),
    "TriggerEvent": ("airflow.triggers.base",),
    "XCom": ("airflow.sdk.execution_time.xcom",),
}


class KnowsMapping:
    """Knows with which arguments a mapped task is made.

    Airflow makes its operator of values: what another task returned is no template then, as it is in a task
    that is not mapped.
    """

    #: The names of all arguments of a mapped task; none if the task is not mapped.
    mapped_arguments: frozenset[str] = frozenset()

    def __new__(cls, *_: object, **arguments: object) -> Self:
        """Make the task, or a copy of one."""
        task = super().__new__(cls)
        if arguments.get("_airflow_from_mapped"):
            vars(task)["mapped_arguments"] = frozenset(arguments)
        return task

    def __init__(self, **arguments: Any) -> None:
        # After Airflow's own attributes: Airflow 2 copies them in order, and cannot set others before them.
        mapped = vars(self).pop("mapped_arguments", self.mapped_arguments)
        super().__init__(**arguments)
        vars(self)["mapped_arguments"] = mapped


class _JobMixin:
    """Replaces ``ResumableJobMixin`` before Airflow 3.3: no state is kept, each try starts over."""

    durable = False

    def __init__(self, *, durable: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if durable:
            warnings.warn(
                "durable=True has no effect before Airflow 3.3: each try starts over.", stacklevel=2
            )

    def execute_resumable(self: Any, context: Context) -> Any:
        external_id = self.submit_job(context)
        self.poll_until_complete(external_id, context)
        return self.get_job_result(external_id, context)


def _stand_in(name: str) -> Any:
    """Return the replacement for a name that this version of Airflow does not have."""
    match name:
        case "ResumableJobMixin":
            return _JobMixin
        case "BaseEventTrigger":
            # Airflow 2 cannot watch assets.
            return _found("BaseTrigger")
        case "Asset":
            return import_module("airflow.datasets").Dataset
        case "AssetWatcher":
            return None
    raise ImportError(f"this version of Airflow has no {name}")


def _found(name: str) -> Any:
    for path in _MODULES[name]:
        try:
            module = import_module(path)
        except ModuleNotFoundError as error:
            # Airflow without what it needs itself is broken, not old.
            if not f"{path}.".startswith(f"{error.name}."):
                raise
        else:
            if hasattr(module, name):
                return getattr(module, name)
    return _stand_in(name)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = _found(name)
        return found


def stored_connection(conn_id: str) -> Connection:
    """Return a connection, also outside tasks: in a script, or in a shell.

    There ``BaseHook`` of Airflow 3 does not read Airflow's database. Its command line and its web server do,
    by the class of their models.

    :raises AirflowNotFoundException: there is none
    """
    from airflow_provider_oceanbase.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, ImportError):
        # Only what runs a task or a trigger has SUPERVISOR_COMMS; elsewhere Airflow 3.0 fails to import it.
        runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
        if getattr(runner, "SUPERVISOR_COMMS", None) or not BaseHook.__module__.startswith("airflow.sdk"):
            raise
    from airflow.models.connection import Connection as DatabaseConnection

    return cast("Connection", DatabaseConnection.get_connection_from_secrets(conn_id))


async def read_connection(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Return a connection and its extra, for a trigger.

    Before Airflow 3.3.2 even the asynchronous method masks secrets by a synchronous call to the supervisor.
    That call fails while another call of the same event loop is running, so there a thread reads both. It is
    one of asgiref's: those of asyncio stop the triggerer of Airflow 3.0 and 3.1.
    """
    from airflow_provider_oceanbase.compat.sdk import BaseHook, Connection

    if hasattr(Connection, "aextra_dejson"):
        connection = await BaseHook.aget_connection(conn_id)
        return connection, await connection.aextra_dejson()
    from asgiref.sync import sync_to_async

    def read() -> tuple[Connection, dict[str, Any]]:
        connection = BaseHook.get_connection(conn_id)
        return connection, connection.extra_dejson

    return await sync_to_async(read)()


def is_shared_state(store: Any) -> bool:
    """Return whether a trigger's ``asset_state_store`` is that of several assets, which keeps no state.

    Airflow refuses each use of it with a plain ``ValueError``. So may a store that fails, and nothing public
    tells the two apart.
    """
    return getattr(store, "_total", 1) != 1


def watched_assets(store: Any) -> list[str]:
    """Return the names of the assets whose ``asset_state_store`` a trigger has; none before Airflow 3.3.

    Nothing public tells a trigger which assets it is for.
    """
    return list(getattr(store, "_by_name", ()))


def supervisor() -> Any:
    """Return the way to the supervisor of this process; a task or trigger runs in it."""
    from airflow.sdk.execution_time import task_runner

    return task_runner.SUPERVISOR_COMMS


def starts_in_triggerer() -> bool:
    """Return whether Airflow begins tasks in the triggerer and renders templates there: from 3.3 on."""
    from airflow import __version__

    return tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 3)


def is_made(task: object) -> bool:
    """Return whether a task has been made from the arguments of its DAG, all of them; False if it is mapped.

    Airflow looks at ``start_from_trigger`` before that, too.
    """
    return bool(getattr(task, "_BaseOperator__instantiated", False))


def triggerer_health() -> str:
    """Return where the web UI shows whether a triggerer runs."""
    from airflow_provider_oceanbase.compat.sdk import BaseHook

    page = "Home" if BaseHook.__module__.startswith("airflow.sdk") else "Cluster Activity"
    return f"{page} > Health > Triggerer"


def first_reschedule_date(context: Context) -> datetime | None:
    """Return when a sensor was first rescheduled, None if it never was."""
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        first_date = ti.get_first_reschedule_date(context)
        # dag.test() of Airflow 3.0 returns text.
        return datetime.fromisoformat(first_date) if isinstance(first_date, str) else first_date
    # Airflow 2 has it in the database only.
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session

    with create_session() as session:
        first = session.scalar(TaskReschedule.stmt_for_task_instance(ti).limit(1))
        return None if first is None else cast("datetime", first.start_date)
