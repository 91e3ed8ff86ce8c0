"""Run the tries of a StartBackupOperator as Airflow does, but in one process."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import MagicMock

from modes import fire, stored
from moved import TaskDeferred

from airflow_provider_oceanbase.operators import StartBackupOperator
from airflow_provider_oceanbase.testing import CloudEmulator

MODES = ("poke", "deferrable")


class State(dict[str, Any]):
    """The state that Airflow stores for a task between tries."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Task:
    """A task: each try has a new operator, and all share the state."""

    def __init__(self, mode: str = "poke", **options: Any) -> None:
        self.options = {"poke_interval": 0.01, "deferrable": mode == "deferrable", **options}
        self.state = State()
        self.ti = MagicMock(max_tries=0)

    def clear(self, **changed: Any) -> None:
        """Clear the task, with changed options: its next run is no retry."""
        self.ti.max_tries += 1
        self.options |= changed

    def run(self) -> str:
        """Run one try like Airflow; return the XCom, or raise the failure."""
        task = operator(**self.options)
        self.ti.reset_mock()
        try:
            return task.execute(self.context)
        except TaskDeferred as deferral:
            event = asyncio.run(fire(stored(deferral.trigger)))
            assert deferral.timeout is not None
            return str(
                operator(**self.options).resume_execution(
                    deferral.method_name, {"event": event}, self.context
                )
            )

    @property
    def context(self) -> Any:
        return {"ti": self.ti, "task_state_store": self.state}

    @property
    def xcoms(self) -> dict[str, Any]:
        return {call.kwargs["key"]: call.kwargs["value"] for call in self.ti.xcom_push.call_args_list}


def operator(**options: Any) -> StartBackupOperator:
    defaults = {"task_id": "start", "instance_id": "ob-1", "backup_object_type": "tenant"}
    return StartBackupOperator(**defaults | options)


def waiting(mode: str, **options: Any) -> Task:
    return Task(mode, wait_for_completion=True, **options)


def starts(cloud: CloudEmulator) -> int:
    return len([seen for seen in cloud.requests if seen.method == "POST" and seen.authorized])


def plan(cloud: CloudEmulator, *statuses: str | int | None, **fields: Any) -> str:
    return cloud.next_backup("ob-1", statuses=statuses, polls_per_status=1, **fields)
