"""Challenges of HTTP digest authentication: which of them this client can answer."""

from __future__ import annotations

from urllib.request import parse_http_list

#: Digest algorithms that requests and aiohttp both know.
DIGEST_ALGORITHMS = frozenset({"MD5", "MD5-SESS", "SHA-256", "SHA-512"})


def digest_challenge(www_authenticate: str) -> str | None:
    """Return the first Digest challenge that can be answered, alone and normalized; None if there is none.

    requests and aiohttp each fail on some lists of challenges or of qop values that HTTP allows.
    """
    parameters = digest_parameters(www_authenticate)
    if parameters is None:
        return None
    return "Digest " + ", ".join(f'{key}="{value}"' for key, value in parameters.items())


def digest_parameters(www_authenticate: str) -> dict[str, str] | None:
    """Return the parameters of that challenge, names in lower case."""
    for scheme, items in offered_challenges(www_authenticate):
        pairs = (item.partition("=") for item in items)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        qops = {qop.strip().lower() for qop in parameters.get("qop", "auth").split(",")}
        if (
            scheme.lower() == "digest"
            and "realm" in parameters
            and parameters.get("nonce")
            and parameters.get("algorithm", "MD5").upper() in DIGEST_ALGORITHMS
            and "auth" in qops
        ):
            if "qop" in parameters:
                parameters["qop"] = "auth"
            # A session serves one origin: the server must not extend where the key is used.
            parameters.pop("domain", None)
            return parameters
    return None


def offered_challenges(www_authenticate: str) -> list[tuple[str, list[str]]]:
    """Split a header into challenges: ``[(scheme, [parameter, …]), …]``."""
    challenges: list[tuple[str, list[str]]] = []
    for item in parse_http_list(www_authenticate):
        head, _, rest = item.partition(" ")
        starts_challenge = "=" not in head and not rest.lstrip().startswith("=")
        if starts_challenge:
            challenges.append((head, [rest.strip()] if rest.strip() else []))
        elif challenges:
            challenges[-1][1].append(item)
    return challenges
