"""Long-running processes of the lab: programs executed in a machine, and Python daemons forked from this warm process.

Each has a log file of its own, outside the machines (in the sandbox's /run), and ends at the latest with the sandbox.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import BootError
from lab.fabric import exhaustion, kernel, logfiles, process, signals
from lab.fabric.logfiles import LOGS
from lab.fabric.namespace import Namespace

LOG_TAIL = 8
"""Lines of a daemon's log that go into the error message when it did not come up."""

READY_TIMEOUT = 60.0
"""Seconds in which a daemon of a boot has to be ready; it takes less than one on an idle machine. What takes longest is a machine whose table
of neighbours is full (lab.fabric.neighbours): there is room in it again 45 s after whoever has filled it is silent."""


class Daemon:
    """A running daemon. `name` is what people call it: `etcd`, `flanneld`, the name of a container."""

    def __init__(self, name: str, namespace: Namespace, pid: int, log: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.pid = pid
        self.log = log
        self._status: int | None = None

    def ended(self) -> int | None:
        """None while it runs; afterwards its exit status, negative for a signal."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def stop(self, timeout: float = 5.0) -> None:
        """SIGTERM, and SIGKILL for its process group after `timeout` seconds."""
        if self.ended() is not None:
            return
        os.kill(self.pid, signal.SIGTERM)
        os.kill(self.pid, signal.SIGCONT)  # one that was stopped (SIGSTOP) would not hear it
        deadline = time.monotonic() + timeout
        while self.ended() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if self.ended() is None:
            self.kill()

    def kill(self) -> None:
        """SIGKILL for its process group."""
        if self.ended() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = READY_TIMEOUT) -> None:
        """Wait for `ready()`. Raises BootError with the end of the log when the daemon ends first or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not ready():
            status = self.ended()
            if status is not None:
                raise BootError(f"{self.namespace.name}: {self.name} ended with status {status} before {what}\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise BootError(f"{self.namespace.name}: {self.name}: no {what} after {timeout:g} s\n{self.last_words()}")
            time.sleep(0.002)

    def last_words(self) -> str:
        """The end of its log, indented."""
        text, _ = logfiles.tail(self.log, LOG_TAIL)
        return "\n".join(f"    {line}" for line in text.decode("utf-8", "replace").splitlines())


def log_of(namespace: Namespace, name: str) -> Path:
    """The file that a daemon of this name on this machine writes to, made if it is not there: one file for all its lives."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{namespace.name}.{name}.log"
    log.touch(mode=0o600)
    return log


def execute(namespace: Namespace, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Daemon:
    """Start a program as a daemon. Raises CommandError when it cannot be executed."""
    log = log_of(namespace, name)
    with log.open("ab") as sink:
        child = process.spawn(namespace, argv, stdout=sink, stderr=subprocess.STDOUT, env=process.environment(env))
    child.returncode = 0  # this object must never wait: Daemon does, by pid
    return Daemon(name, namespace, child.pid, log)


@dataclass(frozen=True)
class Birth:
    """A Python daemon that is to be forked: it enters the machine and runs `main`.

    keep   descriptors that stay open in the daemon, under their numbers; every other one is closed
    """

    namespace: Namespace
    name: str
    main: Callable[[], int]
    keep: tuple[int, ...] = ()


def fork(namespace: Namespace, name: str, main: Callable[[], int], keep: Iterable[int] = ()) -> Daemon:
    """Start a Python daemon: see `Birth` for what it is told, and `fork_all`."""
    (running,) = fork_all([Birth(namespace, name, main, tuple(keep))])
    return running


def fork_all(births: Sequence[Birth]) -> list[Daemon]:
    """Start Python daemons, as forks of this process, in this order.

    What this process has imported need not be imported again. Must be called while this process has one thread. Raises BootError when the
    kernel has no room for another process; none of them runs then.

    All is made ready first, and between two forks as little as possible is done: each page that this process writes to in between is one
    that the daemons on both sides no longer share with anybody, a megabyte a daemon if its flags are made there.
    """
    logs = [log_of(one.namespace, one.name) for one in births]
    running: list[Daemon] = []
    pids: list[int] = []
    gc.freeze()  # what is loaded stays loaded: the collector of a daemon that looked at it would copy every page of it
    with signals.held() as before:
        try:
            for one, log in zip(births, logs, strict=True):
                pid = os.fork()
                if pid == 0:
                    gc.enable()
                    _become(one, log, before)
                pids.append(pid)
        except OSError as error:
            trouble = f"{one.namespace.name}: cannot start {one.name}: {error.strerror}; {exhaustion.ROOM}"
            raise BootError(trouble) from error
        finally:
            running += [Daemon(one.name, one.namespace, pid, log) for one, log, pid in zip(births, logs, pids, strict=False)]
            if len(running) < len(births):
                _end(running)
    return running


def _end(some: Iterable[Daemon]) -> None:
    for one in some:
        one.kill()


def _become(birth: Birth, log: Path, mask: set[int]) -> None:
    status = 70
    try:
        os.setsid()
        kernel.set_name(birth.name)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sink = os.open(log, os.O_WRONLY | os.O_APPEND)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for old, new in ((nothing, 0), (sink, 1), (sink, 2)):
            os.dup2(old, new)
        birth.namespace.join()
        kernel.close_from(3, birth.keep)
        clean = process.environment()
        os.environ.clear()
        os.environ.update(clean)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
        status = birth.main()
    except SystemExit as end:
        status = process.status_of(end)
    except BaseException as error:
        if words := exhaustion.words(error):
            sys.stderr.write(f"{words}\n")
            status = 1
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
