"""Golden files: what came out is compared with the text beside the input. LAB_UPDATE_GOLDEN=1 writes it anew: read the diff."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
Golden = Callable[[Path, str], None]


@pytest.fixture
def golden() -> Golden:
    """`golden(file, text)` fails when the file does not hold the text."""

    def compare(file: Path, text: str) -> None:
        if os.environ.get("LAB_UPDATE_GOLDEN") == "1":
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"no {file.name} yet: run once with LAB_UPDATE_GOLDEN=1 and read what it wrote"
        assert text == file.read_text(encoding="utf-8")

    return compare
