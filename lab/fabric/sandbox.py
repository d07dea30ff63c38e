"""The sandbox: namespaces in which a whole lab lives, so that the end of one process is the end of everything.

    front       the user's process; stays in the host's namespaces, passes signals on, returns the lab's exit status
    └ init      PID 1 of the sandbox: sets up mounts, reaps orphans, ends with the lab (or with the front)
      └ lab     runs `body`; its children are the lab's daemons and commands

When init ends, for whatever reason, the kernel kills every process of the PID namespace, and with the last of them go the network
namespaces, links, rules and mounts: pid_namespaces(7). The front is init's parent and init asks for SIGKILL when it dies, so even
`kill -9` of the front leaves nothing. For an ordinary user one more process stands between front and init: it enters a user namespace
of its own, in which it is root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from lab.errors import MachineError
from lab.fabric import container, exhaustion, kernel, process

Body = Callable[[], int]
Shared = Mapping[str, str]
"""Directories of the host that the sandbox writes to: the absolute path of one -> where the sandbox has it, below /run."""
_NOTHING: Shared = MappingProxyType({})
Chore = Callable[[], None]
"""What init does now and then, besides waiting."""


def _no_chore() -> None:
    """For a sandbox in which nothing grows."""



PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals by which somebody ends a run: whoever waits for others passes them on."""

WATCHED = (signal.SIGCHLD, *PASSED_ON)
SI_KERNEL = 0x80
"""si_code of a signal that the kernel sent, such as the terminal's SIGINT; sigaction(2)."""

CHORES = 1.0
"""Seconds between two times that init does its chore."""

GRACE = 5.0
"""Seconds the lab has to write its reports after a signal before the front kills it."""


def run(body: Body, shared: Shared = _NOTHING, chore: Chore = _no_chore) -> int:
    """Run `body` inside a new sandbox and return its exit status; everything it made is gone on return, except in `shared` directories.

    chore   called by init once a second
    Raises MachineError when the sandbox cannot be made. Must be called from a single-threaded process.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        return _attend(spawn(body, True, shared, chore=chore)) if kernel.may_administer() else _run_apart(body, shared, chore)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_apart(body: Body, shared: Shared, chore: Chore) -> int:
    """Run the sandbox from a child process, which becomes root of a user namespace: this one stays who it is."""
    flush()
    told, tell = os.pipe()
    child = _fork()
    if child == 0:
        os.close(told)
        kernel.die_with_parent(signal.SIGKILL)
        exit_with(lambda: _front_of(body, shared, chore, tell))
    os.close(tell)
    status = _attend(child)
    with os.fdopen(told, encoding="utf-8") as channel:
        trouble = channel.read()
    if trouble:
        raise MachineError(trouble)
    return status


def _front_of(body: Body, shared: Shared, chore: Chore, tell: int) -> int:
    try:
        return _attend(spawn(body, True, shared, chore=chore))
    except MachineError as error:
        os.write(tell, str(error).encode())
        return error.status


def spawn(
    body: Body, dies_with_front: bool, shared: Shared = _NOTHING, farewell: Callable[[int], None] = lambda status: None, chore: Chore = _no_chore
) -> int:
    """Start a sandbox and return the pid of its init, once init is set up.

    dies_with_front   False: the sandbox gets a session of its own and outlives the caller (`lab up`)
    farewell          called by init with the lab's exit status when the lab has ended, before everything else does
    chore             called by init once a second; must raise nothing
    Raises MachineError when a namespace or mount is refused.
    """
    flush()
    if not kernel.may_administer():
        _enter_user_namespace()
    try:
        kernel.unshare(kernel.CLONE_NEWPID)
    except OSError as error:
        raise MachineError(f"cannot make a PID namespace: {error}\n{_privilege_hint(container.NAMESPACES)}") from error
    told, tell = os.pipe()
    init = _fork()
    if init == 0:
        os.close(told)
        exit_with(lambda: _init(body, tell, dies_with_front, shared, farewell, chore))
    os.close(tell)
    _children_stay_here()
    with os.fdopen(told, encoding="utf-8") as channel:
        trouble = channel.read()
    if trouble:
        os.waitpid(init, 0)
        raise MachineError(trouble)
    return init


def _fork() -> int:
    """os.fork with an error for people. Raises MachineError."""
    try:
        return os.fork()
    except OSError as error:
        raise MachineError(f"cannot start a process: {error.strerror}; `ulimit -u` says how many this user may have") from error


def _children_stay_here() -> None:
    """Undo unshare(CLONE_NEWPID) for later forks, so that one process can make one sandbox after another.

    Refused to the root of a user namespace, whose process makes only one.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):
            kernel.setns(own, kernel.CLONE_NEWPID)
    finally:
        os.close(own)


def exit_with(body: Body) -> None:
    """End this (forked) process with the status of `body`, whatever happens in it."""
    status = 70
    try:
        status = body()
    except SystemExit as end:
        status = process.status_of(end)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException as error:  # the last frame of a process: the traceback is a defect's only trace
        if words := exhaustion.words(error):
            status = 1
            print(f"lab: {words}", file=sys.stderr)  # noqa: T201
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        flush()
        os._exit(status)


