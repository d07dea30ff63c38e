"""One container of the runtime: its process, what it says, and its lives so far."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import socket
import termios
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.errors import BootError, CommandError
from lab.fabric import exhaustion, kernel, logfiles, process
from lab.fabric.namespace import Namespace
from lab.kubelet import logs, mounts
from lab.kubelet.records import Program, Run, Sandbox
from lab.workloads import echo

NOT_STARTED = 128
"""Exit status of a container whose program could not be executed, as containerd reports it."""

_CHUNK = 1 << 16
_LAST_READS = 64
"""Reads of a stream whose process has ended: one that has left its session may hold the other end open and never stop."""

_NAMES = {"stdout": b"\x01", "stderr": b"\x02"}


@dataclass
class Streams:
    """The runtime's ends of a container's streams: what it says, by descriptor; where it reads (-1: nowhere)."""

    said: dict[int, str] = field(default_factory=dict)
    stdin: int = -1
    tty: bool = False


class Container:
    """A container of a pod. `runs`: its last lives, newest last."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.sandbox, self.name = sandbox, name
        self.runs: tuple[Run, ...] = ()
        self.environment: dict[str, str] = {}
        self.streams = Streams()
        self.listeners: list[socket.socket] = []
        self._log: logs.Writer | None = None
        self._private: tuple[str, ...] = ()

    @property
    def pid(self) -> int:
        """Its process; 0 when none lives."""
        return self.runs[-1].pid if self.runs and not self.runs[-1].finished else 0

    def start(self, namespace: Namespace, program: Program) -> Run:
        """Begin a new life. One whose program cannot be executed has ended at once, and says why."""
        log = logs.place(self.sandbox.namespace, self.sandbox.name, self.sandbox.uid, self.name, program.attempt)
        self._forget(program.attempt - 2)
        self.close()
        self._log = logs.Writer(log)
        self.environment = dict(program.env)
        self._private = program.private
        began = time.time()
        try:
            _furnish(namespace, program)
            pid = self._spawn(namespace, program)
            exhaustion.offer(exhaustion.CONTAINER, pid)
            run = Run(program.attempt, began, pid)
        except (BootError, CommandError, OSError, ValueError) as error:  # ValueError: a word or a variable that no process can have
            self.close()
            run = Run(program.attempt, began, 0, time.time(), NOT_STARTED, str(error))
        self.runs = (*self.runs[-1:], run)
        return run

    def _forget(self, attempt: int) -> None:
        """Remove the log of a life that nobody can ask for any more."""
        old = logs.place(self.sandbox.namespace, self.sandbox.name, self.sandbox.uid, self.name, attempt)
        for path in (str(old), f"{old}.1"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _spawn(self, namespace: Namespace, program: Program) -> int:
        theirs, self.streams = _open_streams(program)
        try:
            if program.echo:
                return _fork_echo(namespace, self.sandbox.name, program, theirs)
            child = process.spawn(
                namespace,
                program.argv or ("sleep", "infinity"),
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=process.container_environment(self.environment),
                cwd=program.directory or "/",
                preexec_fn=_take_terminal if program.tty else None,
            )
            child.returncode = 0  # this object must never wait: the runtime reaps by pid
            return child.pid
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)

    def hear(self, descriptor: int) -> bool:
        """Take what came on a stream into the log, and to those who listen. False at its end. Raises BlockingIOError when nothing came."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            raise
        except OSError:  # EIO: the last one with the terminal open has gone
            return False
        stream = self.streams.said[descriptor]
        if not data:
            return False
        if self._log is not None:
            self._log.write(stream, data)
        for listener in list(self.listeners):
            try:
                listener.send(_NAMES[stream] + data)
            except OSError:
                self.listeners.remove(listener)
                listener.close()
        return True

    def ended(self, status: int) -> None:
        """Its process has ended: so do those of its session; what it still said is kept."""
        pid = self.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        for descriptor in self.streams.said:
            with contextlib.suppress(BlockingIOError):
                for _ in range(_LAST_READS):
                    if not self.hear(descriptor):
                        break
        self.close()
        self.runs = (*self.runs[:-1], replace(self.runs[-1], finished=time.time(), status=status))

    def close(self) -> None:
        """Let go of streams, log and listeners."""
        for descriptor in {*self.streams.said, self.streams.stdin} - {-1}:
            os.close(descriptor)
        self.streams = Streams()
        for listener in self.listeners:
            listener.close()
        self.listeners = []
        if self._log is not None:
            self._log.close()
            self._log = None

    def bound_logs(self) -> None:
        """Put aside what its program has written into log files of its own, as nginx does, where that has grown large."""
        for path in self._private if self.pid else ():
            logfiles.bound(Path(f"/proc/{self.pid}/root{path}"), logs.LIMIT)

    def end_input(self) -> None:
        """Let it read the end of its input, which it does once nobody attached holds it any more."""
        if self.streams.stdin >= 0 and not self.streams.tty:
            os.close(self.streams.stdin)
            self.streams.stdin = -1

    def listen(self) -> tuple[socket.socket, int]:
        """For an attach: a socket with what it says from now on (a byte for the stream, 1 or 2, then data), and where it reads (-1: nowhere)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.listeners.append(ours)
        return theirs, self.streams.stdin


def _open_streams(program: Program) -> tuple[tuple[int, int, int], Streams]:
    if program.tty:
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        return (slave, slave, slave), Streams({master: "stdout"}, master, True)
    out, err = os.pipe(), os.pipe()
    for reader in (out[0], err[0]):
        os.set_blocking(reader, False)
    streams = Streams({out[0]: "stdout", err[0]: "stderr"})
    if not program.stdin:
        return (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), out[1], err[1]), streams
    reader, streams.stdin = os.pipe()
    return (reader, out[1], err[1]), streams


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _furnish(namespace: Namespace, program: Program) -> None:
    for mount in program.mounts:
        mounts.attach(namespace, *mount)
    if program.directory:
        mounts.require_directory(namespace, program.directory)
    for path, text in program.files:
        namespace.write_text(path, text)
    for path in program.private:
        with namespace.entered():
            own = f"/run/lab/{path.strip('/').replace('/', '-')}"
            if os.path.isdir(own):
                continue
            if not os.path.isdir(path):
                raise BootError(f"{namespace.name}: this machine has no {path}: is nginx installed? `lab doctor` tells how to get it")
            os.makedirs(own)
            kernel.mount(own, path, flags=kernel.MS_BIND)


def _fork_echo(namespace: Namespace, pod: str, program: Program, streams: tuple[int, int, int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor, standard in zip(streams, (0, 1, 2), strict=True):
            os.dup2(descriptor, standard)
        namespace.join()
        kernel.close_from(3)
        status = echo.serve(pod, program.echo)
    except OSError as error:
        os.write(2, f"the echo server cannot start: {error}\n".encode())
        status = 1
    finally:
        os._exit(status)


def sweep(namespace: Namespace, spared: set[int]) -> None:
    """End every process that is in a pod, whoever started it, but those spared: the lab's own are there for moments."""
    inode = os.fstat(namespace.fds["mnt"]).st_ino
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in spared:
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/ns/mnt").st_ino == inode:
                os.kill(int(name), signal.SIGKILL)


def ancestors() -> set[int]:
    """This process and those it descends from."""
    found, pid = {0}, os.getpid()
    while pid:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                pid = int(file.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            break
    return found
