from __future__ import annotations

import functools
import hashlib
import math
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from certificates import make_certificate
from conftest import answer
from emulators import AUTH, PATH, QUERY, client, get, statuses
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase.testing import CloudEmulator
from airflow_provider_oceanbase.testing.__main__ import _parser


@pytest.fixture
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator() as emulator:
        yield emulator


def test_response_has_the_documented_fields(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=["DONE"], tenants=["a", "b"], storageClass="X")
    body = get(cloud).json()
    assert (body["success"], body["requestId"]) == (True, "r-1")
    example = answer()["data"]
    assert set(body["data"]) == set(example) | {"storageClass"}
    assert [tenant["tenantName"] for tenant in body["data"]["tenantBackupSetList"]] == ["a", "b"]
    assert set(body["data"]["tenantBackupSetList"][0]) == set(example["tenantBackupSetList"][0])
    assert (body["data"]["status"], body["data"]["validity"]) == ("DONE", "VALID")


def test_status_changes_by_polls(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=[None, "DOING", "DONE"], polls_per_status=2, tenants=None)
    data = [get(cloud).json()["data"] for _ in range(6)]
    assert [found and found["status"] for found in data] == [None, None, "DOING", "DOING", "DONE", "DONE"]
    assert data[2]["endTime"] is None
    assert data[4]["tenantBackupSetList"] is None
    assert cloud.polls("ob-1", "bak-1") == 6
    cloud.add_backup_set("ob-1", "bak-1", statuses=[503, "DOING"])
    assert [get(cloud).status_code for _ in range(2)] == [503, 200]
    cloud.set_status("ob-1", "bak-1", "FAILED")
    assert get(cloud).json()["data"]["status"] == "FAILED"


def test_status_changes_by_time(cloud: CloudEmulator) -> None:
    # It begins with the first poll.
    cloud._clock = lambda: 0.0
    cloud.add_backup_set("ob-1", "bak-1", seconds_per_status=10)
    seen = []
    for seconds in (100.0, 109.0, 110.0, 125.0, 1000.0):
        cloud._clock = functools.partial(float, seconds)
        data = get(cloud).json()["data"]
        tenants = {tenant["dataBackupSize"] for tenant in data["tenantBackupSetList"]}
        assert tenants == {data["dataBackupSize"]}
        seen.append((data["status"], data["dataBackupSize"]))
    assert seen == [
        ("BEGINNING", 0.0),
        ("BEGINNING", 0.027),
        ("DOING", 0.03),
        ("DONE", 0.06),
        ("DONE", 0.06),
    ]


