"""A node's daemons as its operator handles them: by name, one at a time, as `systemctl` does on a real machine.

Each start also reads the machine's own file of extra flags, see `command_line`.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lab.errors import LabError, UsageError
from lab.fabric.mininet import Host

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster
    from lab.cluster.master import Master
    from lab.cluster.nodes import Nodes

T = TypeVar("T")

FLAGS = "/run/lab/flags"
"""The folder, on each machine, of the files with extra flags: one for a daemon, named after it."""

ACTIONS = ("status", "start", "stop", "restart")


def command_line(host: Host, daemon: str, own: list[str]) -> list[str]:
    """A daemon's flags: the lab's own, and the words of /run/lab/flags/DAEMON on its machine in place of those of the same name.

    own   words as the lab's command lines have them, `--flag value` or `--switch`. Raises UsageError for a file that is no list of words.
    """
    path = f"{FLAGS}/{daemon}"
    try:
        extra = shlex.split(host.namespace.read_text(path), comments=True)
    except FileNotFoundError:
        return own
    except (OSError, ValueError) as error:
        raise UsageError(f"{host.name}:{path}: cannot read the flags of {daemon}: {error}") from error
    return merged(own, extra)


def merged(own: list[str], extra: list[str]) -> list[str]:
    """One command line of two, in which the second wins. Pure.

    Winning by coming last would not do: of a flag that may be repeated, such as flanneld's --iface, the first one counts.
    """
    replaced = {word.partition("=")[0] for word in extra if word.startswith("--")}
    kept: list[str] = []
    dropping = False
    for word in own:
        dropping = word.partition("=")[0] in replaced if word.startswith("--") else dropping
        if not dropping:
            kept.append(word)
    return kept + extra


def ready(arguments: list[str], parse: Callable[[list[str]], T], run: Callable[[T], int], main: Callable[[list[str]], int]) -> Callable[[], int]:
    """What a fork that is to be a daemon has to call: `run`, with the flags read here and now.

    Reading them costs a process a megabyte, of pages that it shares no longer with the one it was forked from. Of flags that are wrong, or ask
    for help, the daemon's `main` makes what it would make of them anywhere: words in its own log, and an exit status.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            flags = parse(arguments)
    except (LabError, SystemExit):
        return partial(main, arguments)
    return partial(run, flags)


class Units:
    """Starts and stops the daemons of all machines."""

    def __init__(self, cluster: Cluster, nodes: Nodes, master: Master) -> None:
        self._cluster = cluster
        agents = nodes.agents
        self._starts: dict[str, Callable[[str], None]] = {
            "etcd": lambda name: nodes.start_etcd(),
            "flanneld": nodes.start_flanneld,
            "runtime": agents.start_runtime,
            "kubelet": agents.start_kubelet,
            "kube-proxy": agents.start_kube_proxy,
            "kube-apiserver": lambda name: master.restart_apiserver(),
            "kube-controller-manager": lambda name: master.start_controller_manager(),
            "kube-scheduler": lambda name: master.start_scheduler(),
        }

    def act(self, machine: str, daemon: str, action: str) -> None:
        """Start, stop or restart a daemon; returns when that is done. Raises UsageError or BootError."""
        running = self._cluster.daemon(machine, daemon)
        if action not in ACTIONS:
            raise UsageError(f"a daemon cannot be told to {action!r}; there are {', '.join(ACTIONS)}")
        if action in ("stop", "restart"):
            running.stop()
        if action in ("start", "restart"):
            self._start(machine, daemon)

    def _start(self, machine: str, daemon: str) -> None:
        running = self._cluster.daemon(machine, daemon)
        if running.ended() is None:
            raise UsageError(f"{machine}: {daemon} runs already, as process {running.pid}; restart it, or stop it first")
        if daemon not in self._starts:
            raise UsageError(f"{machine}: {daemon} cannot be started again; a new lab has a new one")
        self._starts[daemon](machine)

    def status(self, machine: str, daemon: str) -> dict[str, object]:
        """What a daemon does: its process, its exit status when it has ended, the end of its log."""
        running = self._cluster.daemon(machine, daemon)
        return {"name": daemon, "pid": running.pid, "ended": running.ended(), "log": running.last_words(), "flags": f"{FLAGS}/{daemon}"}
