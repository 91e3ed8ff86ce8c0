"""Whether a request may have acted: decided by what was sent, and by what came back.

The API has no idempotency key, so a start of a backup is sent again only where the first has certainly
started nothing. A request without credentials cannot act on a server that demands them, but of a server a
client knows that only once it is challenged: one that demands none might act, and then drop the connection.
So what is asked for is not in that request. As long as there is no challenge to answer, a request that acts
goes out without its body, as ``curl --digest`` sends it, too, and the body follows with the credentials.
Whatever comes of a request without its body, it named nothing to start, and is simply sent again.

The one exception is a server that answers it with success: nobody knows what that server has done.
"""

from __future__ import annotations

#: The body of a request was refused for lack of one: the server reads it before it demands credentials, or
#: demands none.
_BODY_WANTED = frozenset({400, 411, 415, 422})
#: The server has moved, and the same request is to be sent there. The other redirects may lead to the result.
_MOVED = frozenset({307, 308})
_REQUEST_TIMEOUT = 408


def may_have_acted(status: int | None, *, sent: bool) -> bool:
    """Return whether the server may have done what a request asks for, unless the API says that it has not.

    :param status: HTTP status of the response, whether or not its body could be read; None for no response
    :param sent: whether what is asked for was sent, at least in part
    """
    if not sent:
        return status is not None and _is_success(status)
    return status is None or not _is_refusal(status)


def wants_body(status: int) -> bool:
    """Return whether a request without its body was refused because of that."""
    return status in _BODY_WANTED


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _is_refusal(status: int) -> bool:
    # A gateway answers 5xx for a server that keeps working, and no status below 200 is an answer.
    return status in _MOVED or (400 <= status < 500 and status != _REQUEST_TIMEOUT)
