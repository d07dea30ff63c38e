"""The apiserver's head start: it begins before there is a lab around it.

Its libraries take as long to import as all of the lab's own, and for that it needs nothing but a place to be. So the master's namespaces
are made first of all and the apiserver is forked into them; while it imports on one core, the lab imports Mininet and pyroute2 and makes
machines and wires on another. It waits for etcd by itself.

This module imports none of those libraries: what the lab has not imported yet, the fork need not carry.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from lab.errors import BootError
from lab.fabric import daemon, unixsocket
from lab.fabric.namespace import Namespace
from lab.master import etcd
from lab.model.topology import Topology
from lab.plan.files import APISERVER_PORT

SOCKET = Path("/run/lab/apiserver.sock")
"""By which the lab's processes that live in no node's namespace reach the apiserver: in the sandbox's /run, which no machine of the lab sees."""


@dataclass(frozen=True)
class HeadStart:
    """What there is before the machines: the namespaces that the master will have, and the apiserver in them."""

    namespace: Namespace
    apiserver: daemon.Daemon


def begin(topology: Topology) -> HeadStart:
    """Make the master's namespaces, start the apiserver there and return at once. Raises BootError."""
    name = topology.master.name
    try:
        namespace = Namespace.create(name)
    except OSError as error:
        raise BootError(f"cannot make the namespaces of {name}: {error}") from error
    listening = _listen(SOCKET)
    argv = apiserver_flags(topology, listening.fileno())

    def main() -> int:
        from lab.master.apiserver.daemon import main as apiserver

        return apiserver(argv)

    running = daemon.fork(namespace, "kube-apiserver", main, keep=(listening.fileno(),))
    listening.close()
    return HeadStart(namespace, running)


def apiserver_flags(topology: Topology, descriptor: int) -> list[str]:
    """The apiserver's command line; `descriptor` is its listening unix socket. Pure."""
    flags = {
        "--etcd-servers": f"http://127.0.0.1:{etcd.CLIENT_PORT}",
        "--insecure-bind-address": "0.0.0.0",
        "--insecure-port": str(APISERVER_PORT),
        "--advertise-address": str(topology.master.address.ip),
        "--service-cluster-ip-range": str(topology.networks.service),
        "--kubernetes-version": topology.kubernetes,
        "--table-columns": "1.7" if topology.kubernetes.startswith("v1.7.") else "today",
        "--unix-socket-fd": str(descriptor),
    }
    return [word for pair in flags.items() for word in pair]


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`, in place of an older one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return unixsocket.listen(path, socket.SOCK_STREAM, 128)
