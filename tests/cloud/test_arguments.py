"""Arguments that templates or other tasks may have made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lists import COLLECTIONS, Lazy

from airflow_provider_oceanbase.cloud.arguments import checked_names, checked_text, plain
from airflow_provider_oceanbase.exceptions import OceanBaseInputError


@pytest.mark.parametrize("values", COLLECTIONS.values(), ids=COLLECTIONS)
def test_names_in_any_collection(values: Any) -> None:
    assert checked_names("tenants", values) == ["billing", "orders"]
    assert plain("tables", values) == ["billing", "orders"]


def test_names_of_an_iterator() -> None:
    # As Jinja's filters map and select give.
    assert checked_names("tenants", (name for name in ("b", "a"))) == ["b", "a"]


def test_numbers_are_ids() -> None:
    assert checked_text("tenant_id", 1002) == "1002"
    assert checked_names("tenants", [1002, "t1"]) == ["1002", "t1"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (None, "tenants is None; it must be a list of names"),
        ("", "tenants is ''; it must be a list of names"),
        ("None", "tenants is 'None'; it must be a list of names"),
        ("orders", "tenants is 'orders'; it must be a list of names"),
        (b"orders", "tenants is b'orders'; it must be a list of names"),
        (7, "tenants is 7; it must be a list of names"),
        ({"tenantName": "orders"}, "it must be a list of names"),
        ([], "tenants is [], which names none"),
        (Lazy(), "tenants is [], which names none"),
        (iter(()), "tenants is [], which names none"),
        (["orders", None], "an entry of tenants is None, which is no name"),
        (["orders", "None"], "an entry of tenants is 'None', which is no name"),
        (["orders", ""], "an entry of tenants is '', which is no name"),
        (["orders\n"], "an entry of tenants is 'orders\\n'; it must have no blanks or line breaks around it"),
        (["a\ud800b"], "an entry of tenants is 'a\\ud800b', which is not Unicode text"),
        (["a\ud800"], "an entry of tenants is 'a\\ud800', which is not Unicode text"),
        (["a\0b"], "an entry of tenants is 'a\\x00b', which has a NUL in it"),
        ([True], "an entry of tenants is True, which is no name"),
        ([1.5], "an entry of tenants is 1.5, which is no name"),
        ([{"tenantName": "orders"}], "an entry of tenants is {'tenantName': 'orders'}, which is no name"),
        (Lazy("orders", ["billing"]), "an entry of tenants is ['billing'], which is no name"),
    ],
)
def test_no_names(values: Any, says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        checked_names("tenants", values)
    assert says in str(caught.value)
    assert "Nothing was sent." in str(caught.value)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        checked_text("instance_id", ["x" * 10_000])
    assert len(str(caught.value)) < 700


def test_plain() -> None:
    value = Lazy({"databaseName": "shop", "tables": {"b": 1, "a": 2}.keys(), "more": Lazy(1, 2.5, True, ())})
    expected = [{"databaseName": "shop", "tables": ["a", "b"], "more": [1, 2.5, True, []]}]
    assert plain("database_tables", value) == expected
    assert json.loads(json.dumps(plain("database_tables", value))) == expected


@pytest.mark.parametrize("nothing", [None, "", " ", "None", "shop "])
def test_plain_names_what_is_nothing(nothing: Any) -> None:
    with pytest.raises(OceanBaseInputError, match=r"database_tables\[1\]\['tables'\]\[0\] is "):
        plain("database_tables", [{"tables": ["a"]}, {"tables": [nothing]}])
