"""Names of hosts that every HTTP library takes for the same host."""

from __future__ import annotations

import re
from ipaddress import ip_address

_MAX_CHARACTERS = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)


def is_host(name: str) -> bool:
    """Return whether a text is an IP address or the name of a host, which may end with a dot."""
    if _is_address(name):
        return True
    *labels, last = name.removesuffix(".").split(".")
    # A number at the end is an address, written in a way that not every library reads.
    return (
        len(name) <= _MAX_CHARACTERS
        and not last.isdigit()
        and all(_LABEL.fullmatch(label) for label in (*labels, last))
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
