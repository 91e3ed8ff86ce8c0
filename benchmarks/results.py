"""The results of a run of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from benchmarks.measures import median

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Polling:
    """How one client polls.

    :param rounds: µs of the client's CPU per poll, in each round
    :param requests: requests per poll, the median
    :param connections: connections opened per poll, the median
    """

    rounds: tuple[float, ...]
    requests: float
    connections: float

    @classmethod
    def of(cls, rounds: Sequence[Mapping[str, float]]) -> Self:
        """Take the medians."""
        return cls(
            rounds=tuple(measured["cpu"] / measured["polls"] * 1e6 for measured in rounds),
            requests=median(measured["requests"] / measured["polls"] for measured in rounds),
            connections=median(measured["connections"] / measured["polls"] for measured in rounds),
        )

    @property
    def cpu(self) -> float:
        """µs of the client's CPU per poll: the median."""
        return median(self.rounds)

    def times(self, other: Polling) -> float:
        """Return the ratio of its CPU to that of another client: the median over the rounds."""
        return median(mine / its for mine, its in zip(self.rounds, other.rounds, strict=True))


@dataclass(frozen=True)
class Refusals:
    """How many polls with a correct key failed."""

    failed: int
    polls: int


@dataclass(frozen=True)
class Waits:
    """Many waits in one loop.

    :param count: number of waits
    :param poke_interval: seconds between two polls of a wait
    :param core: CPU of the client, as a share of a core
    :param rate: polls per second, as the server saw them
    :param on_time: share of the polls that were not late
    :param latest: the longest pause in seconds between two polls for a set
    :param sets: number of sets that were polled
    :param ended: waits that ended early
    :param lag_p50: how many seconds late the loop wakes a sleeper: median; likewise ``lag_p99``, ``lag_max``
    :param memory: bytes per wait
    :param connections: most connections at once
    """

    count: int
    poke_interval: float
    core: float
    rate: float
    on_time: float
    latest: float
    sets: int
    ended: int
    lag_p50: float
    lag_p99: float
    lag_max: float
    memory: float
    connections: int

    @classmethod
    def of(
        cls, count: int, poke_interval: float, measured: Mapping[str, float], seen: Mapping[str, float]
    ) -> Self:
        """Combine the measurements of the client and of the server."""
        return cls(
            count=count,
            poke_interval=poke_interval,
            core=measured["cpu"] / measured["seconds"],
            rate=seen["polls"] / measured["seconds"],
            on_time=1 - min(seen["late"] / max(seen["pauses"], 1), 1.0),
            latest=seen["pause_max"],
            sets=int(seen["paths"]),
            ended=int(measured["ended"]),
            lag_p50=measured["lag_p50"],
            lag_p99=measured["lag_p99"],
            lag_max=measured["lag_max"],
            memory=measured["memory_per_wait"],
            connections=int(seen["most_connections"]),
        )

    @property
    def cpu_per_poll(self) -> float:
        """µs of the client's CPU per poll, timers and all."""
        return self.core / self.rate * 1e6 if self.rate else 0.0


@dataclass(frozen=True)
class Import:
    """Seconds of an import: the median of that many processes."""

    seconds: float
    processes: int


@dataclass(frozen=True)
class Results:
    """All results; numbers are seconds, but ``foreign_cores`` is the cores that other processes used."""

    polling: Mapping[str, Polling]
    refusals: Mapping[str, Refusals]
    http_sensor: str
    waits: Waits
    bare_waits: Waits
    sessions: Waits
    one_set: Waits
    checkpoints: Waits
    imports: Mapping[str, Import]
    poll_seconds: float
    window: float
    tolerance: float
    jitter: float
    foreign_cores: float
    took: float
