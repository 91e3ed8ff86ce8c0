"""Bad responses to the operator, and to a wait in each mode."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest.mock import MagicMock

import pytest
from conftest import answer as vendors_answer
from faults.answers import ENVELOPE, FAULTS, TYPICAL, connect
from faults.server import DOING, DONE, Behaviour, answer, backup_set, bomb, drip, endless, hang, serve
from modes import MODES, wait

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.operators import GetBackupSetOperator
from airflow_provider_oceanbase.transport.repeating import RETRY_ATTEMPTS

IN_A_YEAR = format_datetime(datetime.now(UTC) + timedelta(days=365))
SUBJECT = "backup task 'bak-1' of instance 'ob-1'"
pytestmark = pytest.mark.usefixtures("small_limits")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    return slept


def execute() -> Any:
    operator = GetBackupSetOperator(task_id="get", instance_id="ob-1", backup_task_id="bak-1")
    ti = MagicMock()
    return operator.execute({"ti": ti}), ti.xcom_push.call_args  # type: ignore[typeddict-item]


@pytest.mark.parametrize("name", TYPICAL)
def test_fault_that_stays(name: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    assert fault.error
    with serve(fault.behaviour) as server:
        connect(monkeypatch, server, timeout=fault.timeout)
        with pytest.raises(fault.error, match=re.escape(fault.says)) as caught:
            execute()
    assert SUBJECT in str(caught.value)
    assert "requestId" in str(caught.value)
    assert len(server.requests) == (RETRY_ATTEMPTS if fault.error.transient else 1)
    assert sum(pauses) < 30
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("header", "seconds"), [("2", 2), (IN_A_YEAR, 3600)], ids=["two seconds", "in a year"]
)
def test_retry_after_bounds_the_pause(
    header: str, seconds: float, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []
    pause = "airflow_provider_oceanbase.waiting.schedule.PollSchedule.pause"

    def note(schedule: Any, elapsed: float, *, retry_after: float | None = None, seed: object = "") -> float:
        seen.append(retry_after)
        return 0.05

    monkeypatch.setattr(pause, note)
    with serve(DOING, answer(ENVELOPE, 429, Retry_After=header), DONE) as server:
        connect(monkeypatch, server)
        wait(mode)
    # In reschedule mode the next poll looks how long its pause was meant to be.
    assert [one for one in seen if one is not None] == [pytest.approx(seconds, abs=2)]


@pytest.mark.parametrize("status", ["odd", "done", "Done", "DONE ", "SUCCESS"])
def test_no_other_status_is_a_success(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in MODES:
        with serve(backup_set(status=status), backup_set(status=status), DONE) as server:
            connect(monkeypatch, server)
            assert wait(mode)["status"] == "DONE"
        assert len(server.requests) == 3


def test_operator_accepts_a_null_list(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(backup_set(tenantBackupSetList=None)) as server:
        connect(monkeypatch, server)
        assert execute()[0] == []


def test_five_thousand_tenants(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    monkeypatch.setattr(protocol, "MAX_BODY_BYTES", 16 * 2**20)
    (tenant,) = vendors_answer()["data"]["tenantBackupSetList"]
    tenants = [{**tenant, "tenantName": f"tenant-{number}"} for number in range(5000)]
    with serve(backup_set(tenantBackupSetList=tenants)) as server:
        connect(monkeypatch, server)
        returned, pushed = execute()
        assert wait("deferrable") == pushed.kwargs["value"]
    assert returned == tenants
    assert pushed.kwargs["value"]["tenantCount"] == 5000
    assert len(json.dumps(pushed.kwargs["value"])) < 4096
    assert "5000 tenants, 2.3 MB for XCom: backup task" in logged()


@pytest.mark.parametrize("behaviour", [endless, bomb(2**30)], ids=["endless", "bomb"])
@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_memory_is_bounded(behaviour: Behaviour, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    limit = protocol.MAX_BODY_BYTES
    assert limit == 16 * 2**20
    with serve(DOING, behaviour, DONE) as server:
        connect(monkeypatch, server)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        tracemalloc.start()
        try:
            assert wait(mode, poke_interval=0.01)["status"] == "DONE"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert server.sent_bytes < 1.5 * limit
    assert peak < 3 * limit


def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serve(DOING, DOING, DONE) as server:
        connect(monkeypatch, server)
        for mode in ("poke", "deferrable"):
            wait(mode)
    assert not any("authorization" in head.lower() for _, head in server.requests)


def test_hook_is_usable_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(hang, drip, endless, DONE) as server:
        connect(monkeypatch, server, timeout=0.3)
        hook = OceanBaseHook()
        monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
        assert hook.get_backup_set("ob-1", "bak-1")["status"] == "DONE"
        hook.close()
    assert len(server.requests) == 4
