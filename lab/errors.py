"""Everything that can go wrong for a user of the lab, and the exit status of each.

The tree:

    LabError                      the root; never raised itself
      UsageError        exit 2    a wrong word on the command line, an unknown name
        InputError      exit 2    a file that people write is wrong; carries every problem found
      MachineError      exit 3    this machine cannot run it: a tool, a kernel feature or a privilege is missing
      ClusterError      exit 3    a cluster elsewhere cannot be used: it does not answer, or does not let us
      BootError         exit 1    a daemon of the lab did not come up
      CommandError      exit 1    a command in the lab could not be started, failed or took too long
      CheckError        exit 1    a check of a scenario did not hold
      NotHere           exit 3    something that only a lab has was asked of a cluster elsewhere; ends the step, which counts as left out

A message says what is wrong, where, and what to do. The CLI prints it and exits with `status`; it never prints a traceback for
one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LabError(Exception):
    """Root of the tree. `status` is the process's exit status."""

    status = 1


class UsageError(LabError):
    """The command line, or a name given to the API, is wrong."""

    status = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file that a person wrote.

    file   as the person named it
    line   1-based, 0 when no line can be named
    field  dotted path with indexes: `nodes[1].gateway`; empty for the file itself
    text   what is wrong and what to do, one sentence without the place
    """

    file: str
    line: int
    field: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.text}" if self.field else f"{place}: {self.text}"


class InputError(UsageError):
    """A topology, manifest or scenario is wrong. `problems` holds all of them, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MachineError(LabError):
    """This machine cannot run the lab; the message says how to change that."""

    status = 3


class ClusterError(LabError):
    """A cluster elsewhere cannot be used; the message says why and what to do."""

    status = 3


class BootError(LabError):
    """A part of the lab did not become ready in its time."""


class CommandError(LabError):
    """A command could not be started, failed where it must not, or exceeded its timeout."""


class CheckError(LabError):
    """A check of a scenario did not hold."""


class NotHere(LabError):
    """Something that only a lab has was asked of a cluster elsewhere: what it needs, in both languages."""

    status = 3

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en, self.zh = en, zh
