"""A digest server of scripted challenges, which checks answers by the letter of RFC 7616."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from faults.server import DONE, Behaviour, Exchange

KEY, SECRET = "the-key", "the secret, quite odd"
#: The challenge of a :class:`Digest` as it is by default.
CHALLENGE = 'Digest realm="r", nonce="n", qop="auth"'
_PARAMETER = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


@dataclass(frozen=True)
class Digest:
    """What the server expects in an answer, whatever its challenge looks like."""

    realm: str = "r"
    nonce: str = "n"
    opaque: str | None = None
    algorithm: str = "MD5"

    def accepts(self, head: str) -> bool:
        """Whether a request has the right answer."""
        method, target, _ = head.split(" ", 2)
        # What a proxy is asked for is a URL, and it asks the server for the path.
        target = re.sub(r"^http://[^/]*", "", target)
        found = re.search(r"(?m)^Authorization: Digest (.*)\r$", head)
        if not found:
            return False
        given = {
            name: plain or re.sub(r"\\(.)", r"\1", quoted)
            for name, quoted, plain in _PARAMETER.findall(found[1])
        }
        name = self.algorithm.upper().removesuffix("-SESS")

        def hashed(*parts: str) -> str:
            return hashlib.new(_HASHES[name], ":".join(parts).encode()).hexdigest()

        secret = hashed(KEY, self.realm, SECRET)
        if self.algorithm.upper() != name:
            secret = hashed(secret, self.nonce, given["cnonce"])
        uses = [given["nc"], given["cnonce"], given["qop"]] if "qop" in given else []
        return (
            given["response"] == hashed(secret, self.nonce, *uses, hashed(method, target))
            and (given["username"], given["realm"], given["nonce"]) == (KEY, self.realm, self.nonce)
            and given["uri"] == target
            and given.get("opaque") == self.opaque
        )


def refuse(*challenges: str, **headers: str) -> Behaviour:
    """Respond by 401 with these ``WWW-Authenticate`` headers; surrogates stand for bytes."""
    fields = [("WWW-Authenticate", value) for value in challenges] + list(headers.items())
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields)
    data = f"HTTP/1.1 401 Unauthorized\r\n{lines}Content-Length: 0\r\n\r\n"

    def behave(exchange: Exchange) -> bool:
        exchange.send(data.encode("utf-8", "surrogateescape"))
        return True

    return behave


def guard(digest: Digest, *challenges: str, accepted: Behaviour = DONE) -> Behaviour:
    """Let a right answer in, and challenge any other request."""

    def behave(exchange: Exchange) -> bool:
        _, head = exchange.server.requests[-1]
        return (accepted if digest.accepts(head) else refuse(*challenges))(exchange)

    return behave
