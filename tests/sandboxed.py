"""Runs a test's body in a real sandbox."""

from __future__ import annotations

from collections.abc import Callable

from lab.fabric import sandbox


def sandboxed(body: Callable[[], object]) -> None:
    """Run `body` as the lab process of a sandbox. Its assertions are the test's: pytest shows what it printed."""

    def main() -> int:
        body()
        return 0

    status = sandbox.run(main)
    assert status == 0, f"the body ended with status {status}; its traceback is in the captured stderr"
