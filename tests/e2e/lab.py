"""Runs the lab's command line as its users do: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.hearing import HEARING

ROOT = Path(__file__).resolve().parents[2]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's environment, in which the checkout's package is found from any directory."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"} | dict(extra or {})


def start(*words: str, **options: object) -> subprocess.Popen[str]:
    """Start `lab WORDS` and return at once."""
    settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    return subprocess.Popen([*HEARING, sys.executable, "-m", "lab", *words], text=True, **(settings | options))  # type: ignore[call-overload, no-any-return]


def lab(*words: str, stdin: str = "", env: Mapping[str, str] | None = None, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run `lab WORDS` to its end."""
    command: Sequence[str] = [sys.executable, "-m", "lab", *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment(env), start_new_session=True, check=False
    )


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read what it prints up to the first line with this in it; all that was read. Fails when it ends without."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if wanted in line:
            return seen
    raise AssertionError(f"no line with {wanted!r}: {seen}")


@contextmanager
def lab_up(name: str, what: str, *words: str) -> Iterator[str]:
    """A lab of this name that is up for as long as the block lasts, made from `what`; what `lab up` has printed."""
    ran = lab("up", what, "--name", name, *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    try:
        yield ran.stdout
    finally:
        lab("down", name)
