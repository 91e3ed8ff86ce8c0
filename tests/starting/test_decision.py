"""The table of what a try does about the start that an earlier one made."""

from __future__ import annotations

from itertools import product

import pytest
from pages import ROOT, rows

from airflow_provider_oceanbase.starting.decision import (
    TABLE,
    Answer,
    Arguments,
    Case,
    Kept,
    Row,
    Run,
    Step,
    case_of,
    decide,
)
from airflow_provider_oceanbase.starting.kept import KeptStart

CASES = [
    case
    for case in map(Case._make, product(Kept, Arguments, Run, Answer))
    if case.needs_answer == (case.answer is not Answer.NOT_REQUESTED)
]
MINE = KeptStart("bak-1", "2026-01-01T00:00:00+00:00", "mine", run=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(value.name for value in case))
def test_rows_are_exclusive_and_leave_nothing_out(case: Case) -> None:
    assert [row for row in TABLE if row.matches(case)] == [decide(case)]


@pytest.mark.parametrize("row", TABLE)
def test_each_row_decides_a_case(row: Row) -> None:
    assert any(row.matches(case) for case in CASES)


@pytest.mark.parametrize("row", TABLE)
def test_each_reason_says_what_is_known(row: Row) -> None:
    # Where nothing is known, too.
    assert "None" not in row.reason.format(kept=KeptStart())


def test_another_backup_is_never_continued_with() -> None:
    """Nor one of an earlier release, which may be another's."""
    continued = [case for case in CASES if decide(case).step is Step.CONTINUE]
    assert {case.arguments for case in continued} == {Arguments.SAME}
    assert {case.answer for case in continued} == {Answer.GOOD, Answer.UNREGISTERED}


def test_a_retry_starts_another_only_of_what_has_failed_or_is_for_something_else() -> None:
    again = [case for case in CASES if case.run is Run.RETRY and decide(case).step is Step.START]
    assert all(
        case.kept is Kept.NOTHING or case.arguments is Arguments.OTHER or case.answer is Answer.FAILED
        for case in again
    )


def test_what_is_told_once_is_not_told_for_ever() -> None:
    told = [case for case in CASES if case.run is Run.CLEARED_AFTER_REPORT]
    assert Step.UNKNOWN not in {decide(case).step for case in told}


@pytest.mark.parametrize(
    ("kept", "case"),
    [
        (None, (Kept.NOTHING, Arguments.UNKNOWN, Run.RETRY)),
        (MINE, (Kept.ID, Arguments.SAME, Run.RETRY)),
        (KeptStart("bak-1", purpose="theirs", run=1), (Kept.ID, Arguments.OTHER, Run.RETRY)),
        (KeptStart("bak-1", purpose="mine", run=0), (Kept.ID, Arguments.SAME, Run.CLEARED)),
        (KeptStart("bak-1", reported=True), (Kept.ID, Arguments.UNKNOWN, Run.CLEARED_AFTER_REPORT)),
        (KeptStart("bak-1", reported=True, run=1), (Kept.ID, Arguments.UNKNOWN, Run.RETRY)),
        (KeptStart(purpose="mine", run=1), (Kept.START, Arguments.SAME, Run.RETRY)),
        (KeptStart(), (Kept.START, Arguments.UNKNOWN, Run.CLEARED)),
    ],
)
def test_case(kept: KeptStart | None, case: tuple[object, ...]) -> None:
    assert case_of(kept, purpose="mine", run=1) == (*case, Answer.NOT_REQUESTED)


def test_the_page_has_the_table() -> None:
    page = ROOT / "docs" / "how-to" / "start-a-backup.md"
    cells = [
        [", ".join(value.value for value in cell) or "any" for cell in row[:4]] + [row.step.value]
        for row in TABLE
    ]
    assert rows(page, "What a later try does") == cells
