"""The one door to processes: run a command in a machine of the lab and get all that came back."""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import CommandError
from lab.fabric.namespace import Namespace
from lab.plan.files import KUBECONFIG

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are; an ordinary user's PATH on Debian lacks the sbin directories, where iptables and nginx live."""

NEEDED = ("bash", "curl", "etcd", "etcdctl", "ip", "iptables", "kubectl", "nginx")
"""Programs that are looked for in the caller's PATH, where the system's directories do not have them."""

LISTEN = 0.3
"""Seconds: how long a command may be silent before what it has printed is told, and how often then."""

KUBECACHE = "/run/lab/kubecache"
"""Where kubectl keeps what it learnt of its cluster: on each machine's own /run."""


@dataclass(frozen=True)
class Result:
    """What came back from one command.

    where     name of the machine it ran on
    command   as a person would type it
    status    exit status; -N when signal N ended it
    seconds   wall time
    """

    where: str
    command: str
    status: int
    stdout: str
    stderr: str
    seconds: float


_announced: dict[str, str] = {}


def announce(variables: Mapping[str, str]) -> None:
    """From now on every program of the lab, daemon or command, finds these variables besides the usual."""
    _announced.update(variables)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a command on a node, client or router of the lab finds: what a login of root would, and nothing of whoever started the lab.

    Only TERM is the caller's, because the terminal is. Messages are in plain English. kubectl finds the lab's cluster, where the machine
    has a file for it, and never the user's own.
    """
    terminal = {"TERM": os.environ["TERM"]} if os.environ.get("TERM") else {}
    login = {"USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash", "LC_ALL": "C.UTF-8"}
    return {"PATH": _path(), "HOME": home(), **login, **terminal, "KUBECONFIG": KUBECONFIG, "KUBECACHEDIR": KUBECACHE, **_announced, **(extra or {})}


def container_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a process of a container finds: PATH and HOME, which come with an image elsewhere, and `own`, which is the pod's business."""
    return {"PATH": _path(), "HOME": home(), **own}


def _path() -> str:
    return _search_path(os.environ.get("PATH", ""), SYSTEM_PATH)


@functools.cache
def _search_path(callers: str, system: str) -> str:
    """The system's directories, then those in which programs are that the lab needs and the system's do not have, then the lab's own Python's."""
    elsewhere = [shutil.which(name, path=callers) for name in NEEDED if shutil.which(name, path=system) is None]
    return ":".join(dict.fromkeys([*system.split(":"), *(os.path.dirname(found) for found in (*elsewhere, sys.executable) if found)]))


def home() -> str:
    """root's home directory, or / where the user that root stands for may not enter it."""
    return "/root" if os.access("/root", os.R_OK | os.X_OK) else "/"


def spawn(namespace: Namespace, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process in a machine, in a session of its own, with the machine's environment. `options` as for subprocess.Popen.

    Raises CommandError when the program is not there or cannot be executed.
    """
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("env", environment() if namespace.environment is None else container_environment(namespace.environment))
    options.setdefault("cwd", home() if namespace.environment is None else "/")
    options.setdefault("start_new_session", True)
    try:
        with namespace.entered():
            return subprocess.Popen(list(argv), **options)
    except OSError as error:
        raise CommandError(f"{namespace.name}: cannot run {argv[0]}: {error.strerror}; `lab doctor` tells how to get it") from error


def status_of(end: SystemExit) -> int:
    """The status that a SystemExit asks for. As where Python itself catches it, a text in it goes to standard error and means 1."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def run(
    namespace: Namespace,
    command: str | Sequence[str],
    timeout: float = 10.0,
    stdin: str | None = None,
    heard: Callable[[str], None] | None = None,
) -> Result:
    """Run a command in a machine and wait for it.

    command   a str is what a person typed, and bash reads it; a sequence is executed as it is
    timeout   seconds; then its whole process group is killed and CommandError raised
    stdin     text to feed it; None: /dev/null
    heard     called with further whole lines of its standard output while it runs, when it takes longer than LISTEN seconds
    """
    argv = ["bash", "-c", command] if isinstance(command, str) else list(command)
    shown = command if isinstance(command, str) else shlex.join(command)
    begun = time.monotonic()
    process = spawn(
        namespace,
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        if heard is None or stdin is not None:
            out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=timeout)
        else:
            out, err = _listen(process, timeout, heard)
    except subprocess.TimeoutExpired as error:
        kill_group(process)
        raise CommandError(f"{namespace.name}: `{shown}` did not end within {timeout:g} s and was killed") from error
    except BaseException:
        kill_group(process)
        raise
    seconds = time.monotonic() - begun
    return Result(namespace.name, shown, process.returncode, _text(out), _text(err), seconds)


def _listen(process: subprocess.Popen[bytes], timeout: float, heard: Callable[[str], None]) -> tuple[bytes, bytes]:
    """As `communicate` without input, but what comes is told meanwhile, a few times a second. Raises TimeoutExpired."""
    deadline, told, telling = time.monotonic() + timeout, 0, time.monotonic() + LISTEN
    assert process.stdout is not None and process.stderr is not None
    texts = {process.stdout: bytearray(), process.stderr: bytearray()}
    out = texts[process.stdout]
    with selectors.DefaultSelector() as selector:
        for stream in texts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout)
            if now >= telling:
                end = out.rfind(b"\n") + 1
                if end > told:
                    heard(_text(bytes(out[told:end])))
                    told = end
                telling = now + LISTEN
            for key, _ in selector.select(min(deadline, telling) - now):
                data = os.read(key.fd, 1 << 16)
                texts[key.fileobj] += data  # type: ignore[index]
                if not data:
                    selector.unregister(key.fileobj)
    process.wait(max(0.0, deadline - time.monotonic()))
    process.stdout.close()
    process.stderr.close()
    return bytes(out), bytes(texts[process.stderr])


def must(result: Result) -> str:
    """The standard output of a command that has to succeed. Raises CommandError with both its streams otherwise."""
    if result.status != 0:
        said = (result.stderr or result.stdout).strip()
        raise CommandError(f"{result.where}: `{result.command}` ended with status {result.status}: {said}")
    return result.stdout


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that `spawn` started, and what it started, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
