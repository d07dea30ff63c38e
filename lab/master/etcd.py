"""The real etcd, as the one member of its cluster, on the master node."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.fabric import daemon
from lab.fabric.namespace import Namespace

CLIENT_PORT = 2379


def argv(name: str, address: IPv4Address, data: str) -> list[str]:
    """etcd's command line (3.3 and later).

    It listens on every address: flanneld on the other nodes asks at the node's own, etcdctl looks at loopback, and at the lab's boot etcd
    starts before the machine has its wire. There are no peers to tell about that address. A member that is alone elects itself: the election
    timeout is all that a start waits for, so it is 50 ms here.
    """
    clients = f"http://{address}:{CLIENT_PORT}"
    peer = "http://127.0.0.1:2380"
    return [
        "etcd",
        "--name", name,
        "--data-dir", data,
        "--listen-client-urls", f"http://0.0.0.0:{CLIENT_PORT}",
        "--advertise-client-urls", clients,
        "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"{name}={peer}",
        "--heartbeat-interval", "10",
        "--election-timeout", "50",
    ]  # fmt: skip


def start(namespace: Namespace, address: IPv4Address) -> daemon.Daemon:
    """Start etcd with its data on the machine's own /run, which is memory. Raises CommandError when there is no etcd."""
    # etcd refuses to start on architectures it was not tested on unless told so; on the others the variable changes nothing.
    # Its live data are a few megabytes: Go's collector would run at every few hundred requests, for a tenth of etcd's computing.
    env = {"ETCD_UNSUPPORTED_ARCH": _go_architecture(), "GOGC": "400"}
    return daemon.execute(namespace, "etcd", argv(namespace.name, address, "/run/etcd"), env)


def _go_architecture() -> str:
    import platform

    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(platform.machine(), platform.machine())
