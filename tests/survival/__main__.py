"""`python -m tests.survival [PYTEST'S WORDS]`: this folder's tests in full; takes about an hour, and needs root."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main([str(Path(__file__).parent), "--full", "-s", "-v", *sys.argv[1:]]))
