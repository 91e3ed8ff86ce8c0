"""What a try does about a start that an earlier one made: one table, and no I/O.

Its rows are exclusive and leave nothing out. docs/how-to/start-a-backup.md shows the same table.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_oceanbase.starting.kept import KeptStart


class Kept(Enum):
    """What an earlier try has left."""

    NOTHING = "nothing"
    START = "a start without ID"
    ID = "an ID"


class Arguments(Enum):
    """What the start was for, beside what is asked for now."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "not kept"


class Run(Enum):
    """Why the task runs again."""

    RETRY = "retry"
    CLEARED = "cleared"
    CLEARED_AFTER_REPORT = "cleared after `BackupStartUnknownError`"


class Answer(Enum):
    """What the API says about the backup: as long as it may not be registered, it is missing so far."""

    NOT_REQUESTED = "not requested"
    GOOD = "in progress or complete"
    FAILED = "failed"
    UNREGISTERED = "missing so far"
    NOT_FOUND = "not found"
    NO_DATA = "no data"
    ERROR = "another error"


class Step(Enum):
    """What happens."""

    START = "starts a backup"
    CONTINUE = "continues with the backup"
    UNKNOWN = "fails with `BackupStartUnknownError`"
    FAIL = "fails with that error; a retry looks again"


class Case(NamedTuple):
    """A case that the table decides."""

    kept: Kept
    arguments: Arguments
    run: Run
    answer: Answer = Answer.NOT_REQUESTED

    @property
    def needs_answer(self) -> bool:
        """Whether to request the backup set first."""
        return self.kept is Kept.ID and self.arguments is not Arguments.OTHER


class Row(NamedTuple):
    """A row of the table; an empty cell stands for any.

    :param reason: for the log, or for the error
    """

    kept: tuple[Kept, ...]
    arguments: tuple[Arguments, ...]
    run: tuple[Run, ...]
    answer: tuple[Answer, ...]
    step: Step
    reason: str = ""

    def matches(self, case: Case) -> bool:
        """Return whether the row decides a case."""
        cells = (self.kept, self.arguments, self.run, self.answer)
        return all(not cell or value in cell for cell, value in zip(cells, case, strict=True))


_OURS = (Arguments.SAME, Arguments.UNKNOWN)
_SAME, _UNKNOWN = (Arguments.SAME,), (Arguments.UNKNOWN,)
_NOT_TOLD, _TOLD = (Run.RETRY, Run.CLEARED), (Run.CLEARED_AFTER_REPORT,)
_UNASKED = (Answer.NOT_REQUESTED,)
_UNCLEAR = (Answer.GOOD, Answer.UNREGISTERED, Answer.NOT_FOUND, Answer.NO_DATA)

_OTHER = (
    "{kept.name}, started at {kept.since}, is not what this task asks for now: its arguments, or host or "
    "project of its connection, have changed"
)
_KILLED = "an earlier try was killed while it started one, at {kept.since} or soon after"
_DELIBERATE = "the task was cleared after BackupStartUnknownError"
_FAILED = "{kept.name}, started at {kept.since}, has failed"
_GONE = "{kept.name}, started at {kept.since}, is not found"
_EMPTY = "{kept.name}, started at {kept.since}, still has no data"
_BARE = "{kept.name} was started by an earlier release, which did not keep with which arguments"

TABLE = (
    Row((Kept.NOTHING,), (), (), _UNASKED, Step.START),
    Row((Kept.START, Kept.ID), (Arguments.OTHER,), (), _UNASKED, Step.START, _OTHER),
    Row((Kept.START,), _OURS, _NOT_TOLD, _UNASKED, Step.UNKNOWN, _KILLED),
    Row((Kept.START,), _OURS, _TOLD, _UNASKED, Step.START, _DELIBERATE),
    Row((Kept.ID,), _SAME, (), (Answer.GOOD, Answer.UNREGISTERED), Step.CONTINUE),
    Row((Kept.ID,), _SAME, (Run.RETRY,), (Answer.NOT_FOUND,), Step.UNKNOWN, _GONE),
    Row((Kept.ID,), _SAME, (Run.CLEARED, *_TOLD), (Answer.NOT_FOUND,), Step.START, _GONE),
    Row((Kept.ID,), _SAME, _NOT_TOLD, (Answer.NO_DATA,), Step.UNKNOWN, _EMPTY),
    Row((Kept.ID,), _SAME, _TOLD, (Answer.NO_DATA,), Step.START, _EMPTY),
    Row((Kept.ID,), _UNKNOWN, _NOT_TOLD, _UNCLEAR, Step.UNKNOWN, _BARE),
    Row((Kept.ID,), _UNKNOWN, _TOLD, _UNCLEAR, Step.START, _DELIBERATE),
    Row((Kept.ID,), _OURS, (), (Answer.FAILED,), Step.START, _FAILED),
    Row((Kept.ID,), _OURS, (), (Answer.ERROR,), Step.FAIL),
)


def case_of(kept: KeptStart | None, *, purpose: str, run: int) -> Case:
    """Return the case of a try, as long as the backup set is not requested.

    :param kept: what an earlier try has left
    :param purpose: what is asked for now
    :param run: the run of the task, as :class:`~airflow_provider_oceanbase.starting.kept.KeptStart` has it
    """
    if kept is None:
        return Case(Kept.NOTHING, Arguments.UNKNOWN, Run.RETRY)
    if kept.purpose is None:
        arguments = Arguments.UNKNOWN
    else:
        arguments = Arguments.SAME if kept.purpose == purpose else Arguments.OTHER
    cleared = Run.CLEARED_AFTER_REPORT if kept.reported else Run.CLEARED
    return Case(
        Kept.ID if kept.backup_task_id else Kept.START, arguments, Run.RETRY if kept.run == run else cleared
    )


def decide(case: Case) -> Row:
    """Return the row that decides a case."""
    return next(row for row in TABLE if row.matches(case))
