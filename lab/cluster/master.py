"""What runs on the master beside etcd: the apiserver, the controllers and the scheduler; and the lab's own way to the apiserver."""

from __future__ import annotations

from collections.abc import Callable

from lab.cluster import headstart
from lab.cluster.facade import Cluster
from lab.fabric import daemon
from lab.master.client import ApiClient, ApiError
from lab.plan.files import APISERVER_PORT


class Master:
    """The control plane of a cluster, as its operator. etcd and the apiserver run already."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = cluster.topology.master.name

    @property
    def url(self) -> str:
        """Where the daemons of all nodes find the apiserver."""
        return f"http://{self.cluster.topology.master.address.ip}:{APISERVER_PORT}"

    def await_apiserver(self) -> None:
        """Wait until the apiserver answers. Raises BootError."""
        client = ApiClient(f"unix:{headstart.SOCKET}", timeout=1.0)
        running = self.cluster.daemon(self.name, "kube-apiserver")
        running.wait_until(lambda: _answers(client), "answer")
        self.cluster.api = ApiClient(f"unix:{headstart.SOCKET}", timeout=10.0)

    def restart_apiserver(self) -> None:
        """Start the apiserver again and wait until it answers."""
        self.cluster.daemons[self.name]["kube-apiserver"] = headstart.start_apiserver(self.cluster.master.namespace, self.cluster.topology)
        self.await_apiserver()

    def start_controllers(self) -> None:
        """Start the controllers and the scheduler, which work as soon as the apiserver answers them."""
        self.start_controller_manager()
        self.start_scheduler()

    def start_controller_manager(self) -> None:
        """Start the controllers and return at once."""
        from lab.master.controllers.daemon import main

        argv = ["--master", self.url, "--cluster-cidr", str(self.cluster.topology.networks.pod)]
        self._start("kube-controller-manager", lambda: main(argv))

    def start_scheduler(self) -> None:
        """Start the scheduler and return at once."""
        from lab.master.scheduler.daemon import main

        argv = ["--master", self.url]
        self._start("kube-scheduler", lambda: main(argv))

    def _start(self, name: str, main: Callable[[], int]) -> None:
        self.cluster.daemons[self.name][name] = daemon.fork(self.cluster.master.namespace, name, main)


def _answers(client: ApiClient) -> bool:
    """Whether the apiserver is complete: the back ends of its own service are the last thing that it makes at its start."""
    try:
        return client.find("endpointslices", "kubernetes", "default") is not None
    except ApiError:
        return False
