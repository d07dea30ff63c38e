"""What the container runtime knows of its pods, as data: what it is asked for and what it answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.workloads.echo import Port


@dataclass(frozen=True)
class Sandbox:
    """A pod without its containers: its namespaces and its wire.

    bridge    the node's bridge that its wire hangs on; empty for a pod in the node's own network
    gateway   the bridge's address, `address` that of the pod with its prefix length
    gso       largest super-packet of its card, bytes; 0: the kernel's own limit
    routes    networks that get a route of their own by way of the gateway, as the flannel plugin adds one
    files     (path, text), as only this pod sees them
    neighbours   whether pod and node are told of each other's MACs, so that neither has to ask
    """

    uid: str
    namespace: str
    name: str
    hostname: str
    bridge: str = ""
    address: str = ""
    gateway: str = ""
    mtu: int = 0
    gso: int = 0
    routes: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    neighbours: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a message."""
        return dict(vars(self))

    @classmethod
    def of(cls, item: dict[str, Any]) -> Sandbox:
        """From a message. Raises TypeError for wrong fields."""
        pairs = {"routes": tuple(item.get("routes", ())), "files": _pairs(item.get("files", ()))}
        return cls(**{**item, **pairs})

    @property
    def key(self) -> str:
        """Its name among all pods of the node: two namespaces may have pods of one name."""
        return f"{self.namespace}_{self.name}"


@dataclass(frozen=True)
class Program:
    """What a container runs.

    argv      the command line; empty with `echo`, which is the lab's own server on these ports
    files     (path, text), written in the pod before the start; `private` directories are covered by empty ones of the pod's own
    attempt   how often this container ran before
    mounts    (path on the node, path in the pod, whether it can only be read), attached before the start
    """

    container: str
    attempt: int
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    directory: str = ""
    files: tuple[tuple[str, str], ...] = ()
    private: tuple[str, ...] = ()
    echo: tuple[Port, ...] = ()
    stdin: bool = False
    tty: bool = False
    mounts: tuple[tuple[str, str, bool], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a message."""
        return dict(vars(self))

    @classmethod
    def of(cls, item: dict[str, Any]) -> Program:
        """From a message. Raises TypeError for wrong fields."""
        lists = {name: _pairs(item.get(name, ())) for name in ("env", "files", "echo", "mounts")}
        plain = {name: tuple(item.get(name, ())) for name in ("argv", "private")}
        return cls(**{**item, **lists, **plain})


@dataclass(frozen=True)
class Run:
    """One life of a container. `finished` 0 while it lives; times in seconds since the epoch; `status` -N when signal N ended it."""

    attempt: int
    started: float
    pid: int = 0
    finished: float = 0.0
    status: int = 0
    trouble: str = ""

    @property
    def id(self) -> str:
        """What stands for a container's ID: there is none, so the process's."""
        return f"lab://{self.pid}-{self.attempt}"


@dataclass(frozen=True)
class PodRecord:
    """A pod as the runtime has it: every container's lives, newest last, two at most.

    stopped   its namespaces are gone
    version   grows with every change, so that an older record is known as such
    """

    sandbox: Sandbox
    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)
    stopped: bool = False
    version: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a message."""
        runs = {name: [dict(vars(one)) for one in lives] for name, lives in self.runs.items()}
        return {"sandbox": self.sandbox.as_json(), "runs": runs, "stopped": self.stopped, "version": self.version}

    def running(self) -> list[str]:
        """The containers that live."""
        return [name for name, runs in self.runs.items() if runs and not runs[-1].finished]

    @classmethod
    def of(cls, item: dict[str, Any]) -> PodRecord:
        """From a message."""
        runs = {name: tuple(Run(**one) for one in lives) for name, lives in item["runs"].items()}
        return cls(Sandbox.of(item["sandbox"]), runs, item["stopped"], item["version"])


def _pairs(items: Any) -> tuple[Any, ...]:
    return tuple(tuple(one) for one in items)
