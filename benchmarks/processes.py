"""Start and end the processes of a benchmark, each on its own core and with a clean environment."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import select
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.measures import ACCESS_KEY_ID, ACCESS_KEY_SECRET, CONN_ID, HTTP_CONN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
#: Suffixes of environment variables that set proxies or CA bundles.
_UNWANTED = ("_PROXY", "CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_TIMEOUT_SECONDS = 120.0


def cores() -> tuple[int, int] | None:
    """Return a core for the client and one for the server, None if processes cannot be pinned to two."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else None


class BenchmarkError(Exception):
    """A process failed."""


class Child:
    """A process ``python -m MODULE …`` that sends lines of JSON on stdout.

    :param module: name of the module
    :param server: whether it runs on the server's core
    """

    def __init__(self, module: str, *arguments: str, environ: dict[str, str], server: bool = False) -> None:
        self._name = " ".join((module, *arguments[:1]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        if pinned := cores():
            os.sched_setaffinity(self._process.pid, {pinned[server]})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def receive(self, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
        """Return the next message of the process.

        :param timeout: seconds to wait for it
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            why = "ended early" if ready else f"sent nothing for {timeout:.0f} s"
            raise BenchmarkError(f"{self._name}: {why}")
        message: dict[str, Any] = json.loads(line)
        return message

    def request(self, command: str) -> dict[str, Any]:
        """Send a command and return the response."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return self.receive()


class Server(Child):
    """The process of the server.

    :param kind: see :mod:`benchmarks.server`
    :param folder: folder with the files of :func:`make_certificates`
    :param jitter: longest random delay of a response, in seconds
    """

    def __init__(self, kind: str, folder: Path, jitter: float = 0.0) -> None:
        self._folder = folder
        arguments = (kind, str(folder / "server.pem"), str(jitter))
        super().__init__("benchmarks.server", *arguments, environ=dict(os.environ), server=True)
        self.origin = f"https://127.0.0.1:{self.receive()['port']}"

    def environ(self) -> dict[str, str]:
        """Return the environment of a client: a new Airflow home, and connections to this server."""
        bundle = str(self._folder / "bundle.pem")
        clean = {key: value for key, value in os.environ.items() if not key.upper().endswith(_UNWANTED)}
        login = {"login": ACCESS_KEY_ID, "password": ACCESS_KEY_SECRET, "host": self.origin}
        return clean | {
            "AIRFLOW_HOME": str(self._folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
            f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(
                {"conn_type": "oceanbase", **login, "extra": {"verify": bundle}}
            ),
            f"AIRFLOW_CONN_{HTTP_CONN_ID.upper()}": json.dumps({"conn_type": "http", **login}),
            # For aiohttp's default TLS context.
            "SSL_CERT_FILE": bundle,
            "BENCHMARK_ORIGIN": self.origin,
            "BENCHMARK_BUNDLE": bundle,
            "BENCHMARK_CERTIFICATE": str(self._folder / "certificate.pem"),
        }


@contextmanager
def client(server: Server, module: str, *arguments: str) -> Iterator[Child]:
    """Start a client of a server."""
    with Child(module, *arguments, environ=server.environ()) as child:
        yield child


def make_certificates(folder: Path) -> None:
    """Write ``server.pem`` (certificate for 127.0.0.1, and key), ``certificate.pem`` and ``bundle.pem``.

    The bundle is that of certifi with the certificate: clients of a public API load as much.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(certificate + secret)
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "bundle.pem").write_bytes(Path(certifi.where()).read_bytes() + certificate)
