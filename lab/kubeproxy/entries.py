"""Deletes conntrack entries on a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lab.errors import CommandError


def delete(run: Callable[[Sequence[str], str], str], commands: Iterable[Sequence[str]]) -> None:
    """Run `conntrack -D` commands. That one finds nothing to delete, which conntrack calls a failure, is what was wanted.

    Raises CommandError for every other failure.
    """
    for command in commands:
        try:
            run(command, "")
        except CommandError as error:
            if "0 flow entries have been deleted" not in str(error):
                raise
