"""Digest authentication of the hook: against the emulator, and against CherryPy."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import answer, set_connection

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.exceptions import OceanBaseAuthenticationError, OceanBaseUnavailableError
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator


def connect(monkeypatch: pytest.MonkeyPatch, cloud: CloudEmulator) -> OceanBaseHook:
    cloud.add_backup_set("ob-1", "bak-1")
    monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
    return OceanBaseHook()


def read(hook: OceanBaseHook, times: int) -> list[str]:
    return [hook.get_backup_set("ob-1", "bak-1")["status"] for _ in range(times)]


def statuses(cloud: CloudEmulator) -> list[int]:
    return [request.status for request in cloud.requests]


@pytest.mark.parametrize("algorithms", [["MD5"], ["SHA-256"], ["SHA-256", "MD5"]])
def test_one_round_trip_per_poll(algorithms: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(algorithms=algorithms) as cloud:
        hook = connect(monkeypatch, cloud)
        assert read(hook, 4) == ["BEGINNING", "DOING", "DONE", "DONE"]
        hook.close()
        assert statuses(cloud) == [401, 200, 200, 200, 200]
        # The attempt without credentials and the one with them have the same requestId.
        ids = [request.query["requestId"] for request in cloud.requests]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 4


def test_expired_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(nonce_seconds=60) as cloud:
        hook = connect(monkeypatch, cloud)
        for seconds in (0.0, 59.0, 61.0, 62.0):
            cloud._clock = functools.partial(float, seconds)
            read(hook, 1)
        hook.close()
        assert statuses(cloud) == [401, 200, 200, 401, 200, 200]


def test_one_time_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(nonce_uses=1) as cloud:
        hook = connect(monkeypatch, cloud)
        read(hook, 3)
        hook.close()
        assert statuses(cloud) == [401, 200] * 3


def test_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(access_key_secret="another") as cloud:
        connect(monkeypatch, cloud)
        set_connection(monkeypatch, login="emulator-key", host=cloud.url)
        hook = OceanBaseHook()
        with pytest.raises(OceanBaseAuthenticationError, match="the AccessKey was not accepted"):
            read(hook, 1)
        hook.close()
        assert statuses(cloud) == [401, 401]


def test_nonce_that_is_always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator(nonce_uses=0) as cloud:
        hook = connect(monkeypatch, cloud)
        with pytest.raises(OceanBaseUnavailableError, match="calls a fresh nonce stale"):
            hook.fetch(backup_set_request("ob-1", "bak-1"), retry=False)
        hook.close()
        assert statuses(cloud) == [401, 401]


def test_key_that_is_disabled_and_enabled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator() as cloud:
        hook = connect(monkeypatch, cloud)
        read(hook, 1)
        cloud.rotate_key("another", "key")
        with pytest.raises(OceanBaseAuthenticationError):
            read(hook, 1)
        cloud.rotate_key("emulator-key", "emulator-secret")
        assert read(hook, 1) == ["DOING"]
        hook.close()


def test_idle_connection_that_the_server_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudEmulator() as cloud:
        hook = connect(monkeypatch, cloud)
        read(hook, 1)
        port = cloud.port
    with CloudEmulator(port=port) as cloud:
        cloud.add_backup_set("ob-1", "bak-1", statuses=("DONE",))
        assert read(hook, 1) == ["DONE"]
        hook.close()
        # The new server does not know the old nonces.
        assert statuses(cloud) == [401, 200]


@pytest.fixture
def foreign_server() -> Iterator[str]:
    """CherryPy's digest authentication, with the vendor's example as response."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CherryPy warns when it is imported
        import cherrypy
        from cheroot.wsgi import Server
        from cherrypy.lib import auth_digest

    class Api:
        @cherrypy.expose
        @cherrypy.tools.json_out()
        def default(self, *path: str, **query: str) -> Any:
            return answer(backupSetId=path[-1], storageClass=query["requestId"])

    config = {
        "tools.auth_digest.on": True,
        "tools.auth_digest.realm": "cherry",
        "tools.auth_digest.get_ha1": auth_digest.get_ha1_dict_plain({"the-key": "the secret, quite odd"}),
        "tools.auth_digest.key": "a1b2c3",
        "tools.auth_digest.accept_charset": "UTF-8",
    }
    application = cherrypy.Application(Api(), "", {"/": config})
    application.log.screen = False
    server = Server(("127.0.0.1", 0), application)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


def test_foreign_server(foreign_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, password="the secret, quite odd", host=foreign_server)
    hook = OceanBaseHook()
    for _ in range(3):
        backup_set: Any = hook.get_backup_set("ob/1", "bak 1", check_backup_set_download_enable=True)
        assert backup_set["backupSetId"] == "bak 1"
        assert len(backup_set["storageClass"]) == 36
    hook.close()
    set_connection(monkeypatch, password="wrong", host=foreign_server)
    with pytest.raises(OceanBaseAuthenticationError, match="the AccessKey was not accepted"):
        hook.get_backup_set("ob-1", "bak-1")
    hook.close()
