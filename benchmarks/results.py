"""What a run of the benchmarks has measured."""

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
        """Return how many times the CPU of another it takes: the median of the rounds' ratios."""
        return median(mine / its for mine, its in zip(self.rounds, other.rounds, strict=True))


@dataclass(frozen=True)
class Refusals:
    """How many polls of a correct key ended without an answer."""

    failed: int
    polls: int


@dataclass(frozen=True)
class Waits:
    """How many waits go on in one loop.

    :param count: how many
    :param poke_interval: seconds between two polls of one
    :param core: share of a core that the client took
    :param rate: polls per second, as the server saw them
    :param on_time: share of the polls that were not late
    :param latest: the longest pause in seconds between two polls for a set
    :param sets: for how many sets polls came
    :param ended: waits that broke off
    :param lag_p50: seconds that the loop woke a sleeper late: median; ``lag_p99`` and ``lag_max`` likewise
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
        """Put together what the client measured and what the server saw."""
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
    """Seconds that an import takes: the median of so many processes."""

    seconds: float
    processes: int


@dataclass(frozen=True)
class Results:
    """Everything; ``foreign_cores`` says how busy the machine was otherwise, plain numbers are seconds."""

    polling: Mapping[str, Polling]
    refusals: Mapping[str, Refusals]
    http_sensor: str
    waits: Waits
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
