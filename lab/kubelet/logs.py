"""A container's log: lines in the form of the Container Runtime Interface, in files that do not grow without bound. Readers of them.

2017-07-11T10:00:00.123456789Z stdout F a whole line
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

ROOT = "/run/lab/pods"
"""Where the logs of a node's pods are, in the node's own /run: the real place is /var/log/pods."""

LIMIT = 10 << 20
"""Bytes after which a file is put aside; one such file is kept, as `N.log.1`."""

LONGEST = 16384
"""A longer line is cut into pieces, all but the last marked P."""


def place(namespace: str, name: str, uid: str, container: str, attempt: int) -> Path:
    """The file of one life of a container."""
    return Path(ROOT) / f"{namespace}_{name}_{uid}" / container / f"{attempt}.log"


def stamp(moment: float) -> str:
    """Seconds since the epoch in RFC 3339 with nine digits."""
    whole = int(moment)
    return datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{int((moment - whole) * 1e9):09d}Z"


class Writer:
    """Writes the log of one life of a container, both streams of it."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path, self.limit = path, limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._rest: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Take what a stream, stdout or stderr, said."""
        *lines, rest = (self._rest.pop(stream, b"") + data).split(b"\n")
        moment = stamp(time.time())
        out = [_line(moment, stream, piece, whole) for line in lines for piece, whole in _pieces(line)]
        while len(rest) > LONGEST:
            out.append(_line(moment, stream, rest[:LONGEST], False))
            rest = rest[LONGEST:]
        if rest:
            self._rest[stream] = rest
        self._append(b"".join(out))

    def close(self) -> None:
        """Write what has no end of line yet, and end."""
        if self._file.closed:
            return
        for stream, rest in self._rest.items():
            self._append(_line(stamp(time.time()), stream, rest, True))
        self._file.close()

    def _append(self, data: bytes) -> None:
        if not data:
            return
        with contextlib.suppress(OSError):  # a full disk must not end the runtime: this piece of the log is lost
            if self._size + len(data) > self.limit and self._size:
                os.replace(self.path, f"{self.path}.1")
                self._file.close()
                self._file = self.path.open("ab", buffering=0)
                self._size = 0
            self._file.write(data)
            self._size += len(data)


def _pieces(line: bytes) -> Iterator[tuple[bytes, bool]]:
    for begin in range(0, max(1, len(line)), LONGEST):
        yield line[begin : begin + LONGEST], begin + LONGEST >= len(line)


def _line(moment: str, stream: str, text: bytes, whole: bool) -> bytes:
    return f"{moment} {stream} {'F' if whole else 'P'} ".encode() + text + b"\n"


@dataclass(frozen=True)
class Wish:
    """What a reader wants: the last `tail` lines (-1: all), those not older than `since` (seconds since the epoch), with times."""

    tail: int = -1
    since: float = 0.0
    timestamps: bool = False


class Reader:
    """Reads a log, and what is added to it later, across rotations."""

    def __init__(self, path: Path, wish: Wish) -> None:
        self.path, self.wish = path, wish
        self._since = stamp(wish.since) if wish.since else ""
        self._rest = b""
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def first(self) -> bytes:
        """What is there now, as the wish has it. Lines that were put aside by the rotation come first."""
        lines = self._lines(self._aside() + self._read())
        if self.wish.tail >= 0:
            lines = lines[len(lines) - min(self.wish.tail, len(lines)) :]
        return b"".join(self._shown(line) for line in lines)

    def more(self) -> bytes:
        """What came since the last call."""
        data = self._read()
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_ino != os.fstat(self._file).st_ino:
                data += self._read()
                os.close(self._file)
                self._file = self._open()
                data += self._read()
        return b"".join(self._shown(line) for line in self._lines(data))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _aside(self) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return Path(f"{self.path}.1").read_bytes()
        return b""

    def _read(self) -> bytes:
        parts = []
        while part := os.read(self._file, 1 << 20):
            parts.append(part)
        return b"".join(parts)

    def _lines(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line for line in lines if line.count(b" ") >= 3 and line.split(b" ", 1)[0].decode("ascii", "replace") >= self._since]

    def _shown(self, line: bytes) -> bytes:
        moment, _, whole, text = line.split(b" ", 3)
        return (moment + b" " if self.wish.timestamps else b"") + text + (b"\n" if whole == b"F" else b"")
