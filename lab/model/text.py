"""Text that people read, in the two languages of the lab."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """The same thing said in English and in Chinese."""

    en: str
    zh: str
