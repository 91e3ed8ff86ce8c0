from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oceanbase import get_provider_info
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.compat.sdk import Connection
from airflow_provider_oceanbase.exceptions import OceanBaseInputError

CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def endpoint(extra: dict[str, Any] | None = None, **fields: Any) -> Endpoint:
    fields = {"login": "key", "password": "secret", **fields}
    connection = Connection(conn_id="ob", conn_type="oceanbase", **fields)
    return Endpoint.from_connection(connection, extra or {})


def test_defaults() -> None:
    assert endpoint() == Endpoint(
        conn_id="ob",
        origin="https://api-cloud.oceanbase.com",
        access_key_id="key",
        access_key_secret="secret",
        project_id=None,
        timeout=30.0,
        verify=True,
        proxy=None,
    )


#: For each field of the connection form, a value that is not its default.
OTHER_VALUES: dict[str, Any] = {
    "login": "another-key",
    "password": "another-secret",
    "host": "api-cloud-cn.oceanbase.com",
    "schema": "http",
    "port": 8443,
}
OTHER_EXTRAS: dict[str, Any] = {
    "project_id": "p-1",
    "timeout": 10,
    "verify": "false",
    "proxy": "http://proxy:3128",
}


def test_every_field_of_the_form_has_an_effect() -> None:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]  # type: ignore[index]
    assert not set(connection_type["ui-field-behaviour"]["hidden-fields"]) & set(OTHER_VALUES)
    # The console's URL is for the link, not for requests.
    assert set(connection_type["conn-fields"]) == {*OTHER_EXTRAS, "console_url"}
    for name, value in OTHER_VALUES.items():
        assert endpoint(**{name: value}) != endpoint(), name
    for name, value in OTHER_EXTRAS.items():
        assert endpoint({name: value}) != endpoint(), name


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({"host": "api-cloud-cn.oceanbase.com"}, "https://api-cloud-cn.oceanbase.com"),
        ({"host": "https://api.example"}, "https://api.example"),
        ({"host": "https://api.example/"}, "https://api.example"),
        ({"host": "https://api.example:8443"}, "https://api.example:8443"),
        ({"host": "api.example:8443"}, "https://api.example:8443"),
        ({"host": "https://api.example:443"}, "https://api.example"),
        ({"host": "api.example", "port": 8443}, "https://api.example:8443"),
        ({"host": "HTTP://API.example"}, "http://api.example"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8199}, "http://127.0.0.1:8199"),
        ({"host": "http://api.example", "schema": "http"}, "http://api.example"),
        ({"host": "::1", "schema": "http", "port": 8199}, "http://[::1]:8199"),
        ({"host": "[::1]:8199", "schema": "http"}, "http://[::1]:8199"),
    ],
)
def test_origin(fields: dict[str, Any], origin: str) -> None:
    assert endpoint(**fields).origin == origin


