"""The head start of etcd and the apiserver: they begin before there is a lab around them.

etcd takes a tenth of a second to elect itself, and the apiserver's libraries take as long to import as all of the lab's own; for that they
need nothing but a place to be. So the master's namespaces are made first of all, and the two are started in them. Meanwhile the lab, on
another core, imports Mininet and pyroute2 and makes machines and wires. The apiserver waits for etcd by itself.

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
    """What there is before the machines: the namespaces that the master will have, and what runs in them."""

    namespace: Namespace
    etcd: daemon.Daemon
    apiserver: daemon.Daemon


def begin(topology: Topology) -> HeadStart:
    """Make the master's namespaces, start both there and return at once. Raises BootError, and CommandError when there is no etcd."""
    name = topology.master.name
    try:
        namespace = Namespace.create(name)
    except OSError as error:
        raise BootError(f"cannot make the namespaces of {name}: {error}") from error
    store = etcd.start(namespace, topology.master.address.ip)
    return HeadStart(namespace, store, start_apiserver(namespace, topology))


def start_apiserver(namespace: Namespace, topology: Topology) -> daemon.Daemon:
    """Start the apiserver on the master, whose namespaces these are, and return at once."""
    listening = _listen(SOCKET)
    argv = apiserver_flags(topology, listening.fileno())

    def main() -> int:
        from lab.master.apiserver.daemon import main as apiserver

        return apiserver(argv)

    running = daemon.fork(namespace, "kube-apiserver", main, keep=(listening.fileno(),))
    listening.close()
    return running


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
