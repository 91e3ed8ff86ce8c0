"""When a wait polls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from airflow_provider_oceanbase.waiting.arguments import POKE_INTERVAL

#: The shortest pause in seconds: one wait sends at most some ten polls a second, whatever its arguments.
MIN_PAUSE = 0.1
#: The last poll in the triggerer may take this many timeouts of the connection: in line, for a connection,
#: for a challenge, for the answer, and for its body.
_GRACE_TIMEOUTS = 5
_LEAST_GRACE = 45.0


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """How often a wait polls, and for how long.

    :param poke_interval: seconds between two polls
    :param exponential_backoff: whether the pause between polls grows
    :param max_wait: longest pause in seconds that it may grow to, None for no limit
    :param timeout: seconds until the last poll
    :param grace: seconds that the last poll may take in the triggerer
    """

    poke_interval: float = POKE_INTERVAL
    exponential_backoff: bool = False
    max_wait: float | None = None
    timeout: float = 604800.0
    grace: float = _LEAST_GRACE

    def pause(self, elapsed: float, *, retry_after: float | None = None, seed: object = "") -> float:
        """Return the seconds until the next poll; the last poll comes when the timeout is over.

        With ``exponential_backoff`` the first pause is between half of ``poke_interval`` and the whole, and
        each further one is twice as long. It depends only on the time that has passed, so nothing has to be
        remembered across a reschedule, a retry or a restart.

        :param elapsed: seconds since the wait began
        :param retry_after: seconds after which the server allows the next request; they can only lengthen
            the pause
        :param seed: what distinguishes this wait from others, so that they do not poll in step
        """
        pause = self.poke_interval
        if self.exponential_backoff:
            pause = _backoff(pause, elapsed, str(seed))
            if self.max_wait is not None:
                pause = min(pause, self.max_wait)
        return min(max(pause, MIN_PAUSE, retry_after or 0.0), max(self.timeout - elapsed, 0.0))


def grace(connection_timeout: float) -> float:
    """Return the seconds that the last poll of a wait may take in the triggerer.

    :param connection_timeout: the timeout of the connection in seconds
    """
    return max(_LEAST_GRACE, _GRACE_TIMEOUTS * connection_timeout)


def _backoff(poke_interval: float, elapsed: float, seed: str) -> float:
    base = max(poke_interval / 2, 1.0)
    passed, step = 0.0, 0
    while True:
        digest = hashlib.sha256(f"{seed}#{step}".encode()).digest()
        pause = base * 2.0**step * (1 + digest[0] / 256)
        passed += pause
        if passed > elapsed:
            return pause
        step += 1
