"""compat.sdk: the only module that knows where each Airflow version keeps its names."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from conftest import CONN_ID, ROOT, SECRET, set_connection
from modes import AIRFLOW_2

from airflow_provider_oceanbase.compat import sdk

PACKAGE = ROOT / "airflow_provider_oceanbase"
OTHERS = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "sdk.py")
#: Modules of other providers, which any module may import.
ELSEWHERE = {"airflow.providers.openlineage.extractors"}


@pytest.mark.parametrize("name", sdk._MODULES)
def test_each_name_is_found_or_substituted(name: str) -> None:
    if name.endswith("XCom") or name in ("AdvanceItem", "SharedStreamProducer"):
        # They exist from Airflow 3.3 on, and only its triggerer uses them.
        pytest.importorskip("airflow.triggers.shared_stream", reason="Airflow shares polls from 3.3 on")
    if name in ("RetryDecision", "RetryPolicy"):
        pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow has them from 3.3 on")
    found = getattr(sdk, name)
    assert (found is None) == (AIRFLOW_2 and name == "AssetWatcher")
    assert getattr(sdk, name) is found


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'BaseNotifier'"):
        _ = sdk.BaseNotifier  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from airflow_provider_oceanbase.compat.sdk import (
            BaseNotifier,  # type: ignore[attr-defined] # noqa: F401
        )


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_knows_versions(path: Any) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        match node:
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case ast.Import(names=names):
                modules = [one.name for one in names]
            case ast.ExceptHandler(type=ast.expr() as caught):
                assert not re.search("ImportError|ModuleNotFoundError", ast.unparse(caught)), node.lineno
        for module in modules:
            assert module.partition(".")[0] not in ("airflow", "importlib") or module in ELSEWHERE, (
                node.lineno
            )


def test_a_broken_airflow_is_not_mistaken_for_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> Any:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")

    monkeypatch.setattr(sdk, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="pydantic"):
        sdk._found("BaseOperator")


@pytest.mark.parametrize("missing", ["airflow.sdk", "airflow.sdk.exceptions", "airflow"])
def test_a_module_that_does_not_exist_yet_is_skipped(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(path: str) -> Any:
        if path.startswith("airflow.sdk"):
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return import_module("decimal")

    monkeypatch.setattr(sdk, "import_module", older)
    monkeypatch.setitem(sdk._MODULES, "Decimal", ("airflow.sdk.exceptions", "airflow.exceptions"))
    assert sdk._found("Decimal") is import_module("decimal").Decimal


def test_substitutes() -> None:
    assert sdk._stand_in("ResumableJobMixin") is sdk._JobMixin
    assert sdk._stand_in("BaseEventTrigger") is sdk.BaseTrigger
    assert sdk._stand_in("AssetWatcher") is None
    with pytest.raises(ImportError, match="has no SharedStreamProducer"):
        sdk._stand_in("SharedStreamProducer")


class Job(sdk._JobMixin):
    """A job that counts how often it starts."""

    started = 0

    def submit_job(self, context: Any) -> str:
        self.started += 1
        return f"job-{self.started}"

    def poll_until_complete(self, external_id: str, context: Any) -> None:
        context["polled"].append(external_id)

    def get_job_result(self, external_id: str, context: Any) -> str:
        return external_id


def test_without_task_state_each_try_starts_a_job() -> None:
    context: Any = {"polled": []}
    job = Job()
    assert [job.execute_resumable(context), job.execute_resumable(context)] == ["job-1", "job-2"]
    assert context == {"polled": ["job-1", "job-2"]}
    assert job.durable is False


def test_durable_is_accepted_and_has_no_effect() -> None:
    assert Job(durable=False).durable is False
    with pytest.warns(UserWarning, match="no effect before Airflow 3.3"):
        assert Job(durable=True).durable is False


def test_connections_are_read_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> Any:
        return await asyncio.gather(*(sdk.read_connection(CONN_ID) for _ in range(20)))

    set_connection(monkeypatch, extra={"timeout": 3})
    for connection, extra in asyncio.run(read()):
        assert (connection.password, extra) == (SECRET, {"timeout": 3})


def test_older_connections_are_read_in_a_thread_that_may_call_the_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hook:
        @staticmethod
        def get_connection(conn_id: str) -> Any:
            threads.append(threading.current_thread())
            # Like the supervisor's client of Airflow 3.0 and 3.1, which fails in a thread of asyncio.
            loops.append(async_to_sync(running_loop)())
            return SimpleNamespace(conn_id=conn_id, extra_dejson={"timeout": 3})

    async def running_loop() -> Any:
        return asyncio.get_running_loop()

    async def read() -> Any:
        return await sdk.read_connection("ob"), asyncio.get_running_loop()

    threads: list[threading.Thread] = []
    loops: list[Any] = []
    monkeypatch.setattr(sdk, "Connection", object)
    monkeypatch.setattr(sdk, "BaseHook", Hook)
    (connection, extra), loop = asyncio.run(read())
    assert (connection.conn_id, extra, loops) == ("ob", {"timeout": 3}, [loop])
    assert threads != [threading.main_thread()]
