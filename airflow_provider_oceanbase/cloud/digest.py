"""HTTP digest authentication (RFC 7616) without I/O: reads challenges, and computes the answers to them.

The digests of requests and aiohttp differ in the challenges they fail on. Both clients use this one, so that
tasks and triggers are let in by the same servers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# Looked up at each use: where MD5 is forbidden, hashlib has no md5, or one that raises ValueError.
_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "SHA-256": lambda data: hashlib.sha256(data),
    "SHA-512": lambda data: hashlib.sha512(data),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data),
}
_SESSION_SUFFIX = "-SESS"
_DEFAULT_ALGORITHM = "MD5"
#: A longer header takes an event loop too long to read. A nonce has some 50.
MAX_CHALLENGE_CHARACTERS = 16 * 1024
#: What is sent back as it was received.
_ECHOED = ("realm", "nonce", "opaque")
#: All of it together: with the rest of the header within the 8 kB that many servers take.
_MAX_ECHOED_CHARACTERS = 7500
#: Whoever answers so says nothing about the header that was sent.
_TOO_MANY_REQUESTS = 429
#: What both libraries send. A surrogate is a byte that is no UTF-8, and aiohttp sends only UTF-8.
_SENDABLE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105
_QUOTED = r'"(?P<quoted>(?:[^"\\]|\\.)*+)"'
#: An element of the list that a header is, with the commas and blanks before it. It matches any text: what is
#: neither a parameter nor the start of a challenge is skipped up to the next comma.
_ELEMENT = re.compile(
    rf"""[\s,]*+(?:
        (?P<name>{_TOKEN})\s*+=\s*+(?:{_QUOTED}|(?P<plain>[^\s",]*+))(?=[\s,]|\Z)
      | (?P<scheme>{_TOKEN})(?=[\s,]|\Z)(?:\s++[A-Za-z0-9._~+/-]++=*+(?=\s*+(?:,|\Z)))?
      | (?:[^",]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++
      | \Z
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """A way to authenticate that a server offers; the names of parameters are in lower case."""

    scheme: str
    parameters: dict[str, str]


def read_challenges(www_authenticate: str) -> list[Challenge]:
    """Read the challenges of a ``WWW-Authenticate`` header. Of a repeated parameter, the last one counts.

    A longer header than :data:`MAX_CHALLENGE_CHARACTERS` has none.

    :param www_authenticate: its value, as UTF-8 with surrogate escapes; repeated headers are joined by commas
    """
    challenges: list[Challenge] = []
    if len(www_authenticate) > MAX_CHALLENGE_CHARACTERS:
        return challenges
    for element in _ELEMENT.finditer(www_authenticate):
        name, quoted, plain, scheme = element.group("name", "quoted", "plain", "scheme")
        if scheme is not None:
            challenges.append(Challenge(scheme, {}))
        elif name is not None and challenges:
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            challenges[-1].parameters[name.lower()] = value
    return challenges


def answerable_challenge(www_authenticate: str) -> Challenge | None:
    """Return the first challenge whose answer can be computed here, None if there is none.

    :param www_authenticate: as for :func:`read_challenges`
    """
    return next(filter(_is_answerable, read_challenges(www_authenticate)), None)


def _is_answerable(challenge: Challenge) -> bool:
    parameters = challenge.parameters
    qops = _qops(parameters)
    return (
        challenge.scheme.lower() == "digest"
        and "realm" in parameters
        and parameters.get("nonce", "") != ""
        and _is_sendable(parameters)
        and (not qops or "auth" in qops)
        and _hash(_algorithm(parameters)) is not None
    )


def _is_sendable(parameters: dict[str, str]) -> bool:
    echoed = [parameters.get(name, "") for name in _ECHOED]
    return all(map(_SENDABLE.fullmatch, echoed)) and sum(map(len, echoed)) <= _MAX_ECHOED_CHARACTERS


class DigestAuth:
    """Authenticates requests to one server, one after another.

    It keeps the nonce of the last challenge while requests succeed by it, so that a request needs no
    challenge of its own. What stands before the server may refuse, or drop, what it does not like in the
    answer to an odd challenge; so the request after a failure is sent without one. That costs a round trip
    per failure, and no more: HTTP 429, which comes in numbers, says nothing about the header.

    :param username: sent in each answer
    :param password: never sent
    """

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._session: _Session | None = None
        #: Whether the last request went out with an answer, and nothing came back.
        self._is_open = False
        #: H(username:realm:password), by realm and algorithm: the ones in use.
        self._user_hash: tuple[tuple[str, str], str] | None = None

    def authorization(self, method: str, target: str) -> str | None:
        """Return the ``Authorization`` header of a request, None before the first challenge.

        :param target: path and query, exactly as they are sent
        :return: text to encode as UTF-8
        """
        if self._is_open:
            self._forget()
        if self._session is None:
            return None
        self._is_open = True
        return self._session.authorization(method, target)

    def answered(self, status: int, authentication_info: str = "") -> None:
        """Take the response to a request, unless :meth:`challenged` took it.

        :param authentication_info: its ``Authentication-Info``: a server may replace a nonce ahead of time
        """
        self._is_open = False
        if 200 <= status < 300:
            if authentication_info:
                self._next_nonce(authentication_info)
        elif status not in (401, _TOO_MANY_REQUESTS):
            self._forget()

    def challenged(self, www_authenticate: str) -> bool:
        """Take the header of a 401; return whether it is worth repeating the request with an answer.

        :param www_authenticate: as for :func:`read_challenges`
        """
        self._forget()
        challenge = answerable_challenge(www_authenticate)
        if challenge is None or (hash_text := _hash(_algorithm(challenge.parameters))) is None:
            return False
        parameters = challenge.parameters
        known = parameters["realm"], _algorithm(parameters)
        if self._user_hash is None or self._user_hash[0] != known:
            self._user_hash = known, hash_text(f"{self._username}:{parameters['realm']}:{self._password}")
        self._session = _Session(self._username, parameters, self._user_hash[1], hash_text)
        return True

    def _next_nonce(self, authentication_info: str) -> None:
        # A list of parameters, as a challenge is.
        challenge, *_ = read_challenges(f"Digest, {authentication_info}")
        nonce = challenge.parameters.get("nextnonce")
        if self._session is not None and nonce and _is_sendable(self._session.parameters | {"nonce": nonce}):
            self._session.start(nonce)

    def _forget(self) -> None:
        self._session = None
        self._is_open = False


class _Session:
    """What answers to one challenge have in common: an authentication session, as the RFC calls it."""

    def __init__(
        self, username: str, parameters: dict[str, str], secret: str, hash_text: Callable[[str], str]
    ) -> None:
        self.parameters = parameters
        self._hash = hash_text
        # One for all answers: servers differ in which answer's counts in the secret of a "-sess" algorithm.
        self._client_nonce = secrets.token_hex(8)
        is_bound = _algorithm(parameters).endswith(_SESSION_SUFFIX)
        self._secret = (
            hash_text(f"{secret}:{parameters['nonce']}:{self._client_nonce}") if is_bound else secret
        )
        self._counts = bool(_qops(parameters))
        fields = [f"username={_quote(username)}", f"realm={_quote(parameters['realm'])}"]
        if "opaque" in parameters:
            fields.append(f"opaque={_quote(parameters['opaque'])}")
        if algorithm := parameters.get("algorithm"):
            fields.append(f"algorithm={algorithm}")
        if self._counts:
            fields.append("qop=auth")
        if self._counts or is_bound:
            fields.append(f'cnonce="{self._client_nonce}"')
        self._fields = ", ".join(fields)
        self.start(parameters["nonce"])

    def start(self, nonce: str) -> None:
        """Use a new nonce, and count its uses from 1."""
        self._nonce = nonce
        self._uses = 0
        self._head = f"Digest {self._fields}, nonce={_quote(nonce)}"

    def authorization(self, method: str, target: str) -> str:
        """Return the header of a request."""
        self._uses += 1
        request = self._hash(f"{method}:{target}")
        count = f"{self._uses:08x}"
        if self._counts:
            request = f"{count}:{self._client_nonce}:auth:{request}"
        response = self._hash(f"{self._secret}:{self._nonce}:{request}")
        header = f'{self._head}, uri={_quote(target)}, response="{response}"'
        return f"{header}, nc={count}" if self._counts else header


def _algorithm(parameters: dict[str, str]) -> str:
    return (parameters.get("algorithm") or _DEFAULT_ALGORITHM).upper()


def _qops(parameters: dict[str, str]) -> set[str]:
    """Return what the server offers to protect; nothing means the form of RFC 2069, which has no counts."""
    return {qop.strip().lower() for qop in parameters.get("qop", "").split(",")} - {""}


def _hash(algorithm: str) -> Callable[[str], str] | None:
    """Return the hash of an algorithm in upper case, None if this Python cannot compute it."""
    digest = _HASHES.get(algorithm.removesuffix(_SESSION_SUFFIX))
    if digest is None:
        return None
    try:
        digest(b"")
    except (AttributeError, ValueError):
        return None
    return lambda text: digest(text.encode()).hexdigest()


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