def flush() -> None:
    """Write out what is buffered for the standard streams: what is forked with a full buffer writes it twice."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # a closed terminal must not change the exit status


def _enter_user_namespace() -> None:
    """Become root of a user namespace in which only this user exists; user_namespaces(7).

    A container's root without capabilities is an ordinary user in this, except that it may stand for itself only with CAP_SETFCAP.
    """
    uid, gid = os.geteuid(), os.getegid()
    hint = _privilege_hint(container.NAMESPACES)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        hint = container.ROOT if uid == 0 else hint
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    except OSError as error:
        raise MachineError(f"cannot make a user namespace: {error}\n{hint}") from error


def _privilege_hint(in_container: str) -> str:
    """What to do about a refusal; `in_container`: where the lab was started in a container."""
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        contained = "let the host's root do `sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        own = contained if container.detect() else "run the lab with sudo."
        return f"AppArmor on this machine reserves user namespaces for root: {own}"
    if container.detect():
        masked = in_container != container.MOUNTS and container.proc_is_masked(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        return f"{in_container}\n{container.MASKED}" if masked else in_container
    return "Run the lab with sudo, or allow user namespaces (sysctl user.max_user_namespaces); `lab doctor` tells more."


def _init(body: Body, tell: int, dies_with_front: bool, shared: Shared, farewell: Callable[[int], None], chore: Chore) -> int:
    """PID 1: set up, start the lab, reap until it ends."""
    if dies_with_front:
        kernel.die_with_parent(signal.SIGKILL)
        # The front may have died before the prctl: in a new PID namespace getppid() says 0 for a parent outside, so ask the kernel
        # through the front's end of the pipe instead, which is closed with it.
        if _reader_gone(tell):
            return 1
    else:
        os.setsid()
    try:
        _furnish(shared)
    except OSError as error:
        os.write(tell, f"cannot set up the sandbox: {error}\n{_privilege_hint(container.MOUNTS)}".encode())
        return MachineError.status
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        lab = os.fork()
    except OSError as error:
        os.write(tell, f"cannot start the lab's process: {error.strerror}; `ulimit -u` says how many this user may have".encode())
        return MachineError.status
    if lab == 0:
        os.close(tell)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        exhaustion.offer(exhaustion.LAB)
        exit_with(body)
    _let_go(keep_terminal=dies_with_front)
    status = _reap(lab, chore)
    farewell(status)
    return status


def _let_go(keep_terminal: bool) -> None:
    """Close what init has inherited and does not use, so that it keeps nobody's pipe open; a detached one lets go of the terminal too."""
    kernel.close_from(3)
    if not keep_terminal:
        nothing = os.open("/dev/null", os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.close(nothing)


def _reader_gone(pipe: int) -> bool:
    import select

    poll = select.poll()
    poll.register(pipe, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _furnish(shared: Shared) -> None:
    """The sandbox's own namespaces and the mounts that must differ from the host's."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC)
    _own_root()
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    # Opened before /run hides them: a user's own may be below the host's /run.
    opened = [(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), target) for path, target in shared.items()]
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for descriptor, target in opened:
        os.makedirs(target)
        kernel.mount(f"/proc/self/fd/{descriptor}", target, flags=kernel.MS_BIND)
        os.close(descriptor)
    os.umask(0o022)


def _own_root() -> None:
    """Cut every mount off from the host's, and make this process's root that of its mount namespace.

    They differ in a chroot; the lab's machines come and go by setns(2), which leads to the namespace's root.
    """
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    kernel.setns(own, kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    if not os.path.samestat(os.stat("/"), os.fstat(root)):
        where = _relative_to_root(here, root)
        os.fchdir(root)
        path = os.getcwd()
        kernel.mount(path, path, flags=kernel.MS_BIND | kernel.MS_REC)
        os.chdir(path)
        kernel.pivot_root(".", ".")
        kernel.detach(".")
        os.chdir(where)
    else:
        os.fchdir(here)
    for descriptor in (own, root, here):
        os.close(descriptor)


def _relative_to_root(here: int, root: int) -> str:
    """The working directory as the chroot names it; descriptors of before the pivot lead to mounts that are gone."""
    os.fchdir(root)
    top = os.getcwd()
    os.fchdir(here)
    inside = os.path.relpath(os.getcwd(), top)
    return "/" if inside.startswith("..") else os.path.join("/", inside)


def _reap(lab: int, chore: Chore) -> int:
    """Reap every child that ends, pass signals on to the lab, do the chore, and return the lab's exit status."""
    due = time.monotonic() + CHORES
    while True:
        caught = signal.sigtimedwait(WATCHED, max(0.0, due - time.monotonic()))
        if time.monotonic() >= due:
            chore()
            due = time.monotonic() + CHORES
        if caught is None:
            continue
        if caught.si_signo != signal.SIGCHLD:
            os.kill(lab, caught.si_signo)
            continue
        for pid, status in _ended():
            if pid == lab:
                return exit_status(status)


def _ended() -> Iterable[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def exit_status(status: int) -> int:
    """A shell's reading of a wait status: 128 + the signal's number for a killed process."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _attend(init: int) -> int:
    """The front's whole work while the lab runs: pass signals on, wait for init."""
    deadline: float | None = None
    while True:
        if deadline is None:
            caught = signal.sigwaitinfo(WATCHED)
        else:
            timed = signal.sigtimedwait(WATCHED, max(0.0, deadline - time.monotonic()))
            if timed is None:
                os.kill(init, signal.SIGKILL)
                deadline = None
                continue
            caught = timed
        if caught.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(init, os.WNOHANG)
            if pid == init:
                return exit_status(status)
            continue
        # What the terminal sends goes to its whole foreground group: the lab has it already.
        if caught.si_code != SI_KERNEL:
            os.kill(init, caught.si_signo)
        if caught.si_signo != signal.SIGINT:
            deadline = deadline or time.monotonic() + GRACE


