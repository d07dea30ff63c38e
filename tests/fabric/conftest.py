"""The fixture form of tests.sandboxed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sandboxed import sandboxed


@pytest.fixture(name="sandboxed")
def _sandboxed() -> Callable[[Callable[[], object]], None]:
    return sandboxed
