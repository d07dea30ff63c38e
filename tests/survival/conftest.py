"""The host is as it was after each of these tests; `--full` makes them long."""

from __future__ import annotations

import os
import random

import pytest

from tests.e2e.conftest import host_unchanged

__all__ = ["host_unchanged"]


@pytest.fixture(name="full")
def _full(request: pytest.FixtureRequest) -> bool:
    """Whether the long form is wanted."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(name="dice")
def _dice() -> random.Random:
    """Random moments and victims. The seed is in the report of a test that fails; LAB_SEED repeats it."""
    seed = int(os.environ.get("LAB_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"LAB_SEED={seed}")
    return random.Random(seed)
