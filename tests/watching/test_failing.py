"""A watch that fails is seen: the log names asset and connection, and says again that it lasts; a gauge."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from watches import KEY, Store, running, trigger, until

from airflow_provider_oceanbase.compat import sdk
from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.waiting.metrics import FAILING_METRIC
from airflow_provider_oceanbase.watching import names
from airflow_provider_oceanbase.watching.cursor import Criteria
from airflow_provider_oceanbase.watching.names import Watch
from airflow_provider_oceanbase.watching.watcher import Watcher

# As in test_stream.py.
shared = pytest.mark.skipif(
    not find_spec("airflow.triggers.shared_stream"),
    reason="Airflow shares polls, and names assets, from 3.3 on",
)


class Gauges:
    """Stands for Airflow's metrics; holds the values of the gauge."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def incr(self, *_: Any, **__: Any) -> None:
        pass

    def gauge(self, name: str, value: float, *, tags: dict[str, str]) -> None:
        assert name == FAILING_METRIC
        assert tags == {"instance_id": "ob-1", "conn_id": "oceanbase_default"}
        self.values.append(value)


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    gauges = Gauges()
    monkeypatch.setattr(sdk, "Stats", gauges, raising=False)
    return gauges.values


def test_a_watch_is_named_by_the_assets_that_it_serves() -> None:
    watch, other = Watch("ob-1", "c-1"), Watch("ob-1", "c-1")
    instance = "watch of instance 'ob-1', connection 'c-1'"
    assert watch.name == instance
    with watch.serving(["night"]):
        assert other.name == "watch of asset 'night', connection 'c-1'"
        with other.serving(["night", "a\nb"]), other.serving([]):
            assert watch.name == "watch of asset 'a\N{REPLACEMENT CHARACTER}b', 'night', connection 'c-1'"
        # The other one has ended.
        assert watch.name == "watch of asset 'night', connection 'c-1'"
        with other.serving([f"asset-{number}" for number in range(50)]):
            assert watch.name == "watch of asset 'asset-0', 'asset-1', 'asset-10', …, connection 'c-1'"
        assert Watch("ob-2", "c-1").name == "watch of instance 'ob-2', connection 'c-1'"
    assert watch.name == instance
    assert names._assets == {}


@shared
def test_airflow_says_which_assets_a_trigger_is_for() -> None:
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    assets = [Asset(name=name, uri=f"x://{name}") for name in ("night", "day")]
    assert sdk.watched_assets(AssetStateStoreAccessors(inlets=assets)) == ["night", "day"]
    assert sdk.watched_assets(None) == []


@shared
def test_failing_watch_names_asset_and_connection(
    cloud: CloudEmulator, logged: Callable[[], str], gauges: list[float]
) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DOING", "DONE"))
    store: Any = Store()
    store._by_name = {"night": None}

    async def watch() -> None:
        async with running() as triggerer:
            fired = triggerer.run(trigger(), store)
            await until(lambda: KEY in store.values)
            failed = len(gauges)
            cloud.fail(status=503, times=3)
            await until(lambda: any(gauges[failed:]))
            await until(lambda: bool(fired))

    asyncio.run(watch())
    named = "watch of asset 'night', connection 'oceanbase_default'"
    text = logged()
    assert text.count(f"Service failed (HTTP 503); polling continues ({named}): ") == 1
    assert re.search(rf"OceanBase Cloud answers again after 0(\.\d)? s: {named}\.", text)
    assert f"Started the {named}; backup sets already complete: 0." in text
    assert names._assets == {}
    # 0 when it is well, growing as long as it fails.
    failing = [value for value in gauges if value]
    first = gauges.index(failing[0]) if failing else -1
    assert failing == sorted(failing) == gauges[first : first + len(failing)]
    assert gauges[-1] == 0.0


def test_store_that_fails_for_hours_is_logged_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, gauges: list[float]
) -> None:
    caplog.set_level(logging.INFO)
    clock = [1000.0]
    store = Store()
    watcher = Watcher(
        instance_id="ob-1",
        oceanbase_conn_id="oceanbase_default",
        criteria=Criteria(("DONE",), require_valid=True),
        store=store,
        log=logging.getLogger("tests.failing"),
    )
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock[0])
        for _ in range(125):
            watcher._log_failure("read", ConnectionError("a password"))
            clock[0] += 60
        watcher._log_recovery("read")
        watcher._log_recovery("read")
    heads = [record.getMessage().partition(";")[0] for record in caplog.records]
    start = "The record of reported backup sets"
    assert heads == [
        f"{start} cannot be read",
        f"{start} cannot be read for 10 min",
        f"{start} cannot be read for 30 min",
        f"{start} cannot be read for 1 h",
        f"{start} cannot be read for 2 h",
        f"{start} is read again after 2 h 5 min",
    ]
    assert (gauges[0], gauges[-1]) == (0.0, 124 * 60.0)
    assert "a password" not in caplog.text
