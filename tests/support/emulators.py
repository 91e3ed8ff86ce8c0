"""Send requests to the emulator, and act upon those of others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import requests
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.testing._envelope import SeenRequest

AUTH = ("emulator-key", "emulator-secret")
PATH = "/api/v2/instances/ob-1/backup/data/sets/bak-1"
QUERY = "?requestId=r-1"


@contextlib.contextmanager
def client(cloud: CloudEmulator, auth: tuple[str, str] = AUTH) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = HTTPDigestAuth(*auth)
        yield session


def get(
    cloud: CloudEmulator, target: str = PATH + QUERY, auth: tuple[str, str] = AUTH, **options: Any
) -> Any:
    with client(cloud, auth) as session:
        return session.get(cloud.url + target, timeout=5, **options)


def statuses(cloud: CloudEmulator) -> list[int]:
    return [request.status for request in cloud.requests]


def after_polls(cloud: CloudEmulator, count: int, act: Callable[[], None]) -> None:
    """Do something after so many polls that were answered."""

    def on_request(seen: SeenRequest) -> None:
        if len([one for one in cloud.requests if one.status == 200]) == count:
            cloud._on_request = None
            act()

    cloud._on_request = on_request
