"""A request that is refused: the Status object that says why."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


class Refused(Exception):
    """Carries the Status object of the answer."""

    def __init__(self, status: Object) -> None:
        self.status = status
        super().__init__(status.get("message", ""))

    @property
    def code(self) -> int:
        """The HTTP status."""
        return int(self.status.get("code", 500))
