"""What is served on this machine: ports, responses, and what the emulator received."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from airflow_provider_oceanbase.testing import CloudEmulator

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def fetch(url: str) -> bytes | None:
    """Return what a URL of this machine answers with HTTP 200, None for anything else."""
    try:
        answer = requests.get(url, timeout=10, proxies={"no_proxy": HOST})
    except requests.RequestException:
        return None
    return answer.content if answer.status_code == 200 else None


def listings(cloud: CloudEmulator, instance_id: str) -> int:
    """Return how often the emulator has listed the backup sets of an instance."""
    path = f"/api/v2/instances/{instance_id}/backup/data/sets"
    return sum(seen.status == 200 and seen.path == path for seen in cloud.requests)
