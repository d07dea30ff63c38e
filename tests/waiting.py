"""The one way in which tests wait: for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

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
