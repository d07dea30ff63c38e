"""The logs of a lab as its owner reads them, in the lab's life and after it.

Daemons write to /run/lab/log of the sandbox (lab.fabric.daemon). A lab whose logs are to outlive it has a folder of the host mounted there:
nobody has to copy anything when it ends, so they are whole after kill -9, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.errors import UsageError

LOGS = Path("/run/lab/log")
"""Where the logs are, in the sandbox's own /run."""

OWN = "lab"
"""What the lab's own log is called among those of its machines."""

_PIECE = 1 << 16


def shared(folder: Path) -> dict[str, str]:
    """For lab.fabric.sandbox: let the lab's logs be written to this folder of the host."""
    return {str(folder): str(LOGS)}


def kept_in(directory: str, lab: str) -> Path:
    """The folder for one lab's logs below a directory that a user has named, made if need be, for the user alone.

    Raises UsageError for a directory in which somebody else could have put what we would write to.
    """
    for path in (Path(directory).absolute(), Path(directory).absolute() / lab):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = os.lstat(path) if path.name == lab else os.stat(path)
        except OSError as error:
            raise UsageError(f"--keep-logs: {path}: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise UsageError(f"--keep-logs: {path} must be a directory of yours that nobody else may write to")
    return path.resolve()


def files(folder: Path) -> dict[tuple[str, str], Path]:
    """Every daemon's log in a folder: machine and daemon -> its file."""
    found = {}
    for path in sorted(folder.glob("*.log")):
        machine, dot, name = path.stem.rpartition(".")
        if dot:
            found[machine, name] = path
    return found


def chosen(folder: Path, who: str, name: str | None) -> dict[str, Path]:
    """The logs of a machine by their daemons' names, or that of one daemon. `who` may be the beginning of one machine's name.

    Raises UsageError with the names there are.
    """
    known = files(folder)
    machines = list(dict.fromkeys(machine for machine, _ in known))
    begun = [machine for machine in machines if machine.startswith(who)]
    machine = who if who in machines or len(begun) != 1 else begun[0]
    if machine not in machines:
        raise UsageError(f"no machine with daemons is named {who!r}; there are: {', '.join(machines) or 'none'}")
    daemons = {one: path for (where, one), path in known.items() if where == machine}
    if name is not None and name not in daemons:
        raise UsageError(f"no daemon of {machine} is named {name!r}; there are: {', '.join(daemons)}")
    return daemons if name is None else {name: daemons[name]}


def tail(path: Path, lines: int) -> tuple[bytes, int]:
    """The last lines of a file, all of them for -1, and the position after them. A file that is not there is empty."""
    try:
        with path.open("rb") as file:
            end = begin = file.seek(0, os.SEEK_END)
            held = b""
            while begin and (lines < 0 or held.count(b"\n") <= lines):
                begin = max(0, begin - _PIECE)
                file.seek(begin)
                held = file.read(end - begin)
    except FileNotFoundError:
        return b"", 0
    return (held if lines < 0 else b"".join(held.splitlines(keepends=True)[-lines:]) if lines else b""), end


class Follower:
    """Reads what is added to some files. Their names are of no meaning to it."""

    def __init__(self, places: dict[str, tuple[Path, int]]) -> None:
        self._places = places

    def more(self) -> Iterator[tuple[str, bytes]]:
        """What came since the last call: the name, and the bytes."""
        for name, (path, position) in list(self._places.items()):
            data = _read_from(path, position)
            if data:
                self._places[name] = path, position + len(data)
                yield name, data


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read()
    except FileNotFoundError:
        return b""


def last_words(path: Path, lines: int = 3) -> list[str]:
    """The end of a log for people, without control characters: what daemons print may come from strangers."""
    text, _ = tail(path, lines)
    return list(_printable(text.decode("utf-8", "replace").splitlines()))


def _printable(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield "".join(letter if letter.isprintable() else " " for letter in line).rstrip()
