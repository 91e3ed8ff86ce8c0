"""Where requests go, and with which AccessKey: one frozen value, made from an Airflow Connection."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import SplitResult, urlsplit

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.hosts import is_host, is_loopback
from airflow_provider_oceanbase.cloud.proxy import environment_proxy, is_proxy_url
from airflow_provider_oceanbase.exceptions import OceanBaseInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "api-cloud.oceanbase.com"
DEFAULT_TIMEOUT_SECONDS = 30.0
MAX_TIMEOUT_SECONDS = 3600.0
_DEFAULT_PORTS = {"https": 443, "http": 80}
#: What the connection form calls the fields that do not say it themselves.
_LABELS = {"login": "AccessKey ID", "password": "AccessKey secret"}
_PEM = b"-----BEGIN "
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class ConnectionLike(Protocol):
    """What is read of an Airflow Connection, whose class differs between versions."""

    conn_id: Any
    login: Any
    password: Any
    host: Any
    schema: Any
    port: Any
    extra: Any


@dataclass(frozen=True)
class Endpoint:
    """An API host, the AccessKey for it, and how to reach it.

    Equal endpoints may share a session.

    :param conn_id: ID of the connection
    :param origin: scheme, host and port, such as ``https://api-cloud.oceanbase.com``
    :param access_key_id: AccessKey ID
    :param access_key_secret: AccessKey secret
    :param project_id: value of the header ``X-Ob-Project-Id``, None to omit it
    :param timeout: seconds to wait for a connection, and for each read
    :param verify: True, False, or the path of a CA bundle
    :param proxy: URL of a proxy, None to connect directly
    """

    conn_id: str
    origin: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    project_id: str | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)

    @classmethod
    def from_connection(cls, connection: ConnectionLike, extra: Mapping[str, Any]) -> Endpoint:
        """Make an endpoint from a connection; proxy and CA bundle fall back to the environment.

        :param extra: the connection's extra as a dict
        :raises OceanBaseInputError: a field is missing or unusable; the message names connection and field
        """
        fields = _Fields(str(connection.conn_id), extra or {})
        fields.check_extra(connection.extra)
        origin = fields.origin(connection.host, connection.schema, connection.port)
        return cls(
            conn_id=fields.conn_id,
            origin=origin,
            access_key_id=fields.access_key_id(connection.login),
            access_key_secret=fields.access_key_secret(connection.password),
            project_id=fields.project_id(),
            timeout=fields.timeout(),
            verify=fields.verify(),
            proxy=fields.proxy(origin),
        )

    @property
    def warning(self) -> str | None:
        """What to warn of: requests that cross a network unencrypted; None if there is nothing."""
        parts = urlsplit(self.origin)
        if parts.scheme == "https" or is_loopback(parts.hostname or ""):
            return None
        return (
            f"Unencrypted: answers from {self.origin} can be changed in transit, by http. "
            f"Use https in connection {shown(self.conn_id)!r}."
        )


class _Fields:
    """Reads the fields of one connection; every error names the connection and the field."""

    def __init__(self, conn_id: str, extra: Mapping[str, Any]) -> None:
        self.conn_id = conn_id
        self.extra = extra

    def bad(self, name: str, problem: str) -> NoReturn:
        label = _LABELS.get(name)
        raise OceanBaseInputError(
            f"Unusable field: {name}{f' ({label})' if label else ''} {problem}",
            conn_id=self.conn_id,
            hint="Edit the connection under Admin > Connections, or where it is defined. Nothing was sent.",
        )

    def check_extra(self, text: str | None) -> None:
        # Airflow takes text that is no JSON for an empty extra.
        extra: object = None
        with suppress(ValueError):
            extra = json.loads(text or "{}") or {}
        if not isinstance(extra, dict):
            self.bad("extra", "is not a JSON object")

    def access_key_id(self, login: str | None) -> str:
        if not login:
            self.bad("login", "is missing")
        if not _is_header_text(login) or any(character in login for character in ':"\\'):
            self.bad("login", "has a character that no AccessKey ID has")
        return login

    def access_key_secret(self, password: str | None) -> str:
        if not password:
            self.bad("password", "is missing")
        if not _is_header_text(password):
            self.bad("password", "has a line break, a blank at an end or a character outside ASCII")
        return password

    def project_id(self) -> str | None:
        project_id = self.extra.get("project_id")
        if project_id in (None, ""):
            return None
        if not isinstance(project_id, str | int) or not _is_header_text(str(project_id)):
            self.bad("extra.project_id", "is not a project ID")
        return str(project_id)

    def timeout(self) -> float:
        timeout = self.extra.get("timeout")
        if timeout in (None, ""):
            return DEFAULT_TIMEOUT_SECONDS
        try:
            seconds = math.nan if isinstance(timeout, bool) else float(timeout)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
            wanted = f"must be a number of seconds over 0 and up to {MAX_TIMEOUT_SECONDS:g}"
            self.bad("extra.timeout", f"is {shown(repr(timeout))}; it {wanted}")
        return seconds

    def verify(self) -> bool | str:
        verify = self.extra.get("verify")
        text = str(verify).strip() if verify is not None else ""
        if text.lower() == "false":
            return False
        if text.lower() not in ("", "true"):
            if not _holds_certificates(text):
                what = "which is neither true nor false nor a file with certificates on this machine"
                self.bad("extra.verify", f"is {shown(repr(verify))}, {what}")
            return text
        for variable in _CA_VARIABLES:
            if path := os.environ.get(variable):
                if not _holds_certificates(path):
                    what = f"is not set, and {variable} of the environment is no file with certificates"
                    self.bad("extra.verify", f"{what}: {shown(repr(path))}")
                return path
        return True

    def proxy(self, origin: str) -> str | None:
        name, proxy = "extra.proxy", self.extra.get("proxy")
        if not proxy:
            name, proxy = "proxy of the environment", environment_proxy(origin)
        # The URL may hold a password: it is never shown.
        if proxy and not is_proxy_url(proxy):
            self.bad(name, "is not a URL such as http://proxy:3128, with user and password percent-encoded")
        return proxy or None

    def origin(self, host: str | None, schema: str | None, port: int | None) -> str:
        text = (host or DEFAULT_HOST).strip()
        if text.count(":") > 1 and "://" not in text and not text.startswith("["):
            text = f"[{text}]"
        parts = self._split("host", text if "://" in text else f"{schema or 'https'}://{text}")
        if schema and schema.lower() != parts.scheme:
            self.bad("schema", f"is {shown(repr(schema))}, but host says {parts.scheme!r}")
        if parts.scheme not in _DEFAULT_PORTS:
            self.bad(
                "schema", f"is {shown(repr(parts.scheme))}; it must be https, or http for a local emulator"
            )
        name = parts.hostname or ""
        path = parts.path.rstrip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if path or not is_host(name):
            self.bad("host", f"is not a host name or a URL without path such as https://{DEFAULT_HOST}")
        wanted_port = self._port(parts, port)
        name = f"[{name}]" if ":" in name else name
        is_default = wanted_port in (None, _DEFAULT_PORTS[parts.scheme])
        return f"{parts.scheme}://{name}" if is_default else f"{parts.scheme}://{name}:{wanted_port}"

    def _port(self, parts: SplitResult, port: int | None) -> int | None:
        if port is not None and parts.port is not None and port != parts.port:
            self.bad("port", f"is {port}, but host says {parts.port}")
        wanted = parts.port if port is None else port
        if wanted is not None and not 0 < wanted < 65536:
            self.bad("port", f"is {wanted}; it must be from 1 to 65535")
        return wanted

    def _split(self, name: str, url: str) -> SplitResult:
        parts = None
        # Not raised within: the error of urlsplit quotes what may be secret.
        with suppress(ValueError):
            split = urlsplit(url)
            _ = split.port
            parts = split
        if parts is None:
            self.bad(name, "is not a valid URL or host name")
        return parts


def _holds_certificates(path: str) -> bool:
    """Return whether a path is a PEM file with certificates, or a directory that may have some."""
    bundle = Path(path)
    try:
        return bundle.is_dir() or _PEM in bundle.read_bytes()
    except (OSError, ValueError):
        # Too long for a path, or with a NUL.
        return False


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
