"""What a key means at a pause."""

from __future__ import annotations

import pytest

from lab.scenario.stepper import Answer, boot_help_line, decide, decide_boot, help_line


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


BOOT_KEYS = {"n": Answer.NEXT, "\n": Answer.NEXT, "q": Answer.QUIT, "": Answer.QUIT, "r": None, "s": Answer.SHELL}


@pytest.mark.parametrize(("key", "answer"), BOOT_KEYS.items())
def test_keys_while_the_lab_boots(key: str, answer: Answer | None) -> None:
    assert decide_boot(key) is answer
    assert all(one in boot_help_line().en and one in boot_help_line().zh for one in "nsq")


def test_nothing_to_repeat_before_the_first_step() -> None:
    assert decide("r", repeatable=False) is None
    assert "repeat" not in help_line(upcoming=True, repeatable=False).en


def test_help_names_every_key_that_works() -> None:
    line = help_line(upcoming=True, repeatable=True)
    for text in (line.en, line.zh):
        assert all(f"{key}" in text for key in "nrsq")
    assert help_line(upcoming=False, repeatable=True).en.startswith("n, Enter: finish")
