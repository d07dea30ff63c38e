"""Words for what has run out."""

from __future__ import annotations

import errno
import os

import pytest

from lab.fabric import exhaustion


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_what_the_kernel_refuses_to_who_has_used_up_all(number: int) -> None:
    assert os.strerror(number) in exhaustion.words(OSError(number, os.strerror(number)))


def test_a_thread_that_cannot_be_started() -> None:
    assert "cannot start a thread" in exhaustion.words(RuntimeError("can't start new thread"))


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "no such file"), RuntimeError("a defect"), ValueError(), None])
def test_anything_else_is_something_else(error: BaseException | None) -> None:
    assert exhaustion.words(error) == ""


def test_nothing_is_told_when_nobody_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustion, "kills", lambda: 7)
    assert exhaustion.told(7) == ""
    assert exhaustion.told(6).endswith("the kernel killed a process")
    assert exhaustion.told(4).endswith("the kernel killed 3 processes")
