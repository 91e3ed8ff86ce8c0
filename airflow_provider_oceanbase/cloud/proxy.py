"""The proxy for an API host: a URL that both HTTP libraries can use, and who is exempt from it."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from airflow_provider_oceanbase.cloud.hosts import is_host

#: What urlsplit or an HTTP library would take for the end of a user or password, or refuse.
_NOT_IN_URLS = frozenset(' "<>\\^`{|}')


def environment_proxy(origin: str) -> str | None:
    """Return the URL of the environment's proxy for an origin, None to connect directly."""
    if _is_exempt(origin, os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""):
        return None
    # Not with the module: who imports a hook may never need it, and it takes long.
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(origin, get_environ_proxies(origin, no_proxy=None))
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def is_proxy_url(proxy: object) -> bool:
    """Return whether a value is the URL of a proxy, with user and password percent-encoded, or neither."""
    if not isinstance(proxy, str) or not proxy.isascii() or not proxy.isprintable():
        return False
    try:
        parts = urlsplit(proxy)
        _ = parts.port
        # HTTP libraries send them as Basic, in Latin-1.
        unquote(parts.netloc, errors="strict").encode("latin-1")
        user = unquote(parts.username or "")
    except ValueError:
        return False
    is_bare = (
        parts.path in ("", "/") and not parts.query and not parts.fragment and parts.netloc.count("@") < 2
    )
    return (
        parts.scheme in ("http", "https")
        and is_host(parts.hostname or "")
        # One without the other is sent by some libraries only; Basic has no colon in a user.
        and ("@" not in parts.netloc or (user != "" and parts.password is not None))
        and ":" not in user
        and is_bare
        and not _NOT_IN_URLS & set(proxy)
    )


def _is_exempt(origin: str, no_proxy: str) -> bool:
    """Return whether ``NO_PROXY`` names an origin: what requests does not read, ports and IPv6, included."""
    parts = urlsplit(origin)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for entry in no_proxy.replace(",", " ").split():
        name, entry_port = _split_port(entry.lower())
        if entry_port in ("", str(port)) and _names(name, parts.hostname or ""):
            return True
    return False


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name + (rest if rest.startswith("/") else ""), rest.removeprefix(":") if rest.startswith(
            ":"
        ) else ""
    name, _, port = entry.partition(":")
    # Two colons are an IPv6 address.
    return (entry, "") if ":" in port else (name, port)


def _names(name: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        # A dot at the end says that the name is complete.
        domain, host = name.removeprefix("*").strip("."), host.removesuffix(".")
        return name == "*" or (bool(domain) and (host == domain or host.endswith(f".{domain}")))
