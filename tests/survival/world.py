"""What the survival tests tell their stories in: a small cluster, with traffic that runs all the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from lab.cluster.wanted import wanted
from lab.master.client import ApiError
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from tests.sandboxed import together
from tests.survival.traffic import SILENT, Flow
from tests.waiting import until

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

Place = TypeVar("Place")
"""A world: the lab, and what a test module has around it."""

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: near}
spec: {nodeName: zenlinnode1, containers: [{name: echo, image: echo, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, labels: {app: far}}
spec: {nodeName: zenlinnode2, containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec: {nodeName: zenlinnode1, containers: [{name: u, image: ubuntu}]}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {clusterIP: 10.96.1.1, selector: {app: far}, ports: [{port: 80}]}
"""
NODE, FAR_NODE = "zenlinnode1", "zenlinnode2"
"""Where near and caller are, and where far is."""
MASTER = "zenlin"


ORDER = ("etcd", "kube-apiserver", "flanneld", "runtime", "kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler")
"""In which daemons are started that have all ended."""


def booted() -> Cluster:
    """The topology zenlin with these pods and their service; to be called in a sandbox."""
    from lab.cluster.boot import boot

    return boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(MANIFEST, "test.yaml")))


class World:
    """The lab with three flows: between two nodes (flanneld's road), to a service (kube-proxy's rules), within a node (neither's)."""

    def __init__(self, place: Path) -> None:
        self.lab = booted()
        caller = self.lab.pod("caller")
        self.near = Flow("near", caller, str(self.lab.pod_object("near").pod_ip), 8080, place)
        self.far = Flow("far", caller, str(self.lab.pod_object("far").pod_ip), 80, place)
        self.service = Flow("service", caller, "10.96.1.1", 80, place)
        self.flows = (self.near, self.far, self.service)
        self.all_work(0.0)

    def all_work(self, since: float) -> None:
        for flow in self.flows:
            flow.await_health(since)

    def kill(self, machine: str, daemon: str) -> float:
        """SIGKILL; the moment after it."""
        self.lab.daemon(machine, daemon).kill()
        return time.monotonic()

    def start(self, machine: str, daemon: str) -> float:
        """Start it as its operator would; the moment at which it is back."""
        self.lab.units.act(machine, daemon, "start")
        return time.monotonic()

    def untouched(self, since: float, *flows: Flow) -> None:
        """Flows that have not been broken since then, in many connections."""
        for flow in flows:
            until(lambda flow=flow: len(flow.attempts(since)) >= 20, f"connections of {flow.name}")  # type: ignore[misc]
            assert not flow.fails(since, SILENT), f"{flow.name} broke"

    def revive(self) -> None:
        """Start what has ended, after a story that failed: the next one is to be told in a whole lab."""
        dead = [(where, name) for where, daemons in self.lab.daemons.items() for name, one in daemons.items() if one.ended() is not None]
        for where, name in sorted(dead, key=lambda one: ORDER.index(one[1])):
            self.start(where, name)

    def create(self, name: str, **spec: Any) -> None:
        container = {"name": "c", "image": "ubuntu"}
        self.lab.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}})

    def phase(self, name: str) -> str:
        return str(self.lab.api.get("pods", name, "default")["status"].get("phase"))

    def restarts(self, name: str) -> int:
        return int(self.lab.api.get("pods", name, "default")["status"]["containerStatuses"][0]["restartCount"])

    def runs_a_new_pod(self, name: str) -> None:
        """A pod that is made now is given to NODE and comes to run there."""
        self.create(name, nodeName=NODE)
        until(lambda: self.phase(name) == "Running", f"the new pod {name}")
        self.delete(name)

    def delete(self, name: str) -> None:
        self.lab.api.delete("pods", name, "default", grace=0)

    def write(self, name: str) -> None:
        self.lab.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {}})


def writable(world: World, name: str) -> bool:
    """Whether a write to etcd comes about; the name need not be new."""
    try:
        world.write(name)
    except ApiError as error:
        return error.code == 409
    return True


def stories(name: str, boot: Callable[[Path], Place], checks: Sequence[Callable[[Place], None]]) -> Any:
    """A module's fixture `results`: the checks are told in one sandbox, where `boot` makes their world once; see tests.sandboxed.together.

    name   of the folder for what the world writes, which `boot` is given
    """

    @pytest.fixture(name="results", scope="module")
    def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        place = tmp_path_factory.mktemp(name)
        return together(place / "results.json", lambda: boot(place), [_timed(check) for check in checks])

    return results


def _timed(check: Callable[[Place], None]) -> Callable[[Place], None]:
    """The check, and a line with how long each flow was broken in it."""

    def timed(world: Place) -> None:
        begun = time.monotonic()
        try:
            check(world)
        except Exception:
            getattr(world, "revive", lambda: None)()
            raise
        flows = getattr(world, "flows", ())
        broken = {flow.name: f"{flow.outage(begun):.2f} s" for flow in flows if flow.outage(begun)}
        print(f"{check.__name__.replace('_', ' ')}: connections failed for {broken or 'no moment'}", flush=True)

    timed.__name__ = check.__name__
    return timed