def test_download_is_checked_on_request(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=["DONE"])
    checked = get(cloud, f"{PATH}{QUERY}&checkBackupSetDownloadEnable=true").json()["data"]
    assert checked["downloadEnabled"] is True
    assert get(cloud).json()["data"]["downloadEnabled"] is False


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", PATH, 400),
        ("GET", f"{PATH}{QUERY}&checkBackupSetDownloadEnable=yes", 400),
        ("GET", f"/api/v2/instances/ob-1/backup/data/sets/other{QUERY}", 404),
        ("GET", f"/elsewhere{QUERY}", 404),
        ("DELETE", PATH + QUERY, 405),
        ("POST", f"/api/v2/instances/ob-1/backup/data/sets{QUERY}", 405),
        ("GET", f"/api/v2/instances/ob-1/backup/data/start{QUERY}", 405),
        ("GET", f"/api/v2/instances{QUERY}&pageNumber=1&pageSize=1", 200),
    ],
)
def test_paths(method: str, target: str, status: int, cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    with client(cloud) as session:
        response = session.request(method, cloud.url + target, timeout=5)
    assert response.status_code == status
    assert response.json()["success"] is (status == 200)
    assert ("errorCode" in response.json()) is (status != 200)


def test_ids_are_decoded(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("a/b", "ü?", statuses=["DONE"])
    assert get(cloud, f"/api/v2/instances/a%2Fb/backup/data/sets/%C3%BC%3F{QUERY}").status_code == 200


def test_projects() -> None:
    with CloudEmulator(projects={"p-1"}) as cloud:
        cloud.add_backup_set("ob-1", "bak-1")
        assert get(cloud).status_code == 403
        assert get(cloud, headers={"X-Ob-Project-Id": "p-1"}).status_code == 200


def test_failures_queue_up(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1", statuses=["DONE"])
    cloud.fail(status=429, times=2, error_code="E9", headers={"Retry-After": "1"})
    cloud.fail(status=200, body=b"<html>")
    first, second, third, fourth = (get(cloud) for _ in range(4))
    assert [first.status_code, second.status_code] == [429, 429]
    assert (first.headers["Retry-After"], first.json()["errorCode"]) == ("1", "E9")
    assert (third.content, third.headers["Content-Type"]) == (b"<html>", "text/html")
    assert fourth.json()["success"] is True
    cloud.fail(drop=True)
    with pytest.raises(requests.ConnectionError):
        get(cloud)
    assert statuses(cloud)[-2:] == [401, 0]


def test_digest_with_the_standard_library(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, cloud.url, *AUTH)
    opener = urllib.request.build_opener(urllib.request.HTTPDigestAuthHandler(passwords))
    with opener.open(cloud.url + PATH + QUERY, timeout=5) as response:
        assert response.status == 200
    assert statuses(cloud) == [401, 200]


def test_digest_with_sha_256() -> None:
    with CloudEmulator(algorithms=["SHA-256"]) as cloud:
        cloud.add_backup_set("ob-1", "bak-1")
        assert get(cloud).status_code == 200
        assert statuses(cloud) == [401, 200]
        (proof,) = cloud.seen_digest_responses
        assert re.fullmatch(r"[0-9a-f]{64}", proof)


def test_wrong_secret(cloud: CloudEmulator) -> None:
    assert get(cloud, auth=("emulator-key", "wrong")).status_code == 401
    assert get(cloud, auth=("wrong", "emulator-secret")).status_code == 401
    assert not any(request.authorized for request in cloud.requests)


def test_rotated_key(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    cloud.rotate_key("new", "newer")
    assert get(cloud).status_code == 401
    assert get(cloud, auth=("new", "newer")).status_code == 200


def test_nonce_is_reused_until_it_expires(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    with client(cloud) as session:
        for seconds in (0.0, 100.0, 299.0, 301.0, 302.0):
            cloud._clock = functools.partial(float, seconds)
            assert session.get(cloud.url + PATH + QUERY, timeout=5).status_code == 200
    assert statuses(cloud) == [401, 200, 200, 200, 401, 200, 200]


def test_nonce_is_used_up() -> None:
    with CloudEmulator(nonce_uses=1) as cloud, client(cloud) as session:
        cloud.add_backup_set("ob-1", "bak-1")
        for _ in range(3):
            assert session.get(cloud.url + PATH + QUERY, timeout=5).status_code == 200
        assert statuses(cloud) == [401, 200] * 3


class DigestClient:
    """A client that can forge each field of its Authorization header."""

    def __init__(self, cloud: CloudEmulator) -> None:
        self.cloud = cloud
        challenge = requests.get(cloud.url + PATH + QUERY, timeout=5).headers["WWW-Authenticate"]
        self.challenge = dict(re.findall(r'(\w+)="([^"]*)"', challenge))

    def send(
        self,
        *,
        secret: str = AUTH[1],
        method: str = "GET",
        uri: str = PATH + QUERY,
        nc: str = "00000001",
        **forged: str,
    ) -> Any:
        def md5(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        nonce = forged.get("nonce", self.challenge["nonce"])
        proof = md5(md5(AUTH[0], self.challenge["realm"], secret), nonce, nc, "c", "auth", md5(method, uri))
        fields = (
            self.challenge
            | {"username": AUTH[0], "uri": uri, "response": proof, "qop": "auth", "nc": nc, "cnonce": "c"}
            | forged
        )
        header = "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items())
        return requests.get(self.cloud.url + PATH + QUERY, headers={"Authorization": header}, timeout=5)


def test_each_field_of_the_authorization_is_checked(cloud: CloudEmulator) -> None:
    cloud.add_backup_set("ob-1", "bak-1")
    digest = DigestClient(cloud)
    assert digest.send(secret="wrong").status_code == 401
    assert digest.send(uri="/other").status_code == 401
    assert digest.send(method="POST").status_code == 401
    for field in ("username", "realm", "opaque", "response", "qop", "algorithm", "cnonce"):
        refused = digest.send(**{field: "x"})
        assert refused.status_code == 401
        assert "stale" not in refused.headers["WWW-Authenticate"]
    assert digest.send(nc="zzz").status_code == 401
    assert digest.send(nc="00000001").status_code == 200
    assert digest.send(nc="00000001").status_code == 401
    assert digest.send(nc="00000003").status_code == 200
    assert digest.send(nc="00000002").status_code == 401
    assert "stale=true" in digest.send(nonce="invented").headers["WWW-Authenticate"]
    assert requests.get(cloud.url + PATH, auth=AUTH, timeout=5).status_code == 401


def test_authorization_is_not_stored(cloud: CloudEmulator) -> None:
    get(cloud)
    assert not any("authorization" in request.headers for request in cloud.requests)
    (proof,) = cloud.seen_digest_responses
    assert re.fullmatch(r"[0-9a-f]{32}", proof)


def test_https(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    context = make_certificate(certificate)
    with CloudEmulator(ssl_context=context) as cloud:
        cloud.add_backup_set("ob-1", "bak-1")
        assert cloud.connection["schema"] == "https"
        assert get(cloud, verify=str(certificate)).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            get(cloud)
        assert get(cloud, verify=str(certificate)).status_code == 200


def serve(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "airflow_provider_oceanbase.testing", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], beginning: str) -> list[str]:
    assert process.stdout is not None
    lines = [""]
    while not lines[-1].startswith(beginning):
        lines.append(process.stdout.readline())
        assert lines[-1], "the output has ended"
    return lines[1:]


def test_command_line() -> None:
    with serve("--port", "0", "--seconds", "0.001", "--fail", "503", "--algorithm", "SHA-256") as process:
        assert process.stdout is not None
        try:
            usage = read_until(process, "Read a backup set")
            commands = [shlex.split(process.stdout.readline()) for _ in range(4)]
            assert [command[:3] for command in commands] == [["curl", "--digest", "-u"]] * 4
            auth = HTTPDigestAuth(*commands[0][3].split(":"))
            read, listed, restorable, start = (command[-1] for command in commands)
            answers = [requests.get(url, auth=auth, timeout=5) for url in (read, read, listed, restorable)]
            assert [response.status_code for response in answers] == [503, 200, 200, 200]
            # It begins with the first request.
            assert answers[1].json()["data"]["status"] == "BEGINNING"
            assert answers[2].json()["data"]["total"] == 3
            assert [tenant["tenantName"] for tenant in answers[3].json()["data"]] == [
                "orders",
                "billing",
                "analytics",
            ]
            header, data = (commands[3][commands[3].index(option) + 1] for option in ("-H", "-d"))
            name, _, value = header.partition(": ")
            started = requests.post(start, data, headers={name: value}, auth=auth, timeout=5).json()["data"]
            url = read.replace("bak-demo", started["backupTaskId"])
            assert requests.get(url, auth=auth, timeout=5).status_code == 200
            wrong = HTTPDigestAuth("emulator-key", "wrong")
            assert requests.get(url, auth=wrong, timeout=5).status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
        path = "/api/v2/instances/ob-demo/backup/data"
        *shown, stopped = process.stdout.read().splitlines()
        times, shown = zip(*(line.split(" ", 1) for line in shown), strict=True)
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time in times)
        challenge = "401 challenge, as each client gets it first"
        assert shown[:6] == (
            f"GET {path}/sets/bak-demo > {challenge}",
            f"GET {path}/sets/bak-demo > 503",
            f"GET {path}/sets/bak-demo > 200 BEGINNING",
            f"GET {path}/sets > 200",
            "GET /api/v2/instances/ob-demo/backup/restore/tenants > 200",
            f"POST {path}/start > 200",
        )
        started_path = f"GET {path}/sets/bak-started-1 > "
        assert shown[6].startswith(f"{started_path}200 ")
        assert shown[7:] == (f"{started_path}{challenge}", f"{started_path}401 not this AccessKey")
        assert stopped == "Stopped."
        assert process.wait() == 0
    fields = dict(line.strip().rsplit(maxsplit=1) for line in usage if line.startswith("  "))
    assert fields.items() >= {
        ("Connection type", "oceanbase"),
        ("Host", "127.0.0.1"),
        ("Schema", "http"),
        ("AccessKey ID", "emulator-key"),
        ("AccessKey secret", "emulator-secret"),
    }
    (export,) = [line for line in usage if line.startswith("export ")]
    expected = f"oceanbase://emulator-key:emulator-secret@127.0.0.1:{fields['Port']}/http"
    assert shlex.split(export)[1] == f"AIRFLOW_CONN_OCEANBASE_DEFAULT={expected}"


@pytest.mark.parametrize("requested", [True, False])
def test_command_line_ends_quietly_when_nobody_reads(requested: bool) -> None:
    with serve("--port", "0") as process:
        assert process.stdout is not None
        usage = read_until(process, "curl")
        process.stdout.close()
        url = shlex.split(usage[-1])[-1]
        if requested:
            with suppress(requests.ConnectionError):
                requests.get(url, timeout=5)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seconds", "-1"), "'-1' is no number from 0.001"),
        (("--seconds", "nan"), "'nan' is no number from 0.001"),
        (("--seconds", "inf"), "'inf' is no number from 0.001"),
        (("--seconds", "soon"), "'soon' is no number from 0.001"),
        (("--fail", "999"), "'999' is no whole number from 400 to 599"),
        (("--fail", "200"), "'200' is no whole number from 400 to 599"),
        (("--port", "70000"), "'70000' is no whole number from 0 to 65535"),
        (("--port", "-1"), "'-1' is no whole number from 0 to 65535"),
    ],
)
def test_command_line_refuses(
    arguments: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[0]}: {message}" in capsys.readouterr().err


def test_command_line_reports_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve("--port", port) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors == f"Port {port} of 127.0.0.1 is taken. Choose another --port, or 0 for a free one.\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::1"])
def test_command_line_reports_a_wrong_host(host: str) -> None:
    with serve("--port", "0", "--host", host) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.startswith(f"Cannot listen on --host {host} (")
    assert errors.endswith("). Give an IPv4 address of this machine.\n")


@pytest.mark.parametrize("seconds", [0, -1, 1e-9, math.nan, math.inf])
def test_a_status_lasts_a_while(cloud: CloudEmulator, seconds: float) -> None:
    with pytest.raises(ValueError, match="give a number from"):
        CloudEmulator(seconds_per_status=seconds)
    with pytest.raises(ValueError, match="give a number from"):
        cloud.add_backup_set("ob-1", "bak-1", seconds_per_status=seconds)
