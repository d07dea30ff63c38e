"""Runs a test's body in a real sandbox, or several in one that they share."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from lab.fabric import sandbox

World = TypeVar("World")


def sandboxed(body: Callable[[], object]) -> None:
    """Run `body` as the lab process of a sandbox. Its assertions are the test's: pytest shows what it printed."""

    def main() -> int:
        body()
        return 0

    status = sandbox.run(main)
    assert status == 0, f"the body ended with status {status}; its traceback is in the captured stderr"


def together(file: Path, boot: Callable[[], World], checks: Iterable[Callable[[World], None]]) -> dict[str, str]:
    """Boot once, and run the checks one after the other in there: the name of each -> the traceback it ended with, or nothing.

    For a fixture of the module, whose tests then look up their check, so that each has a verdict of its own. `file` is for the results.
    """

    def body() -> None:
        world, found = boot(), {}
        for check in checks:
            try:
                check(world)
                found[check.__name__] = ""
            except Exception:
                found[check.__name__] = traceback.format_exc()
        file.write_text(json.dumps(found), encoding="utf-8")

    sandboxed(body)
    results: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return results
