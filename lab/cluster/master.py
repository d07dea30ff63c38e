"""What runs on the master beside etcd: the apiserver, the controllers and the scheduler; and the lab's own way to the apiserver.

The lab's processes that live in no node's namespace reach it by a unix socket in the sandbox's /run, which no machine of the lab sees.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from lab.cluster.facade import Cluster
from lab.fabric import daemon, unixsocket
from lab.master import etcd
from lab.master.client import ApiClient, ApiError
from lab.plan.files import APISERVER_PORT

SOCKET = Path("/run/lab/apiserver.sock")
READY_TIMEOUT = 20.0


class Master:
    """The control plane of a cluster, as its operator."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def url(self) -> str:
        """Where the daemons of all nodes find the apiserver."""
        return f"http://{self.cluster.topology.master.address.ip}:{APISERVER_PORT}"

    def start_apiserver(self) -> None:
        """Start the apiserver and return at once; it waits for etcd by itself."""
        listening = _listen(SOCKET)
        argv = self._apiserver_flags(listening.fileno())

        def apiserver_main() -> int:
            from lab.master.apiserver.daemon import main as apiserver

            return apiserver(argv)

        self._start("kube-apiserver", apiserver_main, keep=(listening.fileno(),))
        listening.close()

    def await_apiserver(self) -> None:
        """Wait until the apiserver answers. Raises BootError."""
        client = ApiClient(f"unix:{SOCKET}", timeout=1.0)
        running = self.cluster.daemon(self.cluster.master.name, "kube-apiserver")
        running.wait_until(lambda: _answers(client), READY_TIMEOUT, "answer")
        self.cluster.api = ApiClient(f"unix:{SOCKET}", timeout=10.0)

    def restart_apiserver(self) -> None:
        """Start the apiserver again and wait until it answers."""
        self.start_apiserver()
        self.await_apiserver()

    def start_controllers(self) -> None:
        """Start the controllers and the scheduler, which work as soon as the apiserver answers them."""
        self.start_controller_manager()
        self.start_scheduler()

    def start_controller_manager(self) -> None:
        """Start the controllers and return at once."""
        argv = ["--master", self.url, "--cluster-cidr", str(self.cluster.topology.networks.pod)]

        def controller_manager() -> int:
            from lab.master.controllers.daemon import main as controllers

            return controllers(argv)

        self._start("kube-controller-manager", controller_manager)

    def start_scheduler(self) -> None:
        """Start the scheduler and return at once."""
        argv = ["--master", self.url]

        def kube_scheduler() -> int:
            from lab.master.scheduler.daemon import main as scheduler

            return scheduler(argv)

        self._start("kube-scheduler", kube_scheduler)

    def _apiserver_flags(self, descriptor: int) -> list[str]:
        topology = self.cluster.topology
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

    def _start(self, name: str, main: Callable[[], int], keep: tuple[int, ...] = ()) -> None:
        host = self.cluster.master
        self.cluster.daemons.setdefault(host.name, {})[name] = daemon.fork(host.namespace, name, main, keep)


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`, in place of an older one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return unixsocket.listen(path, socket.SOCK_STREAM, 128)


def _answers(client: ApiClient) -> bool:
    """Whether the apiserver is complete: its own service is the last thing that it makes at its start."""
    try:
        return client.find("services", "kubernetes", "default") is not None
    except ApiError:
        return False
