from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oceanbase.cloud.console import console_link

CHINA = "https://console-cn.oceanbase.com/p-1/instances"
BOTH = "https://console.example/{project_id}/{instance_id}?tab=backup"


@pytest.mark.parametrize("host", ["api-cloud-cn.oceanbase.com", "https://API-cloud-cn.oceanbase.com.:443/"])
def test_the_console_of_the_china_site_is_known(host: str) -> None:
    assert console_link(host, {"project_id": "p-1"}, "ob-1") == CHINA
    assert console_link(host, {}, "ob-1") == ""
    own = {"project_id": "p-1", "console_url": BOTH}
    assert console_link(host, own, "ob-1") == "https://console.example/p-1/ob-1?tab=backup"


@pytest.mark.parametrize(
    ("extra", "instance_id", "link"),
    [
        ({"project_id": "p-1"}, "ob-1", ""),
        ({"console_url": BOTH, "project_id": 17}, "ob-1", "https://console.example/17/ob-1?tab=backup"),
        ({"console_url": BOTH}, "ob-1", ""),
        ({"console_url": BOTH, "project_id": "p-1"}, None, ""),
        ({"console_url": BOTH, "project_id": "p-1"}, "", ""),
        # What comes from elsewhere stays in its place.
        (
            {"console_url": BOTH, "project_id": "{instance_id}"},
            "a/b?c#d",
            "https://console.example/%7Binstance_id%7D/a%2Fb%3Fc%23d?tab=backup",
        ),
        ({"console_url": "https://console.example/"}, None, "https://console.example/"),
        ({"console_url": "https://console.example/{other}"}, "ob-1", "https://console.example/{other}"),
        ({"console_url": "javascript:alert(1)"}, "ob-1", ""),
        ({"console_url": ["https://console.example/"]}, "ob-1", ""),
    ],
)
@pytest.mark.parametrize("host", [None, "", "api-cloud.oceanbase.com"])
def test_others_are_configured(host: str | None, extra: dict[str, Any], instance_id: Any, link: str) -> None:
    assert console_link(host, extra, instance_id) == link
