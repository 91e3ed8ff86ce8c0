"""Where the console of OceanBase Cloud shows an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

#: By API host. Of the international site, no page of a project or an instance is known.
_CONSOLES = {"api-cloud-cn.oceanbase.com": "https://console-cn.oceanbase.com/{project_id}/instances"}


def console_link(host: str | None, extra: Mapping[str, Any], instance_id: object) -> str:
    """Return the URL of the console's page, empty if it is not known.

    :param host: host of the connection
    :param extra: extra of the connection: ``console_url`` is a URL that may hold ``{project_id}`` and
        ``{instance_id}``
    :param instance_id: ID of the OceanBase cluster
    """
    name = urlsplit(host if host and "://" in host else f"//{host or ''}").hostname or ""
    url = str(extra.get("console_url") or _CONSOLES.get(name.removesuffix("."), ""))
    if not url.startswith(("https://", "http://")):
        return ""
    for field, value in {"project_id": extra.get("project_id"), "instance_id": instance_id}.items():
        if f"{{{field}}}" in url:
            if not value:
                return ""
            url = url.replace(f"{{{field}}}", quote(str(value), safe=""))
    return url
