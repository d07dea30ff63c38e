"""The two interfaces between the daemon and a backend, cut as flannel cuts them, and the table of backends."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

from lab.errors import UsageError
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent

Acquire = Callable[[Config, Attrs], Lease]
"""Gets the node its subnet and publishes the backend's attributes; SubnetManager.acquire."""

Log = Callable[[str], None]


class Network(Protocol):
    """A node's part of the running network. Its devices exist and have their addresses before the constructor returns.

    lease   the node's own
    mtu     what is left for pods, bytes
    """

    lease: Lease
    mtu: int

    def handle(self, events: Sequence[LeaseEvent]) -> None:
        """Other nodes' subnets came, changed or went; the node's own is never among them. Called from the watching thread."""

    def run(self) -> None:
        """Do the backend's work until `stop`. Called once, in a thread of its own. Whatever it raises ends the daemon."""

    def stop(self) -> None:
        """Make `run` return. May be called from any thread, also before `run`."""

    def close(self) -> None:
        """Let go of descriptors, after `run` has returned. What flannel leaves in the kernel stays there."""

    def stats(self) -> str:
        """One line of counters for people."""


class Backend(Protocol):
    """Joins this node to a network."""

    def register_network(self, config: Config) -> Network:
        """Acquire the subnet and set up the devices. Raises UsageError for wrong options, MachineError, and what acquiring raises."""


Maker = Callable[..., Backend]
"""Takes External, Acquire and Log."""

_BACKENDS = {"udp": "lab.flannel.backends.udp:UdpBackend", "alloc": "lab.flannel.backends.alloc:AllocBackend"}
"""Backend.Type and the class that does it; imported when it is asked for."""


def known() -> tuple[str, ...]:
    """The backend types there are, sorted."""
    return tuple(sorted(_BACKENDS))


def maker(kind: str) -> Maker:
    """The class of a backend, by the Type in the network config. Raises UsageError for a type that the lab does not have."""
    if kind not in _BACKENDS:
        raise UsageError(
            f"unknown backend type: {kind}; set Backend.Type in the network config to one of {', '.join(known())}"
        )
    module, name = _BACKENDS[kind].split(":")
    made: Maker = getattr(importlib.import_module(module), name)
    return made


def make(kind: str, external: External, acquire: Acquire, log: Log, datapath: str) -> Backend:
    """A backend by its type. Raises UsageError as `maker` does.

    datapath   how the udp backend moves packets, see lab.flannel.backends.udp; the other backends leave that to the kernel
    """
    options = {"datapath": datapath} if kind == "udp" else {}
    return maker(kind)(external, acquire, log, **options)
