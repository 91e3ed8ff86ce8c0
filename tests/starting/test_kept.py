"""What is kept of a start, and what the start was for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ENDPOINT, json_values

from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.cloud.start_backup import start_backup_request
from airflow_provider_oceanbase.starting.kept import KeptStart, purpose_of

BEGAN = "2026-01-19T10:30:53+00:00"
TABLES = [{"databaseName": "shop", "tables": ["orders", "items"]}, {"databaseName": "crm"}]
SAME: dict[str, tuple[Callable[[Endpoint], Endpoint], dict[str, Any]]] = {
    "another AccessKey": (lambda one: replace(one, access_key_id="new", access_key_secret="new"), {}),
    "another connection, timeout and proxy": (
        lambda one: replace(one, conn_id="x", timeout=5, proxy="http://proxy:1", verify=False),
        {},
    ),
    "no check before": (lambda one: one, {"need_pre_check": False}),
    "another order": (
        lambda one: one,
        {"database_tables": [TABLES[1], {"tables": ["items", "orders"], "databaseName": "shop"}]},
    ),
    "a tuple": (lambda one: one, {"database_tables": tuple(TABLES)}),
}
OTHER: dict[str, tuple[Callable[[Endpoint], Endpoint], dict[str, Any]]] = {
    "host": (lambda one: replace(one, origin="https://api2.example"), {}),
    "port": (lambda one: replace(one, origin=f"{one.origin}:8443"), {}),
    "project": (lambda one: replace(one, project_id="p"), {}),
    "instance": (lambda one: one, {"instance_id": "ob-2"}),
    "kind": (lambda one: one, {"backup_object_type": "tenant", "database_tables": None}),
    "tenant": (lambda one: one, {"tenant_id": "t2"}),
    "no tenant": (lambda one: one, {"tenant_id": None}),
    "database": (lambda one: one, {"database_tables": TABLES[:1]}),
    "table": (
        lambda one: one,
        {"database_tables": [{"databaseName": "shop", "tables": ["orders"]}, TABLES[1]]},
    ),
}


def purpose(endpoint: Endpoint = ENDPOINT, **options: Any) -> str:
    arguments = {
        "instance_id": "ob-1",
        "backup_object_type": "database",
        "tenant_id": "t1",
        "database_tables": TABLES,
    }
    return purpose_of(start_backup_request(**arguments | options), endpoint)


@pytest.mark.parametrize("name", SAME)
def test_the_same_backup(name: str) -> None:
    endpoint, options = SAME[name]
    assert purpose(endpoint(ENDPOINT), **options) == purpose()


@pytest.mark.parametrize("name", OTHER)
def test_another_backup(name: str) -> None:
    endpoint, options = OTHER[name]
    assert purpose(endpoint(ENDPOINT), **options) != purpose()


def test_keys_may_be_numbers() -> None:
    assert purpose(database_tables=[{1: "a", "b": 2}]) == purpose(database_tables=[{"b": 2, "1": "a"}])


def test_a_digest_stays_the_same_from_release_to_release() -> None:
    # Otherwise a task that runs across an update would start a second backup.
    assert purpose() == "d7d10f7eaa5f448f715eb9d90f9acf54b9cfce258bb928ea6e0bd6daecee0988"


def test_earlier_releases_kept_less() -> None:
    assert KeptStart.from_json("bak-1") == KeptStart("bak-1")
    assert KeptStart.from_json({"starting_since": BEGAN}) == KeptStart(starting_since=BEGAN)


@given(
    st.builds(
        KeptStart,
        st.none() | st.text(min_size=1),
        st.none() | st.text(min_size=1),
        st.none() | st.text(min_size=1),
        st.none() | st.integers(0, 99),
        st.booleans(),
    )
)
def test_what_is_kept_is_read_again(kept: KeptStart) -> None:
    stored = json.loads(json.dumps(kept.to_json()))
    assert KeptStart.from_json(stored) == kept


@given(json_values)
def test_anything_can_be_read(value: Any) -> None:
    kept = KeptStart.from_json(value)
    assert kept.name
    assert kept.since
    assert kept.began(5.0) <= 5.0


def test_began() -> None:
    assert KeptStart(starting_since=BEGAN).began(2e9) == 1768818653
    # The clock was set back.
    assert KeptStart(starting_since=BEGAN).began(1000) == 1000
