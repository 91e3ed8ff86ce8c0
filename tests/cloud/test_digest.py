"""Digest authentication as plain code: the grammar of challenges, and the answers to them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import time
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.auth import HTTPDigestAuth
from strategies import challenge_fragments, challenge_lists
from yarl import URL

from airflow_provider_oceanbase.cloud.digest import (
    MAX_CHALLENGE_CHARACTERS,
    DigestAuth,
    answerable_challenge,
    read_challenges,
)

PLAIN = 'Digest realm="r", nonce="n", qop="auth"'
#: More than can be sent back.
LONG = 7501


def fields(authorization: str | None) -> dict[str, str]:
    """Read an ``Authorization`` header: it has the grammar of a challenge."""
    assert authorization is not None
    ((scheme, parameters),) = read_challenges(authorization)
    assert scheme == "Digest"
    return parameters


def answer_to(challenge: str, key: str = "k", secret: str = "s", target: str = "/p?q=1") -> dict[str, str]:
    auth = DigestAuth(key, secret)
    assert auth.challenged(challenge)
    return fields(auth.authorization("GET", target))


def set_client_nonce(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr("airflow_provider_oceanbase.cloud.digest.secrets.token_hex", lambda _: value)


RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_2617 = (
    'Digest realm="testrealm@host.com", {}nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


@pytest.mark.parametrize(
    ("challenge", "secret", "client_nonce", "response"),
    [
        (
            RFC_7616.format("MD5"),
            "Circle of Life",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            RFC_7616.format("SHA-256"),
            "Circle of Life",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (
            RFC_2617.format('qop="auth,auth-int", '),
            "Circle Of Life",
            "0a4f113b",
            "6629fae49393a05397450978507c4ef1",
        ),
        # RFC 2069, corrected by its erratum 749.
        (RFC_2617.format(""), "CircleOfLife", "unused", "1949323746fe6a43ef61f9606e7febea"),
    ],
    ids=["RFC 7616, MD5", "RFC 7616, SHA-256", "RFC 2617", "RFC 2069"],
)
def test_examples_of_the_standards(
    challenge: str, secret: str, client_nonce: str, response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_client_nonce(monkeypatch, client_nonce)
    given = answer_to(challenge, "Mufasa", secret, "/dir/index.html")
    assert given["response"] == response
    assert given["uri"] == "/dir/index.html"
    assert given.get("cnonce") == (None if client_nonce == "unused" else client_nonce)
    assert given["opaque"] == read_challenges(challenge)[0].parameters["opaque"]


def test_example_of_sha_512_256(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7616, 3.9.2, corrected by its erratum 4897; the user's name is sent as it is."""
    set_client_nonce(monkeypatch, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
    challenge = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
    )
    given = answer_to(challenge, "Jäsøn Doe", "Secret, or not?", "/doe.json")
    assert given["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert (given["username"], given.get("userhash")) == ("Jäsøn Doe", None)


CHALLENGE = {"realm": "a realm", "nonce": "abc/d==", "opaque": "o=p"}
URL_SENT = "https://api.example/a%20b/c?q=1&r=%C3%A9"


def of_requests(challenge: dict[str, str]) -> str:
    auth: Any = HTTPDigestAuth("key", "secret")
    auth.init_per_thread_state()
    auth._thread_local.chal = challenge
    return str(auth.build_digest_header("GET", URL_SENT))


def of_aiohttp(challenge: dict[str, str]) -> str:
    auth: Any = aiohttp.DigestAuthMiddleware("key", "secret")
    auth._challenge = challenge
    # Before 3.14 it signs the decoded path: decode another.
    target = URL(URL_SENT, encoded=True)
    target = target if aiohttp.__version__ >= "3.14" else URL(URL_SENT.replace("%", "%25"), encoded=True)
    return str(asyncio.run(auth._encode("GET", target, b"")))


#: Of "-sess", only what requests does with qop: without qop it omits cnonce, and aiohttp 3.12 errs.
IN_LIBRARIES = [
    *itertools.product((of_requests, of_aiohttp), (None, "MD5", "SHA-256", "SHA-512"), ("auth", None)),
    (of_requests, "MD5-sess", "auth"),
]


@pytest.mark.parametrize(("library", "algorithm", "qop"), IN_LIBRARIES)
def test_answer_is_that_of_the_libraries(
    library: Any, algorithm: str | None, qop: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    optional = {"algorithm": algorithm, "qop": qop}
    challenge = CHALLENGE | {name: value for name, value in optional.items() if value}
    expected = fields(library(dict(challenge)))
    set_client_nonce(monkeypatch, expected.get("cnonce", ""))
    offered = "Digest " + ", ".join(f'{name}="{value}"' for name, value in challenge.items())
    given = answer_to(offered, "key", "secret", "/a%20b/c?q=1&r=%C3%A9")
    # aiohttp names the default too.
    assert {"algorithm": "MD5"} | given == {"algorithm": "MD5"} | expected


def test_uses_of_a_nonce_are_counted() -> None:
    auth = DigestAuth("k", "s")
    assert auth.authorization("GET", "/") is None
    counts = []
    for challenge in (PLAIN, None, None, PLAIN.replace('"n"', '"m"'), None):
        assert challenge is None or auth.challenged(challenge)
        given = fields(auth.authorization("GET", "/"))
        auth.answered(200)
        counts.append((given["nonce"], given["nc"]))
    assert counts == [("n", f"{count:08x}") for count in (1, 2, 3)] + [
        ("m", f"{count:08x}") for count in (1, 2)
    ]


def test_client_nonce_is_random_and_kept_with_the_nonce() -> None:
    auth = DigestAuth("k", "s")
    seen = []
    for challenge in (PLAIN, None, PLAIN):
        assert challenge is None or auth.challenged(challenge)
        seen.append(fields(auth.authorization("GET", "/"))["cnonce"])
        auth.answered(200)
    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 16


def test_secret_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    sha256 = hashlib.sha256

    def note(data: bytes) -> Any:
        hashed.append(data)
        return sha256(data)

    monkeypatch.setattr(hashlib, "sha256", note)
    auth = DigestAuth("k", "s")
    for nonce in "abc":
        assert auth.challenged(f'Digest realm="r", nonce="{nonce}", qop="auth", algorithm=SHA-256')
        for _ in range(3):
            auth.authorization("GET", "/")
    assert hashed.count(b"k:r:s") == 1


def test_each_realm_and_algorithm_has_its_own_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    set_client_nonce(monkeypatch, "c")
    auth = DigestAuth("k", "s")
    for challenge in (PLAIN, PLAIN.replace('"r"', '"q"'), f"{PLAIN}, algorithm=SHA-256", PLAIN):
        assert auth.challenged(challenge)
        assert fields(auth.authorization("GET", "/")) == answer_to(challenge, target="/")


def test_values_are_quoted() -> None:
    realm, nonce, opaque = 'say "hi", C:\\', 'n"\\', '"'
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in (realm, nonce, opaque)]
    challenge = 'Digest realm="{}", nonce="{}", opaque="{}", qop="auth"'.format(*quoted)
    given = answer_to(challenge)
    assert (given["realm"], given["nonce"], given["opaque"]) == (realm, nonce, opaque)


def test_next_nonce() -> None:
    auth = DigestAuth("k", "s")
    auth.answered(200, 'nextnonce="early"')
    assert auth.authorization("GET", "/") is None
    assert auth.challenged(PLAIN)
    seen = []
    for info in (
        "",
        'qop=auth, nextnonce="m", nc=00000001',
        "=x",
        'nextnonce=""',
        'nextnonce="\x01"',
        f'nextnonce="{"m" * LONG}"',
    ):
        auth.answered(200, info)
        given = fields(auth.authorization("GET", "/"))
        seen.append((given["nonce"], int(given["nc"], 16)))
    assert seen == [("n", 1), ("m", 1), ("m", 2), ("m", 3), ("m", 4), ("m", 5)]


@pytest.mark.parametrize("status", [200, 204, 401, 429])
def test_what_says_nothing_against_a_nonce(status: int) -> None:
    auth = DigestAuth("k", "s")
    assert auth.challenged(PLAIN)
    assert auth.authorization("GET", "/")
    auth.answered(status)
    assert fields(auth.authorization("GET", "/"))["nc"] == "00000002"


@pytest.mark.parametrize("status", [302, 400, 403, 404, 407, 431, 500, 502, 503, None])
def test_after_a_failure_the_next_request_starts_over(status: int | None) -> None:
    auth = DigestAuth("k", "s")
    assert auth.challenged(PLAIN)
    for _ in range(3):
        assert auth.authorization("GET", "/")
        auth.answered(200)
    assert auth.authorization("GET", "/")
    if status is not None:
        auth.answered(status, 'nextnonce="m"')
    assert auth.authorization("GET", "/") is None
    # And the next one, as long as there is no challenge.
    assert auth.authorization("GET", "/") is None
    assert auth.challenged(PLAIN)
    assert fields(auth.authorization("GET", "/"))["nc"] == "00000001"


def test_a_challenge_that_cannot_be_answered_ends_the_last_one() -> None:
    auth = DigestAuth("k", "s")
    assert auth.challenged(PLAIN)
    assert auth.authorization("GET", "/")
    assert not auth.challenged("Basic")
    assert auth.authorization("GET", "/") is None


@pytest.mark.parametrize("name", ["realm", "nonce", "opaque"])
def test_a_challenge_too_long_to_be_sent_back(name: str) -> None:
    values = {"realm": "r", "nonce": "n", "opaque": "o"}
    for length, answerable in ((LONG - 3, True), (LONG - 2, False)):
        values[name] = "x" * length
        header = 'Digest realm="{realm}", nonce="{nonce}", opaque="{opaque}"'.format(**values)
        assert DigestAuth("k", "s").challenged(header) is answerable


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        (" ,\t, ", []),
        ("=,=,,", []),
        ("Negotiate abc==", [("Negotiate", {})]),
        ("Negotiate, Basic", [("Negotiate", {}), ("Basic", {})]),
        (', DIGEST\tREALM = "r" ,, Nonce=n,', [("DIGEST", {"realm": "r", "nonce": "n"})]),
        ('Digest a="1", a="2"', [("Digest", {"a": "2"})]),
        ('Digest a="x, Basic b=\\"1\\"", c=""', [("Digest", {"a": 'x, Basic b="1"', "c": ""})]),
        ('A a="1", B b=2, C', [("A", {"a": "1"}), ("B", {"b": "2"}), ("C", {})]),
        ("Digest nonce=a/b+c==, qop=auth", [("Digest", {"nonce": "a/b+c==", "qop": "auth"})]),
        ('Digest a="1"b, ;, c=3', [("Digest", {"c": "3"})]),
        ('Digest a=1, b="never ends, c=3', [("Digest", {"a": "1"})]),
        ('lost="1", Digest a=1', [("Digest", {"a": "1"})]),
    ],
)
def test_grammar(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert read_challenges(header) == challenges


@given(challenge_lists)
def test_challenges_are_read_as_they_were_written(
    written: tuple[str, list[tuple[str, dict[str, str]]]],
) -> None:
    header, challenges = written
    assert read_challenges(header) == challenges


@given(st.text() | challenge_fragments, st.text() | challenge_fragments)
def test_no_text_raises_or_breaks_later_answers(header: str, info: str) -> None:
    auth = DigestAuth("k", "s")
    for text in (header, PLAIN, header, info):
        auth.challenged(text)
        auth.answered(200, info)
        authorization = auth.authorization("GET", "/")
        # Neither library refuses to send it.
        assert authorization is None or not re.search(r"[\x00-\x08\n-\x1f\x7f\ud800-\udfff]", authorization)
    assert auth.challenged(PLAIN)
    assert fields(auth.authorization("GET", "/"))["nonce"] == "n"


@pytest.mark.parametrize("text", [",", '"', 'a="', 'a="\\"', "a ", "a=", " ", "\\", 'a="b"c', "a b=c,"])
def test_long_headers_take_no_time(text: str) -> None:
    began = time.process_time()
    read_challenges(text * (MAX_CHALLENGE_CHARACTERS // len(text)))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("header", "nonce"),
    [
        (PLAIN, "n"),
        ('Digest realm="", nonce="n"', "n"),
        ('Digest realm="r", nonce="n", qop=""', "n"),
        ('Digest realm="r", nonce="n", qop="auth-int, AUTH"', "n"),
        ('Digest realm="r", nonce="n", qop="auth-int"', None),
        ('Digest realm="r", nonce="n", algorithm=', "n"),
        ('Digest realm="r", nonce="n", algorithm=ROT13', None),
        ('Digest realm="r", nonce="n", algorithm=sha-512-256-SESS', "n"),
        ('Digest realm="r", nonce="n", stale=TRUE, userhash=true, charset=UTF-8, domain="/"', "n"),
        ('Digest realm="r"', None),
        ('Digest realm="r", nonce=""', None),
        ('Digest nonce="n"', None),
        ('Basic realm="r", nonce="n"', None),
        ('Digest realm="\u00e9", nonce="n"', "n"),
        ('Digest realm="\udce9", nonce="n"', None),
        ('Digest realm="r", nonce="n\x7f"', None),
        ('Digest realm="r", nonce="n", opaque="\r\n"', None),
        ('Digest realm="r", nonce="n", other="\x01"', "n"),
        (f'Basic realm="x", Digest realm="r", nonce="m", algorithm=ROT13, {PLAIN}, Negotiate', "n"),
        (f'{PLAIN}, Digest realm="r", nonce="m"', "n"),
    ],
)
def test_first_challenge_that_can_be_computed_is_used(header: str, nonce: str | None) -> None:
    challenge = answerable_challenge(header)
    assert (challenge and challenge.parameters["nonce"]) == nonce
    assert DigestAuth("k", "s").challenged(header) == (nonce is not None)


@pytest.mark.parametrize("error", [ValueError("[digital envelope routines] unsupported"), AttributeError()])
def test_forbidden_algorithm_is_skipped(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def md5(data: bytes, *, usedforsecurity: bool = True) -> None:
        raise error

    monkeypatch.setattr(hashlib, "md5", md5)
    assert not DigestAuth("k", "s").challenged(PLAIN)
    assert answer_to(f'{PLAIN}, Digest realm="r", nonce="m", algorithm=SHA-256')["nonce"] == "m"


def test_md5_is_not_used_for_security(monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = hashlib.md5

    def fips(data: bytes, *, usedforsecurity: bool = True) -> Any:
        assert not usedforsecurity
        return md5(data)

    monkeypatch.setattr(hashlib, "md5", fips)
    assert answer_to(PLAIN)["nonce"] == "n"


def test_nothing_is_shown() -> None:
    auth = DigestAuth("the-key", "the-secret")
    assert auth.challenged(PLAIN)
    for value in (auth, auth._session):
        assert re.fullmatch(r"<[\w.]+ object at \w+>", repr(value))


@pytest.mark.parametrize("filler", ['"', ",", " ", "a", "a=", 'a="\\', "Digest ", 'a="b",'])
def test_a_long_header_has_no_challenge(filler: str) -> None:
    header = 'Digest realm="r", nonce="n", '
    assert len(read_challenges(header)) == 1
    assert read_challenges(header + filler * MAX_CHALLENGE_CHARACTERS) == []
