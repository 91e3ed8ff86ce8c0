"""Each cell of the table of faults comes to what its row demands, and shows no secret."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from conftest import set_connection
from faults import cells
from faults.answers import FAULTS
from faults.server import answer, serve

from airflow_provider_oceanbase.exceptions import OceanBaseRefusedError
from airflow_provider_oceanbase.hooks import OceanBaseHook


@pytest.mark.parametrize(("name", "column"), cells.CELLS)
def test_cell(name: str, column: str, logged: Callable[[], str]) -> None:
    assert cells.problems(name, column, cells.run(name, column, logged)) == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAULTS)
def test_no_secret_is_shown(name: str, logged: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    """Neither in errors and their causes, nor in events, trigger arguments and the log, through a proxy."""
    caplog.set_level(logging.DEBUG)
    for column in FAULTS[name].columns:
        cell = cells.run(name, column, logged, proxied=True)
        # At least AccessKey secret, digest and answer to the challenge were there to be shown.
        assert len(cell.secrets) > 5 or FAULTS[name].via
        assert not {secret for secret in cell.secrets if secret in cell.text}


def test_a_fault_is_the_same_whatever_the_caller_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answer(b"", 407)) as proxy:
        set_connection(monkeypatch, host="https://api.example", extra={"proxy": proxy.origin, "timeout": 2})
        try:
            raise TimeoutError("of the caller")
        except TimeoutError:
            with pytest.raises(OceanBaseRefusedError, match="Proxy wants a password"):
                OceanBaseHook().get_backup_set("ob-1", "bak-1")
    assert len(proxy.requests) == 1
