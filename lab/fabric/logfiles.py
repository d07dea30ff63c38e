"""The logs of a lab as its owner reads them, in the lab's life and after it.

Daemons write to /run/lab/log of the sandbox (lab.fabric.daemon). A lab whose logs are to outlive it has a folder of the host mounted there:
nobody has to copy anything when it ends, so they are whole after kill -9, too, and nothing is cut off them.

The others lie in memory, and a lab may stay up for days: a log that has grown over LIMIT is put aside, as FILE.1 in place of an older one, and
begins anew. Daemons hold their logs open and know nothing of it, so the file stays the same one and is emptied once its text has been copied.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lab.errors import UsageError

LOGS = Path("/run/lab/log")
"""Where the logs are, in the sandbox's own /run."""

OWN = "lab"
"""What the lab's own log is called among those of its machines."""

LIMIT = 1 << 20
"""Bytes after which a daemon's log is put aside: some ten thousand lines. With what is aside a daemon has two times as many."""

_PIECE = 1 << 16


def shared(folder: Path) -> dict[str, str]:
    """For lab.fabric.sandbox: let the lab's logs be written to this folder of the host."""
    return {str(folder): str(LOGS)}


def chore(kept: str | None) -> Callable[[], None]:
    """For lab.fabric.sandbox: what keeps the logs small. `kept`: a folder that the user keeps them in, where they stay whole."""
    return (lambda: None) if kept else bound


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


def aside(path: Path) -> Path:
    """Where what a log had said before it began anew is."""
    return path.with_name(f"{path.name}.1")


def bound(folder: Path = LOGS, limit: int = LIMIT) -> None:
    """Put aside every log of a folder that has grown over so many bytes. Whoever writes to one must append (O_APPEND). Never raises OSError.

    Where there is no room for the copy the text is given up: what has filled the place must not go on filling it.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob("*.log"):
            if path.stat().st_size > limit:
                _put_aside(path)


def _put_aside(path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        with path.open("rb") as source, open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as copy:
            while piece := source.read(_PIECE):
                copy.write(piece)
            os.truncate(path, 0)  # what was written since the last read is lost, as with every log that is copied and emptied
        part.rename(aside(path))
    except OSError:
        os.truncate(path, 0)
        for old in (part, aside(path)):
            with contextlib.suppress(OSError):
                old.unlink()


def since(path: Path, position: int) -> tuple[bytes, int]:
    """What a log says behind a position, also if it has begun anew since, and the position after that. A file that is not there is empty."""
    if _size(path) >= position:
        return _read(path, position)
    before, _ = _read(aside(path), position)
    text, end = _read(path, 0)
    return before + text, end


def _read(path: Path, position: int) -> tuple[bytes, int]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(position)
        text = file.read()
        return text, position + len(text)
    return b"", position


def tail(path: Path, lines: int) -> tuple[bytes, int]:
    """The last lines of a log, all of them for -1, what was put aside included, and the position after them. A file that is not there is empty."""
    text, end = _end(path, lines)
    missing = lines if lines < 0 else lines - len(text.splitlines())
    if missing:
        text = _end(aside(path), missing)[0] + text
    return text, end


def _end(path: Path, lines: int) -> tuple[bytes, int]:
    """The same of one file."""
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
    """Reads what is added to some logs, also when they begin anew. Their names are of no meaning to it."""

    def __init__(self, places: dict[str, tuple[Path, int]]) -> None:
        self._places = {name: (path, position, _identity(aside(path))) for name, (path, position) in places.items()}

    def more(self) -> Iterator[tuple[str, bytes]]:
        """What came since the last call: the name, and the bytes. Nothing is missed unless a log begins anew twice in between."""
        for name, (path, position, known) in list(self._places.items()):
            other, before = _identity(aside(path)), b""
            if other != known:
                before, _ = _read(aside(path), position)
                position = 0
            elif _size(path) < position:
                continue  # it has been emptied, and what it said is about to be put aside
            text, end = _read(path, position)
            self._places[name] = path, end, other
            if before or text:
                yield name, before + text


def _identity(path: Path) -> int:
    """Another number for another file in this place; 0 for none."""
    with contextlib.suppress(OSError):
        return path.stat().st_ino
    return 0


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def last_words(path: Path, lines: int = 3) -> list[str]:
    """The end of a log for people, without control characters: what daemons print may come from strangers."""
    text, _ = tail(path, lines)
    return list(_printable(text.decode("utf-8", "replace").splitlines()))


def _printable(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield "".join(letter if letter.isprintable() else " " for letter in line).rstrip()
