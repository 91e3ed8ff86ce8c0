"""The forms of values, as a report has them."""

from __future__ import annotations

import pytest

from airflow_provider_oceanbase.cli.forms import forms_of_times


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2026-01-20T11:00:00.5Z", "9999-99-99T99:99:99.9Z"),
        ("20 Jan 2026", "99 aaa 9999"),
        ("\x1b[2J\x00\x7f\n\ud800é\u202e", "?[9a????a?"),
        ("2" * 1000, "9" * 40),
        (1, "(number)"),
        (None, "(null)"),
    ],
)
def test_the_form_of_a_time(value: object, form: str) -> None:
    assert forms_of_times([value, value]) == [form]
    assert form.isprintable()


def test_so_many_forms_at_most() -> None:
    assert len(forms_of_times("-" * number for number in range(1000))) <= 40
    assert (
        len(forms_of_times("9a" * 2 + "-" * (number % 30) + "a" * (number // 30) for number in range(900)))
        == 40
    )
