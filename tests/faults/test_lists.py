"""Bad responses to the list of backup sets: at the first page of a poll, and at a later one."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import answer as vendors_answer
from faults.answers import FAULTS, TYPICAL, connect
from faults.server import Behaviour, answer, serve
from modes import MODES, wait

from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError, OceanBaseCloudError
from airflow_provider_oceanbase.hooks import OceanBaseHook

MIN_CHECKPOINT = "2026-01-19T00:00:00Z"
pytestmark = pytest.mark.usefixtures("small_limits")


def page(name: str, *, status: str = "DONE", total: int = 1, more: bool = False) -> Behaviour:
    backup_set = vendors_answer(backupSetId=name, status=status)["data"]
    data = {"dataList": [backup_set], "total": total, "hasMore": more}
    return answer({"success": True, "requestId": "theirs", "data": data})


DOING, DONE = page("bak-1", status="DOING"), page("bak-1")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TYPICAL)
def test_wait(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    assert fault.error
    with serve(DOING, fault.behaviour, DONE) as server:
        connect(monkeypatch, server, timeout=fault.timeout)
        if fault.error.transient:
            assert wait(mode, min_checkpoint=MIN_CHECKPOINT)["backupSetId"] == "bak-1"
            assert len(server.requests) == 3
            return
        if fault.error is OceanBaseAuthenticationError:
            # The connection is read again and the request is repeated once, which succeeds here.
            assert wait(mode, min_checkpoint=MIN_CHECKPOINT)["backupSetId"] == "bak-1"
            return
        with pytest.raises(OceanBaseCloudError) as caught:
            wait(mode, min_checkpoint=MIN_CHECKPOINT)
    assert type(caught.value) is fault.error
    assert fault.says in str(caught.value)
    assert ": the backup sets of instance 'ob-1', connection " in str(caught.value)
    assert len(server.requests) == 2


@pytest.mark.parametrize("mode", MODES)
def test_half_a_list_is_not_used(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first page has a set that meets the condition, but the list is incomplete.
    half = page("bak-1", total=2, more=True)
    with serve(DOING, half, answer(b"", 503), page("bak-2")) as server:
        connect(monkeypatch, server)
        assert wait(mode, min_checkpoint=MIN_CHECKPOINT)["backupSetId"] == "bak-2"
    assert len(server.requests) == 4


@pytest.mark.usefixtures("no_pauses")
def test_hook_retries_only_the_page_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = page("bak-1", total=2, more=True), page("bak-2", total=2)
    with serve(first, answer(b"", 503), answer(b"", 502), last, first) as server:
        connect(monkeypatch, server)
        hook = OceanBaseHook()
        found: list[Any] = list(hook.list_backup_sets("ob-1"))
        hook.close()
    assert [one["backupSetId"] for one in found] == ["bak-1", "bak-2"]
    numbers = [head.partition("pageNumber=")[2][:1] for _, head in server.requests]
    # The first page once more, since a list of several pages may change while it is read.
    assert numbers == ["1", "2", "2", "2", "1"]
