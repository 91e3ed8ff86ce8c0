"""What all commands have in common: the connection, exit codes, and quiet ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from commands import AIRFLOW, MODULE, environ, in_airflow, run

from airflow_provider_oceanbase.cli.run import Exit
from airflow_provider_oceanbase.testing import CloudEmulator


def test_errors(server: CloudEmulator) -> None:
    code, out, err = run(server, "instances", "--conn-id", "nowhere")
    assert (code, out) == (1, "")
    assert (
        err.strip()
        .splitlines()[-1]
        .startswith("Connection missing, or not readable now: connection 'nowhere'.")
    )
    assert run(server, "backups")[0] == 2
    former = server.connection_uri
    server.rotate_key("other", "other-secret")
    assert run(server, "backups", "ob-cli7", connection=former)[0] == 1


@contextmanager
def running(server: CloudEmulator, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command without a terminal, which a test ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environ(server), stdout=pipe, stderr=pipe, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


WATCH = ("backups", "ob-cli7", "--watch", "--interval", "0.2", "-o", "json")
WAIT = ("backup", "ob-cli7", "bak-stuck", "--wait", "--interval", "0.2")


@pytest.mark.parametrize(
    ("entry", "words"),
    [(MODULE, WATCH), (MODULE, WAIT), pytest.param(AIRFLOW, WAIT, marks=in_airflow)],
    ids=["watch", "wait", "airflow"],
)
@pytest.mark.usefixtures("obeys_ctrl_c")
def test_ctrl_c_is_quiet(server: CloudEmulator, entry: tuple[str, ...], words: tuple[str, ...]) -> None:
    server.add_backup_set("ob-cli7", "bak-stuck", statuses=("DOING",))
    with running(server, *entry, *words) as one:
        assert one.stdout
        assert one.stderr
        # The list, or the line of the first poll: what follows is a pause.
        lines = one.stdout if words is WATCH else one.stderr
        assert any("bak-" in line for line in lines)
        one.send_signal(signal.SIGINT)
        assert one.wait(60) == Exit.INTERRUPTED
        assert "Traceback" not in one.stderr.read()


def test_a_closed_pipe_is_quiet(server: CloudEmulator) -> None:
    with running(server, *MODULE, *WATCH) as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.stdout.close()
        assert one.wait(60) == Exit.BROKEN_PIPE
        assert "Error" not in one.stderr.read()


def test_a_retry_says_what_to_do_once(server: CloudEmulator) -> None:
    server.fail(status=503, times=2)
    code, out, err = run(server, "instances", "-o", "json")
    assert (code, len(json.loads(out))) == (0, 1)
    whole, brief = err.splitlines()
    assert whole.startswith("Service failed (HTTP 503), attempt 1 of 5, the next in ")
    assert "the list of instances" in whole
    assert brief.startswith("Service failed (HTTP 503), attempt 2 of 5, the next in ")
    assert re.fullmatch(r".* s: requestId [^ ]+\.", brief)
