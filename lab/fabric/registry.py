"""The labs of this user that stay in the background: a directory each, with what a command in another terminal needs to find it.

    <root>/<name>/lab.json       what it is, and which process is its PID 1
    <root>/<name>/control.sock   the lab listens here (lab.cluster.control)
    <root>/<name>/log/           what it printed, lab.log, and what each daemon did, MACHINE.DAEMON.log; elsewhere with --keep-logs
    <root>/<name>/web.json       which process serves its page, if one does; web.sock and web.log are that process's

The directories belong to their user alone. One that its process has not outlived is a crashed lab: `lab ps` shows it, `lab down` and
the next `lab up` of that name take it away.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab.errors import LabError, UsageError

PATIENCE = 10.0
"""Seconds that a lab, or the server of its page, may take to end."""

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Entry:
    """A lab in the registry.

    source   the topology or scenario it was made from, as the user named it
    pid      of its PID 1, as the host sees it; while it is being made, of the process that makes it
    born     that process's start time in clock ticks since boot, so that a reused pid is not mistaken for it
    since    Unix time of its start
    logs     the folder of its logs, where that is not in its own directory
    """

    name: str
    source: str
    pid: int = 0
    born: int = 0
    since: float = 0.0
    logs: str = ""

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return root() / self.name

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / "control.sock"

    @property
    def log_folder(self) -> Path:
        """Its logs: the lab writes there directly, so they are there however it ends."""
        return Path(self.logs) if self.logs else self.directory / "log"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.log_folder / "lab.log"

    @property
    def web_socket(self) -> Path:
        """Where the server of its page listens for its owner."""
        return self.directory / "web.sock"

    @property
    def running(self) -> bool:
        """Whether its PID 1 is alive."""
        return self.pid != 0 and start_time(self.pid) == self.born

    @property
    def companion_runs(self) -> bool:
        """Whether the server of its page is alive."""
        pid, born = _companion(self)
        return pid != 0 and start_time(pid) == born


@functools.cache
def root() -> Path:
    """The registry's directory: below /run for root, below XDG_RUNTIME_DIR (or /tmp) for others.

    Decided once: an ordinary user's process becomes root of its own user namespace later.
    """
    if os.geteuid() == 0:
        return Path("/run/lab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "lab" if runtime else Path(f"/tmp/lab-{os.geteuid()}")


def _private_root() -> Path:
    """The registry's directory, made if need be. Raises LabError when it is not this user's alone."""
    path = root()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise LabError(f"{path} must be a directory that only you can enter; remove it or set its mode to 0700")
    return path


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat, clock ticks since boot; 0 when there is no such process, or only its corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def entries() -> Iterator[Entry]:
    """Every lab of this user, running or crashed, by name."""
    if not root().is_dir():
        return
    for directory in sorted(_private_root().iterdir()):
        try:
            yield Entry(**json.loads((directory / "lab.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # being made or taken away at this moment


def require_name(name: str) -> None:
    """Raises UsageError when it is no name for a lab."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a lab: lower case letters, digits, dots and dashes, at most 63")


def claim(name: str, source: str, logs: str = "") -> Entry:
    """Reserve a name for a lab that the calling process is about to make; if it dies before that, the lab counts as crashed.

    Raises UsageError when it is no name for a lab, or when a lab of that name is running.
    """
    require_name(name)
    entry = Entry(name, source, since=time.time(), logs=logs)
    directory = _private_root() / name
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        known = next((one for one in entries() if one.name == name), None)
        if known is None or known.running:
            raise UsageError(f"a lab named {name} is up; `lab down {name}` ends it, `--name` chooses another name") from None
        remove(known)
        (_private_root() / name).mkdir(mode=0o700)
    return record(entry, os.getpid())


def record(entry: Entry, pid: int) -> Entry:
    """Write down which process the lab's PID 1 is."""
    entry = replace(entry, pid=pid, born=start_time(pid))
    draft = entry.directory / ".lab.json"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(entry)), encoding="utf-8")
    draft.rename(entry.directory / "lab.json")
    return entry


def discard(name: str) -> None:
    """End whatever there is of a lab that the calling process has claimed, and forget it."""
    for entry in entries():
        if entry.name == name:
            if entry.pid != os.getpid():
                kill(entry)
            remove(entry)


def remove(entry: Entry) -> None:
    """Forget a lab that does not run."""
    shutil.rmtree(entry.directory, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: others are there
        root().rmdir()


def kill(entry: Entry, timeout: float = PATIENCE) -> None:
    """End a lab: SIGKILL to its PID 1, with which the kernel ends all the rest, and its page's server; and wait until all are gone.

    timeout   seconds; 0 for who does not wait: what is told to end by SIGKILL ends, whoever looks
    Raises LabError if one of them outlives `timeout` seconds.
    """
    if entry.running:
        _end(entry.pid, entry.born, signal.SIGKILL, timeout, f"lab {entry.name}")
    end_companion(entry, timeout)


def wait(entry: Entry) -> None:
    """Until the lab has ended."""
    if entry.running:
        with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(entry.pid)) as handle:
            select.select([handle], [], [])


def accompany(entry: Entry, pid: int) -> None:
    """Write down which process serves a lab's page: it is to end with the lab."""
    draft = entry.directory / ".web.json"
    draft.write_text(json.dumps({"pid": pid, "born": start_time(pid)}), encoding="utf-8")
    draft.rename(entry.directory / "web.json")


def end_companion(entry: Entry, timeout: float = PATIENCE) -> None:
    """End the server of a lab's page, if there is one. Raises LabError if it outlives `timeout` seconds."""
    pid, born = _companion(entry)
    if pid:
        _end(pid, born, signal.SIGTERM, timeout, f"the page of {entry.name}")
    (entry.directory / "web.json").unlink(missing_ok=True)


def _companion(entry: Entry) -> tuple[int, int]:
    try:
        found = json.loads((entry.directory / "web.json").read_text(encoding="utf-8"))
        return int(found["pid"]), int(found["born"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def _end(pid: int, born: int, number: signal.Signals, timeout: float, what: str) -> None:
    """Send a signal to a process, unless it is gone, and wait for its end."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(handle):
        # The pid may have changed hands between the look and the open; from here on the descriptor holds it.
        if start_time(pid) != born:
            return
        signal.pidfd_send_signal(handle, number)
        if not timeout:
            return
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise LabError(f"{what} (process {pid}) has not ended within {timeout:g} s of being told to")


def pick(name: str | None, crashed: bool = False) -> Entry:
    """The lab of that name, or the only one that runs. Raises UsageError otherwise, with the names there are.

    crashed   when none runs, the only one that has crashed will do
    """
    known = list(entries())
    if name is not None:
        for entry in known:
            if entry.name == name:
                return entry
        raise UsageError(f"no lab is named {name!r}; {_names(known)}")
    running = [entry for entry in known if entry.running] or (known if crashed else [])
    if len(running) != 1:
        raise UsageError(f"say which lab with --name; {_names(running)}" if running else "no lab is up; `lab up` starts one")
    return running[0]


def _names(known: list[Entry]) -> str:
    return f"there are: {', '.join(entry.name for entry in known)}" if known else "none is up; `lab up` starts one"
