"""The server side of HTTP digest authentication (RFC 7616, with qop=auth or none), without I/O."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.request import parse_http_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_oceanbase.testing._profile import Profile

REALM = "OceanBase Cloud emulator"
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_MAX_NONCES = 10_000


class AuthResult(Enum):
    """What an ``Authorization`` header proves."""

    ACCEPTED = "accepted"
    MISSING = "missing"
    REFUSED = "refused"
    STALE = "stale"


@dataclass
class _Nonce:
    expires_at: float
    used: int = 0
    last_count: int = 0


@dataclass
class DigestServer:
    """Sends challenges and checks the responses.

    :param access_key_id: accepted user name
    :param access_key_secret: accepted password
    :param profile: which algorithms it offers, whether with ``qop="auth"``, which counts requests, and how
        often a nonce may be used
    :param nonce_seconds: how long a nonce is valid
    :param clock: the time in seconds
    """

    access_key_id: str
    access_key_secret: str
    profile: Profile
    nonce_seconds: float
    clock: Callable[[], float]
    #: The ``response`` values that clients sent: tests check that no log contains them.
    seen_responses: set[str] = field(default_factory=set)
    _nonces: dict[str, _Nonce] = field(default_factory=dict)
    _opaque: str = field(default_factory=lambda: secrets.token_hex(8))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def challenges(self, *, stale: bool) -> list[str]:
        """Return a ``WWW-Authenticate`` value for each algorithm, each with a new nonce."""
        suffix = ", stale=true" if stale else ""
        qop = 'qop="auth", ' if self.profile.qop else ""
        return [
            f'Digest realm="{REALM}", {qop}algorithm={algorithm}, nonce="{self._new_nonce()}", '
            f'opaque="{self._opaque}"{suffix}'
            for algorithm in self.profile.algorithms
        ]

    def check(self, method: str, target: str, authorization: str | None) -> AuthResult:
        """Check the ``Authorization`` header of a request.

        :param target: request target, as in the request line
        """
        scheme, _, rest = (authorization or "").partition(" ")
        if not scheme:
            return AuthResult.MISSING
        if scheme.lower() != "digest":
            return AuthResult.REFUSED
        given = {
            key.strip().lower(): value.strip().strip('"')
            for key, _, value in (item.partition("=") for item in parse_http_list(rest))
        }
        with self._lock:
            self.seen_responses.add(given.get("response", ""))
            if not self._is_proof(method, target, given):
                return AuthResult.REFUSED
            return self._use(given["nonce"], given["nc"] if self.profile.qop else None)

    def _is_proof(self, method: str, target: str, given: dict[str, str]) -> bool:
        """Whether the client proves for this request that it knows the secret."""
        algorithm = given.get("algorithm", "MD5").upper()
        expected = {"username": self.access_key_id, "realm": REALM, "uri": target, "opaque": self._opaque}
        names = ("nonce", "response", *(("nc", "cnonce") if self.profile.qop else ()))
        if (
            algorithm not in self.profile.algorithms
            or given.get("qop") != ("auth" if self.profile.qop else None)
            or any(given.get(name) != value for name, value in expected.items())
            or any(not given.get(name) for name in names)
        ):
            return False
        digest = _HASHES[algorithm]
        secret = digest(f"{self.access_key_id}:{REALM}:{self.access_key_secret}".encode())
        request = digest(f"{method}:{target}".encode())
        counted = f"{given['nc']}:{given['cnonce']}:auth:" if self.profile.qop else ""
        expected_response = digest(f"{secret}:{given['nonce']}:{counted}{request}".encode())
        return hmac.compare_digest(expected_response.encode(), given["response"].encode())

    def _use(self, nonce: str, count: str | None) -> AuthResult:
        known, uses = self._nonces.get(nonce), self.profile.nonce_uses
        is_used_up = known is not None and uses is not None and known.used >= uses
        if known is None or is_used_up or known.expires_at <= self.clock():
            return AuthResult.STALE
        if count is not None:
            try:
                number = int(count, 16)
            except ValueError:
                return AuthResult.REFUSED
            if number <= known.last_count:
                return AuthResult.REFUSED
            known.last_count = number
        known.used += 1
        return AuthResult.ACCEPTED

    def _new_nonce(self) -> str:
        nonce = secrets.token_urlsafe(24)
        with self._lock:
            self._nonces[nonce] = _Nonce(self.clock() + self.nonce_seconds)
            while len(self._nonces) > _MAX_NONCES:
                del self._nonces[next(iter(self._nonces))]
        return nonce
