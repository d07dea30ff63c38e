"""What a key means at a pause."""

from __future__ import annotations

import pytest

from lab.scenario.stepper import Answer, decide, help_line


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("n", Answer.NEXT),
        ("\n", Answer.NEXT),
        ("\r", Answer.NEXT),
        ("N", Answer.NEXT),
        ("r", Answer.REPEAT),
        ("s", Answer.SHELL),
        ("q", Answer.QUIT),
        ("", Answer.QUIT),
        ("\x03", Answer.QUIT),
        ("\x04", Answer.QUIT),
        ("x", None),
        ("\x1b", None),
    ],
)
def test_keys(key: str, answer: Answer | None) -> None:
    assert decide(key) is answer


def test_nothing_to_repeat_before_the_first_step() -> None:
    assert decide("r", repeatable=False) is None
    assert "repeat" not in help_line(upcoming=True, repeatable=False).en


def test_help_names_every_key_that_works() -> None:
    line = help_line(upcoming=True, repeatable=True)
    for text in (line.en, line.zh):
        assert all(f"{key}" in text for key in "nrsq")
    assert help_line(upcoming=False, repeatable=True).en.startswith("n, Enter: finish")