@pytest.mark.parametrize(
    ("fields", "extra", "says"),
    [
        ({"login": None}, {}, "login (AccessKey ID) is missing"),
        ({"login": "a:b"}, {}, "login (AccessKey ID) has a character"),
        ({"login": "a\nb"}, {}, "login (AccessKey ID) has a character"),
        ({"password": None}, {}, "password (AccessKey secret) is missing"),
        ({"password": "sécret"}, {}, "password (AccessKey secret) has"),
        ({"password": "secret\n"}, {}, "password (AccessKey secret) has"),
        ({"host": "https://api.example/path"}, {}, "host is not"),
        ({"host": "https://user@api.example"}, {}, "host is not"),
        ({"host": "https://api.example?x=1"}, {}, "host is not"),
        ({"host": "api.example:many"}, {}, "host is not"),
        ({"host": "api example"}, {}, "host is not"),
        ({"host": "https://"}, {}, "host is not"),
        ({"host": "http://[::1"}, {}, "host is not"),
        ({"host": "*"}, {}, "host is not"),
        ({"host": "2130706433"}, {}, "host is not"),
        ({"host": "127.1"}, {}, "host is not"),
        ({"host": "a..b"}, {}, "host is not"),
        ({"host": ".a"}, {}, "host is not"),
        ({"host": "a%"}, {}, "host is not"),
        ({"host": "-a.example"}, {}, "host is not"),
        ({"host": f"{'a' * 70}.example"}, {}, "host is not"),
        ({"host": ".".join(["a" * 60] * 5)}, {}, "host is not"),
        ({"host": "ftp://api.example"}, {}, "schema is 'ftp'"),
        ({"schema": "ftp"}, {}, "schema is 'ftp'"),
        ({"host": "https://api.example", "schema": "http"}, {}, "schema is 'http', but host says 'https'"),
        ({"host": "api.example:1", "port": 2}, {}, "port is 2, but host says 1"),
        ({"port": 70000}, {}, "port is 70000"),
        ({}, {"project_id": "a\r\nX-Other: b"}, "extra.project_id"),
        ({}, {"project_id": ["a"]}, "extra.project_id"),
        ({}, {"timeout": 0}, "extra.timeout is 0"),
        ({}, {"timeout": -1}, "extra.timeout is -1"),
        ({}, {"timeout": "soon"}, "extra.timeout is 'soon'"),
        ({}, {"timeout": True}, "extra.timeout is True"),
        ({}, {"timeout": [3]}, "extra.timeout is"),
        ({}, {"timeout": "nan"}, "extra.timeout is 'nan'"),
        ({}, {"timeout": 1e9}, "extra.timeout is"),
        ({}, {"timeout": 10**400}, "extra.timeout is"),
        ({}, {"verify": "/no/such/bundle"}, "extra.verify is '/no/such/bundle'"),
        ({}, {"proxy": "proxy:3128"}, "extra.proxy is not a URL"),
        ({}, {"proxy": "socks5://proxy:3128"}, "extra.proxy is not a URL"),
        ({}, {"proxy": "http://proxy:many"}, "extra.proxy is not a URL"),
        ({}, {"verify": "x" * 5000}, "extra.verify is 'xxx"),
        ({}, {"verify": "a\0b"}, "extra.verify is"),
        ({"host": "http://[::1"}, {}, "host is not a valid URL"),
        ({}, {"proxy": 3128}, "extra.proxy is not a URL"),
    ],
)
def test_bad_field_is_named(fields: dict[str, Any], extra: dict[str, Any], says: str) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        endpoint(extra, **fields)
    assert f"Unusable field: {says}" in str(caught.value)
    assert ": connection 'ob'. Edit connection 'ob' under" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("fields", "extra"),
    [
        ({"schema": "x" * 20_000}, {}),
        ({"schema": "x" * 20_000, "host": "https://api.example"}, {}),
        ({"host": "x" * 20_000}, {}),
        ({}, {"timeout": "9" * 20_000}),
        ({}, {"verify": "x" * 20_000}),
        ({}, {"project_id": "\n" * 20_000}),
        ({}, {"proxy": "x" * 20_000}),
    ],
)
def test_bad_field_is_not_quoted_whole(fields: dict[str, Any], extra: dict[str, Any]) -> None:
    with pytest.raises(OceanBaseInputError) as caught:
        endpoint(extra, **fields)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ({"project_id": "p-1"}, "project_id", "p-1"),
        ({"project_id": 17}, "project_id", "17"),
        ({"project_id": ""}, "project_id", None),
        ({"timeout": 5}, "timeout", 5.0),
        ({"timeout": "0.5"}, "timeout", 0.5),
        ({"timeout": ""}, "timeout", 30.0),
        ({"verify": True}, "verify", True),
        ({"verify": "True"}, "verify", True),
        ({"verify": ""}, "verify", True),
        ({"verify": False}, "verify", False),
        ({"verify": "false"}, "verify", False),
        ({"verify": __file__}, "verify", __file__),
        ({"proxy": "http://user:pass@proxy:3128"}, "proxy", "http://user:pass@proxy:3128"),
        ({"proxy": ""}, "proxy", None),
    ],
)
def test_extra(extra: dict[str, Any], field: str, value: object) -> None:
    assert getattr(endpoint(extra), field) == value


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_ca_bundle_of_environment(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv(variable, str(bundle))
    with pytest.raises(OceanBaseInputError, match=f"{variable} of the environment is no file"):
        endpoint()
    bundle.touch()
    with pytest.raises(OceanBaseInputError, match=f"{variable} of the environment is no file with cert"):
        endpoint()
    bundle.write_text(CERTIFICATE)
    assert endpoint().verify == str(bundle)
    other = tmp_path / "other.pem"
    other.write_text(CERTIFICATE)
    assert endpoint({"verify": str(other)}).verify == str(other)
    assert endpoint({"verify": str(tmp_path)}).verify == str(tmp_path)
    assert endpoint({"verify": "false"}).verify is False


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".oceanbase.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, "http://proxy:3128"),
    ],
)
def test_proxy_of_environment(
    environ: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert endpoint().proxy == proxy
    assert endpoint({"proxy": "http://own:1"}).proxy == "http://own:1"


# Airflow 2 itself warns of such an extra.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("extra", ["text", '"text"', '["a"]', "17", "{"])
def test_extra_that_is_no_object_is_refused(extra: str) -> None:
    connection = Connection(conn_id="ob", conn_type="oceanbase", login="k", password="s", extra=extra)
    with pytest.raises(
        OceanBaseInputError, match=r"^Unusable field: extra is not a JSON object: connection 'ob'"
    ):
        Endpoint.from_connection(connection, connection.extra_dejson)


@pytest.mark.parametrize("character", "/#?\\ ")
@pytest.mark.parametrize("variable", [None, "HTTPS_PROXY"])
def test_password_of_a_proxy_stays_out_of_tracebacks(
    character: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://user:hush{character}hush@proxy:3128"
    if variable:
        monkeypatch.setenv(variable, proxy)
    with pytest.raises(OceanBaseInputError, match="percent-encoded") as caught:
        endpoint({} if variable else {"proxy": proxy})
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_repr_shows_no_secret() -> None:
    shown = repr(endpoint({"proxy": "http://user:pass@proxy:3128"}, password="sesame"))
    assert "sesame" not in shown
    assert "pass" not in shown


@pytest.mark.parametrize(
    ("host", "exposes"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost", False),
        ("http://[::1]:1", False),
        ("http://api.example", True),
        ("https://api.example", False),
    ],
)
def test_unencrypted_traffic_is_warned_of(host: str, exposes: bool) -> None:
    warning = endpoint(host=host).warning
    assert (warning is not None) is exposes
    assert not exposes or (f"Unencrypted: answers from {host}" in str(warning) and "'ob'" in str(warning))
