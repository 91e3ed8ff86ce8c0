"""The cookies of a challenge: by them a load balancer sends the answer to the server that challenged.

They go out with that answer only. The clients keep no cookies.
"""

from __future__ import annotations

from email.message import Message
from http.cookiejar import CookieJar
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from http.client import HTTPResponse


def cookie_header(url: str, set_cookie: Iterable[str]) -> str | None:
    """Return the ``Cookie`` header with which to repeat a request, None if there is nothing to send.

    :param url: URL of the request
    :param set_cookie: the values of ``Set-Cookie`` in the response
    """
    message = Message()
    for value in set_cookie:
        # What a header may hold by the standard: the libraries differ in what else they send.
        if value.isascii() and value.isprintable():
            message["Set-Cookie"] = value
    if not message:
        return None
    request, jar = Request(url), CookieJar()  # noqa: S310
    jar.extract_cookies(cast("HTTPResponse", SimpleNamespace(info=lambda: message)), request)
    jar.add_cookie_header(request)
    return request.get_header("Cookie")
