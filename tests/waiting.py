"""The one way in which tests wait: for a condition, with a deadline."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable

POLLING = 0.01
"""Seconds between looks at whether a condition holds; also for a socketserver that is to stop, which by itself looks twice a second."""
PATIENCE = 60.0
"""Seconds to wait for a condition before the test fails; far more than it takes, because the processors may have a lot else to do."""


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {patience:g} s"
        time.sleep(POLLING)


def wait_until_gone(handles: Iterable[int], otherwise: str, patience: float = PATIENCE) -> None:
    """Wait for the end of all processes that these pidfds stand for, and close them; `otherwise`: what it means when one does not end."""
    deadline = time.monotonic() + patience
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(max(0.0, deadline - time.monotonic()) * 1000), otherwise
        os.close(handle)
