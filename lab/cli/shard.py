"""A share of a list, so that several machines can do the whole: `--shard 2/4`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import UsageError

Thing = TypeVar("Thing")

_FORM = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


@dataclass(frozen=True)
class Shard:
    """Share `number`, from 1, of `total`."""

    number: int
    total: int

    def of(self, things: Sequence[Thing]) -> list[Thing]:
        """Every total-th thing: what stands side by side, which is often alike, is spread. Raises UsageError for more shares than things."""
        if self.total > len(things):
            raise UsageError(f"--shard {self.number}/{self.total}: there are only {len(things)} scenarios; make no more shares than that")
        return list(things[self.number - 1 :: self.total])


def parse(text: str) -> Shard:
    """`K/N` as a Shard. Raises UsageError for anything else."""
    found = _FORM.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise UsageError(f"--shard {text}: say K/N, the K-th of N shares, such as 1/4 to 4/4")
    return Shard(int(found[1]), int(found[2]))
