from __future__ import annotations

import pytest

from airflow_provider_oceanbase.cloud.proxy import environment_proxy, is_proxy_url

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("no_proxy", "origin", "exempt"),
    [
        ("*", "https://api.example", True),
        ("api.example", "https://api.example", True),
        (".example", "https://api.example", True),
        ("*.example", "https://api.example", True),
        ("API.EXAMPLE", "https://api.example", True),
        ("other, api.example", "https://api.example", True),
        ("api.example:443", "https://api.example", True),
        ("api.example:8443", "https://api.example:8443", True),
        ("api.example:8443", "https://api.example", False),
        ("10.0.0.1", "http://10.0.0.1", True),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", True),
        ("10.0.0.1:80", "http://10.0.0.1:8080", False),
        ("10.0.0.0/8", "https://10.1.2.3:8443", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("::1", "http://[::1]:80", True),
        ("[::1]", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::1]:8081", "http://[::1]:8080", False),
        ("fd00::/8", "https://[fd12::1]", True),
        ("[fd00::]/8", "https://[fd12::1]", True),
        ("fd00::/8", "https://[fe80::1]", False),
        ("api.example.", "https://api.example", True),
        ("api.example", "https://api.example.", True),
        (".example.", "https://api.example.", True),
        ("", "https://api.example", False),
        (",:,[,/", "https://api.example", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy(
    no_proxy: str, origin: str, exempt: bool, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv(variable, no_proxy)
    assert environment_proxy(origin) == (None if exempt else PROXY)


@pytest.mark.parametrize(
    "proxy",
    [
        PROXY,
        "https://proxy",
        "http://user:p%2Fw%23%3F%5C@proxy:3128/",
        "http://user:%C3%A4@[::1]:3128",
        "http://user:@proxy",
        "http://user_name-1:pw@a.b-c_d.example.:1",
    ],
)
def test_usable(proxy: str) -> None:
    assert is_proxy_url(proxy)


@pytest.mark.parametrize(
    "proxy",
    [
        *(f"http://user:hush{character}hush@proxy:3128" for character in '/#?\\ \n\t\x00<>"^`{|}@é[]'),
        "http://user:%E4%BD%A0@proxy:3128",
        "http://user:%E4@proxy:3128",
        "http://user:%FF%FE%00\udc80@proxy",
        "http://user@proxy",
        "http://:hush@proxy",
        "http://@proxy",
        "http://us%3Aer:hush@proxy",
        "http://%31.example",
        "http://2130706433",
        "http://a..b",
        "http://*",
        "http://proxy:99999",
        "http://proxy:3128/path",
        "http://:3128",
        "ftp://proxy",
        3128,
        None,
    ],
)
def test_unusable(proxy: object) -> None:
    assert not is_proxy_url(proxy)
