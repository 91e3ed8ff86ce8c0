"""The waits, each with when and how it is killed: all drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

T = TypeVar("T")

POLL_SECONDS = 2.0
#: From the start of a process to a kill: most waits have not polled by then.
_START_SECONDS = 1.0
#: The same for a task that resumes after the event, and mostly takes longer than that.
_RESUMED_SECONDS = 0.1


class Kind(StrEnum):
    """A wait at the time of its kill."""

    POKE = "poke"
    BEFORE = "deferrable, before it defers"
    AFTER = "deferrable, after the event"


class Moment(StrEnum):
    """From where the time to the kill counts."""

    START = "at the start"
    REQUEST = "amid a request"
    PAUSE = "after a poll"


class Target(StrEnum):
    """What is killed: the process that runs the sensor, or LocalExecutor's, whose child that is."""

    TASK = "task process"
    WORKER = "worker process"
    BOTH = "task and worker process"


@dataclass
class Wait:
    """A wait that is to be killed once: first what is drawn for it, then what is seen of it.

    :param name: ID of the backup task that it waits for
    :param task_id: task of the DAG
    :param map_index: index among the task's waits
    :param kind: as drawn, or what it has become
    :param end: status that its backup set ends with
    :param moment: from where the time to the kill counts
    :param delay: seconds from there to the kill
    :param request: number of the request that the kill comes amid
    :param target: what is killed
    :param turn: seconds until the backup set ends: after the wait has been killed or, for a kill after
        the event, after it has been deferred
    :param wanted: whether it is to be killed at all; a spare one only once another has got away
    :param state: its state in Airflow
    :param try_number: its try
    :param task_pid: its process, while one runs
    :param since: when its state and process were first seen, as all such times by the monotonic clock
    :param polled_at: when its backup set was first read
    :param requests: how many requests it or its trigger had made when it was killed
    :param unheard: how many its process made from then on, until Airflow noticed
    :param struck_try: the try in which it was sent the SIGKILL
    :param killed_at: when Airflow had noticed
    :param turned: the time of day at which its backup set came to its end
    """

    name: str
    task_id: str
    map_index: int
    kind: Kind
    end: str
    moment: Moment
    delay: float
    request: int
    target: Target
    turn: float
    wanted: bool = True
    state: str | None = None
    try_number: int = 0
    task_pid: int | None = None
    since: float = 0.0
    polled_at: float | None = None
    requests: int = 0
    unheard: int = 0
    struck_try: int | None = None
    killed_at: float | None = None
    turned: datetime | None = None


def draw(seed: int, kills: int, spares: int) -> dict[str, Wait]:
    """Draw the waits: half of them poke; the spare ones are of the kind whose kill may come too late."""
    rng = random.Random(seed)
    poke = kills // 2
    before = (kills - poke) // 2
    waits = [
        *_draw(rng, "poke", 0, Kind.POKE, poke),
        *_draw(rng, "deferred", 0, Kind.BEFORE, before),
        *_draw(rng, "deferred", before, Kind.AFTER, kills - poke - before + spares),
    ]
    for spare in waits[kills:]:
        spare.wanted = False
    return {wait.name: wait for wait in waits}


def name_of(task_id: str, map_index: int) -> str:
    """Return the ID of the backup task that a mapped task waits for."""
    return f"{task_id}-{map_index:02}"


def _draw(rng: random.Random, task_id: str, first: int, kind: Kind, number: int) -> list[Wait]:
    moments = {
        Kind.POKE: (Moment.START, Moment.REQUEST, Moment.PAUSE),
        # It defers right after its first poll.
        Kind.BEFORE: (Moment.START, Moment.REQUEST),
        # It polls no more.
        Kind.AFTER: (Moment.START,),
    }
    start_seconds = _RESUMED_SECONDS if kind is Kind.AFTER else _START_SECONDS
    ends = _deal(rng, ("DONE", "FAILED"), number)
    dealt = _deal(rng, moments[kind], number)
    targets = _deal(rng, (Target.TASK, Target.WORKER, Target.TASK, Target.BOTH, Target.TASK), number)
    return [
        Wait(
            name=name_of(task_id, map_index),
            task_id=task_id,
            map_index=map_index,
            kind=kind,
            end=end,
            moment=moment,
            delay=rng.uniform(0, 3 * POLL_SECONDS if moment is Moment.PAUSE else start_seconds),
            # The first is the one that is answered by the challenge, the second by the backup set.
            request=rng.randint(1, 4 if kind is Kind.POKE else 2),
            target=target,
            turn=rng.uniform(0, 3 * POLL_SECONDS),
        )
        for map_index, (end, moment, target) in enumerate(zip(ends, dealt, targets, strict=True), first)
    ]


def _deal(rng: random.Random, values: Sequence[T], number: int) -> list[T]:
    """Return so many values, each about as often as the others, in any order."""
    dealt = [values[index % len(values)] for index in range(number)]
    rng.shuffle(dealt)
    return dealt
