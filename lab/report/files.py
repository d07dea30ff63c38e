"""Reports as files: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import UsageError


def replace(path: Path, text: str, what: str) -> None:
    """Write a file under a temporary name beside it, then rename it, so that nobody ever sees half of it.

    Raises UsageError, with the words of `what` (`the JUnit file`), when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {what} {path}: {error.strerror}; name a file in a writable folder") from error
