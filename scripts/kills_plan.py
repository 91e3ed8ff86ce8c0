"""Which waits are killed, when, and by the end of which process: all drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

POLL_SECONDS = 2.0
#: From the start of a process to a kill: most waits have not checked by then.
_START_SECONDS = 1.0
#: The same for what goes on with an event, and mostly takes longer than that.
_GOING_ON_SECONDS = 0.1


class Kind(StrEnum):
    """A wait at the time of its kill."""

    POKE = "poke"
    BEFORE = "deferrable, before it defers"
    AFTER = "deferrable, after the event"


class Moment(StrEnum):
    """From where the time to the kill counts."""

    START = "at the start"
    CHECK = "amid a request"
    PAUSE = "after a check"


class Target(StrEnum):
    """What is killed: the process that runs the sensor, or LocalExecutor's, whose child that is."""

    TASK = "task process"
    WORKER = "worker process"
    BOTH = "task and worker process"


@dataclass(frozen=True)
class Plan:
    """What is to happen to a wait.

    :param task_id: task of the DAG
    :param map_index: index among the task's waits
    :param kind: what kind of wait it is
    :param end: status that its backup set ends with
    :param moment: from where the time to the kill counts
    :param delay: seconds from there to the kill
    :param request: number of the request that the kill comes amid
    :param target: what is killed
    :param turn: seconds until the backup set ends: after the wait has been killed or, for a kill after
        the event, after it has been deferred
    """

    task_id: str
    map_index: int
    kind: Kind
    end: str
    moment: Moment
    delay: float
    request: int
    target: Target
    turn: float

    @property
    def backup_task_id(self) -> str:
        """ID of the backup task that is waited for."""
        return f"{self.task_id}-{self.map_index:02}"


def plans(seed: int, kills: int, spares: int) -> list[Plan]:
    """Draw the plans: half of the waits poke; the spare ones are of the kind whose kill may come too late."""
    rng = random.Random(seed)
    poke = kills // 2
    before = (kills - poke) // 2
    after = kills - poke - before + spares
    drawn = _plans(rng, "poke", 0, Kind.POKE, poke)
    drawn += _plans(rng, "deferred", 0, Kind.BEFORE, before)
    return drawn + _plans(rng, "deferred", before, Kind.AFTER, after)


def _plans(rng: random.Random, task_id: str, first: int, kind: Kind, number: int) -> list[Plan]:
    moments = {
        Kind.POKE: (Moment.START, Moment.CHECK, Moment.PAUSE),
        # It defers right after its first check.
        Kind.BEFORE: (Moment.START, Moment.CHECK),
        # It checks no more.
        Kind.AFTER: (Moment.START,),
    }
    ends = _dealt(rng, ("DONE", "FAILED"), number)
    whens = _dealt(rng, moments[kind], number)
    targets = _dealt(rng, (Target.TASK, Target.WORKER, Target.TASK, Target.BOTH, Target.TASK), number)
    return [
        Plan(
            task_id=task_id,
            map_index=first + index,
            kind=kind,
            end=ends[index],
            moment=whens[index],
            delay=rng.uniform(0, _longest_delay(kind, whens[index])),
            # The first is the one that is answered by the challenge, the second by the backup set.
            request=rng.randint(1, 4 if kind is Kind.POKE else 2),
            target=targets[index],
            turn=rng.uniform(0, 3 * POLL_SECONDS),
        )
        for index in range(number)
    ]


def _longest_delay(kind: Kind, moment: Moment) -> float:
    if kind is Kind.AFTER:
        return _GOING_ON_SECONDS
    return 3 * POLL_SECONDS if moment is Moment.PAUSE else _START_SECONDS


def _dealt(rng: random.Random, values: Sequence[T], number: int) -> list[T]:
    """Return so many values, each about as often as the others, in any order."""
    dealt = [values[index % len(values)] for index in range(number)]
    rng.shuffle(dealt)
    return dealt
