"""Simulated time: of ``time``, of ``datetime``, of an event loop; and processes that share it."""

from __future__ import annotations

import asyncio
import heapq
import importlib
import itertools
import pkgutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple
from unittest.mock import patch

import airflow_provider_oceanbase

#: When every history begins, in seconds since the epoch.
BEGINNING = datetime(2026, 3, 2, 9, 30, tzinfo=UTC).timestamp()


#: The most turns of a loop within a second.
_MOST_TURNS = 10_000


class Killed(BaseException):
    """Ends a process at an effect, like SIGKILL."""


class Clock:
    """The time of a history, and what is due in it.

    Only :meth:`advance` lets time pass. It is called in the main thread, and runs everything in order.
    """

    def __init__(self) -> None:
        #: Seconds since the beginning.
        self.now = 0.0
        #: Seconds by which Airflow's clock is wrong.
        self.error = 0.0
        #: The event loop of the triggerer that is running.
        self.loop: Loop | None = None
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return BEGINNING + self.now + self.error

    def true_time(self) -> datetime:
        return self.moment(self.now)

    def moment(self, seconds: float) -> datetime:
        """Return a moment of the history, as whoever has a right clock writes it."""
        return datetime.fromtimestamp(BEGINNING + seconds, UTC)

    def text(self, seconds: float) -> str:
        """Return a time of the history, as the API writes it."""
        return self.moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")

    def monotonic(self) -> float:
        return 1000.0 + self.now

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Run an action in the main thread."""
        heapq.heappush(self._due, (self.now + max(seconds, 0.0), next(self._numbers), action))
        if self.loop is not None:
            self.loop.stop_at = min(self.loop.stop_at, self._due[0][0])

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            target = min(until, self._due[0][0]) if self._due else until
            if self.loop is not None:
                self.loop.run_until(target)
            else:
                self.now = max(self.now, target)
            if self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
            elif self.now >= until:
                return


class Loop(asyncio.SelectorEventLoop):
    """An event loop by the clock of a history. It waits for nothing real.

    :param spins: called if it turns and turns, and hardly any time passes
    """

    def __init__(self, clock: Clock, spins: Callable[[], object]) -> None:
        super().__init__()
        self._clock = clock
        self._spins, self._turns, self._second = spins, 0, -1
        self._selector.select = self._skip  # type: ignore[attr-defined]
        self.stop_at = 0.0
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        return self._clock.monotonic()

    def run_until(self, until: float) -> None:
        """Run until a time, or until something is due elsewhere."""
        self.stop_at = until
        self.run_forever()

    def _skip(self, timeout: float | None) -> list[Any]:
        if timeout == 0:
            if self._clock.loop is self:
                self._count_turns()
                # Code takes time: else what waits for the rest of a microsecond would wait forever.
                self._clock.now += 1e-6
                if self._clock.now > self.stop_at:
                    self.stop()
            return []
        wake = self.stop_at if timeout is None else self._clock.now + timeout
        if wake >= self.stop_at:
            self.stop()
        self._clock.now = max(self._clock.now, min(wake, self.stop_at))
        return []

    def _count_turns(self) -> None:
        second = int(self._clock.now)
        self._turns = self._turns + 1 if second == self._second else 0
        self._second = second
        if self._turns == _MOST_TURNS:
            self._spins()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Call a function at once: threads would take real time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class Kill(NamedTuple):
    """When a process is killed.

    :param number: before which of its effects, from 0 on
    :param kind: of which kind of effects, empty for any
    """

    number: int
    kind: str = ""


class Process:
    """What can be killed between two effects."""

    def __init__(
        self, name: str, *, kill: Kill | None = None, died: Callable[[], object] = lambda: None
    ) -> None:
        self.name = name
        #: When it is killed, None for never.
        self.killed_at = kill
        self.dead = False
        self._died = died

    def effect(self, kind: str = "") -> None:
        """Count an effect of this process; a dead one has none."""
        if self.killed_at is not None and self.killed_at.kind in ("", kind):
            number = self.killed_at.number - 1
            self.killed_at = self.killed_at._replace(number=number)
            if number < 0:
                self.kill()
        if self.dead:
            raise Killed(self.name)

    def kill(self) -> None:
        if not self.dead:
            self.dead = True
            self._died()


class Worker(Process):
    """A process that runs a function, and may sleep: a thread, of which one at a time runs."""

    def __init__(self, name: str, clock: Clock, run: Callable[[], object], kill: Kill | None) -> None:
        super().__init__(name, kill=kill)
        self._clock = clock
        self._run = run
        self._turn, self._over = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._error: BaseException | None = None
        self.done = False
        self._thread.start()
        clock.later(0.0, self.resume)

    def sleep(self, seconds: float) -> None:
        """Let others run for a time; in the thread of the worker."""
        # Code takes time: see Loop.
        self._clock.later(seconds + 1e-6, self.resume)
        self._over.release()
        self._turn.acquire()
        if self.dead:
            raise Killed(self.name)

    def resume(self) -> None:
        """Let it run until it sleeps or ends; in the main thread."""
        if self.done:
            return
        self._turn.release()
        self._over.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def kill(self) -> None:
        super().kill()
        if threading.current_thread() is not self._thread:
            self.resume()

    def _main(self) -> None:
        self._turn.acquire()
        _current.worker = self
        try:
            if not self.dead:
                self._run()
        except Killed:
            pass
        except BaseException as error:
            # The test failed: in the main thread.
            self._error = error
        finally:
            self.done = True
            self._over.release()


_current = threading.local()


def current_worker() -> Worker | None:
    """Return the worker that runs in this thread, None in the main thread."""
    return getattr(_current, "worker", None)


class _Types(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


@contextmanager
def simulated(clock: Clock) -> Iterator[None]:
    """Replace the time of this process, as far as the provider and Airflow's sensors see it."""

    class Datetime(datetime, metaclass=_Types):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.time(), tz)

    def sleep(seconds: float) -> None:
        worker = current_worker()
        assert worker is not None, "only workers sleep"
        worker.effect()
        worker.sleep(seconds)

    import airflow.sdk.timezone

    patches: list[Any] = [
        patch.object(time, "time", clock.time),
        patch.object(time, "monotonic", clock.monotonic),
        patch.object(time, "sleep", sleep),
        patch.object(airflow.sdk.timezone, "utcnow", lambda: datetime.fromtimestamp(clock.time(), UTC)),
    ]
    patches += [
        patch.object(module, "datetime", Datetime)
        for module in _modules()
        if getattr(module, "datetime", None) is datetime
    ]
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


def _modules() -> list[Any]:
    package = airflow_provider_oceanbase
    if not _modules_of_the_package:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
        _modules_of_the_package.extend(
            module for name, module in sys.modules.items() if name.startswith(f"{package.__name__}.")
        )
    return _modules_of_the_package


_modules_of_the_package: list[Any] = []
