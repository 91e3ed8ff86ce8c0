"""The test of a connection, as Airflow's form and ``airflow connections test`` make it, on real servers."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from conftest import SECRET, set_connection
from digest_server import refuse
from faults.server import Behaviour, answer, hang, reset, serve

from airflow_provider_oceanbase.cloud.diagnosis import diagnosis, success
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseUnavailableError
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator

CHALLENGE = 'Digest realm="r", nonce="n", qop="auth"'
REFUSED = {"success": False, "errorCode": "E1", "errorMessage": "No", "requestId": "r-1"}


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


#: Behaviour of a server; fields of the connection; what the message begins with; what it says to do.
ANSWERS: dict[str, tuple[Behaviour, dict[str, Any], str, str]] = {
    "key": (
        refuse(CHALLENGE),
        {},
        "AccessKey refused (HTTP 401): host ",
        "Check AccessKey ID and AccessKey secret",
    ),
    "another server": (
        refuse("Basic"),
        {},
        "No digest authentication that is known",
        "Check Host and Proxy URL",
    ),
    "permission": (
        answer(REFUSED, 403),
        {},
        "AccessKey may not do this (HTTP 403): host ",
        "Check Project ID",
    ),
    "project": (
        answer(REFUSED, 403),
        {"project_id": "proj-1"},
        "AccessKey may not do this (HTTP 403): host ",
        "project 'proj-1' may not exist",
    ),
    "refused": (answer(REFUSED), {}, "Request refused (HTTP 200): host ", "Check Project ID"),
    "path": (answer(b"", 404), {}, "Not found (HTTP 404): host ", "this does not answer as OceanBase Cloud"),
    "page": (
        answer(b"<html>", Content_Type="text/html"),
        {},
        "Response is not the documented JSON",
        "Check that Host",
    ),
    "redirect": (
        answer(b"", 302),
        {},
        "Response is a redirect (HTTP 302): host ",
        "Set Host of the connection",
    ),
    "busy": (answer(REFUSED, 429), {}, "Too many requests (HTTP 429): host ", "Try again in a while."),
    "down": (answer(b"", 503), {}, "Service failed (HTTP 503): host ", "Try again later"),
    "hangs": (hang, {"timeout": 0.2}, "No complete response in time (timeout 0.2 s): host ", "Check "),
    "drops": (reset(), {}, "No complete response (", "this port may want https"),
}


def told(origin: str, **extra: Any) -> str:
    works, message = OceanBaseHook().test_connection()
    assert not works
    # Nothing of a task, no name that the form makes up, and nothing twice.
    assert not re.search(r"instance|backup|oceanbase_default|poke_interval", message)
    assert SECRET not in message
    assert message.count(origin) <= 1
    assert len(re.findall("Check", message)) <= 2
    assert ("requestId" in message) == ("(HTTP " in message)
    return message


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, extra, begins, advice = ANSWERS[name]
    with serve(behaviour) as server:
        set_connection(monkeypatch, host=server.origin, extra=extra)
        message = told(server.origin)
    assert message.startswith(begins)
    assert advice in message


@pytest.mark.parametrize(
    ("name", "begins", "advice"),
    [
        ("closed", "Host refuses connections", "Check Host, Port"),
        ("away", "Host name not found (gaierror", "Check Host and Proxy URL"),
        ("plain port", "No TLS at this port (SSLError", "Check Port and Schema"),
        ("certificate", "Certificate not trusted (SSLCertVerificationError", "Check TLS verification"),
        ("proxy away", "Proxy refuses connections", "Proxy URL"),
        ("proxy 407", "Proxy wants a password (HTTP 407)", "into Proxy URL"),
        ("proxy 403", "Proxy refuses to connect to the API host (HTTP 403)", "Check Proxy URL"),
        ("field", "Unusable field: password (AccessKey secret) is missing", "Edit the connection"),
    ],
)
def test_networks(
    name: str, begins: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        fields: dict[str, Any] = {"host": "https://api.example", "extra": {}}
        match name:
            case "closed":
                fields["host"] = stack.enter_context(closed_port())
            case "away":
                fields["host"] = "https://no-such-host.invalid"
            case "plain port":
                fields["host"] = stack.enter_context(CloudEmulator()).url.replace("http:", "https:")
            case "certificate":
                context = make_certificate(tmp_path / "certificate.pem")
                fields["host"] = stack.enter_context(serve(answer(b""), context=context)).origin
                fields["extra"] = {"verify": "true"}
            case "proxy away":
                fields["extra"] = {"proxy": stack.enter_context(closed_port())}
            case "proxy 407" | "proxy 403":
                proxy = stack.enter_context(serve(answer(b"", int(name.split()[1]))))
                fields["extra"] = {"proxy": proxy.origin.replace("//", f"//user:{SECRET}@")}
            case "field":
                fields["password"] = ""
        set_connection(monkeypatch, **fields)
        message = told(str(fields["host"]))
    assert message.startswith(begins)
    assert advice in message


def test_success_names_what_the_key_sees(cloud: CloudEmulator) -> None:
    for instance_id in ("ob-1", "ob-2"):
        cloud.add_backup_set(instance_id, "bak-1", statuses=("DONE",))
    assert OceanBaseHook().test_connection() == (
        True,
        "AccessKey accepted. It sees 2 instances in the project that the account used last: ob-1, ob-2.",
    )
    assert cloud.requests[-1].query["pageSize"] == "5"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"dataList": [], "total": 0},
            "AccessKey accepted, but it sees no instance in project 'p'. Check Project ID.",
        ),
        ({"dataList": [{"instanceId": "a"}]}, "AccessKey accepted. It sees 1 instance in project 'p': a."),
        (
            {"dataList": [{"instanceId": "a"}], "total": 7},
            "AccessKey accepted. It sees 7 instances in project 'p': a, ….",
        ),
        (None, "AccessKey accepted in project 'p'."),
        (
            {"dataList": [None, {"instanceId": 3}]},
            "AccessKey accepted, but it sees no instance in project 'p'. Check Project ID.",
        ),
    ],
)
def test_answers_of_any_shape(data: object, says: str) -> None:
    assert success(data, Endpoint("ob", "https://a", "k", "s", project_id="p")) == says


def test_a_long_list_is_cut() -> None:
    data = {"dataList": [{"instanceId": f"a\n{'x' * 5000}"}] * 1000, "total": 10**12}
    text = success(data, Endpoint("ob", "https://a", "k", "s", project_id="p" * 1000))
    assert text.isprintable()
    assert len(text) < 700


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:3128"])
def test_a_silent_proxy_is_not_taken_for_a_port_that_wants_tls(proxy: str | None) -> None:
    endpoint = Endpoint("c", "http://api.example", "key", SECRET, proxy=proxy)
    error = OceanBaseUnavailableError("No complete response (RemoteDisconnected)")
    text = diagnosis(error, endpoint)
    assert ("may want https" in text) == (proxy is None)
    assert ("Proxy URL" in text) == (proxy is not None)
