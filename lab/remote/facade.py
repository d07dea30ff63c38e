"""A cluster elsewhere in the hands of a step: the names of lab.cluster.facade, as far as an API and commands in pods can give them.

What only a lab has (flannel, captures, daemons, machines outside the cluster) raises NotHere, which ends the step as left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from lab.errors import BootError, NotHere
from lab.fabric.process import Result
from lab.model import fromapi
from lab.model.aliases import NONE, Aliases
from lab.model.names import pick
from lab.model.objects import Endpoints, Pod, Service
from lab.remote import manifests, waiting
from lab.remote.api import Api, Json
from lab.remote.connect import Refused
from lab.remote.hosts import NodeHost, Operator, PodHost

Starter = Callable[[Json], None]
"""Creates a pod and waits until it runs."""

LAB_ONLY = {
    "topology": ("it needs to know how the network is built, as only a lab does", "需要知道网络是怎样搭建的，只有实验环境知道"),
    "capture": ("it needs to capture packets on the cluster's machines", "需要在集群的机器上抓包"),
    "apply": ("it changes the cluster by the lab's own means", "它用实验环境自己的手段改变集群"),
    "daemon": ("it needs the cluster's daemons", "需要集群的守护进程"),
    "fault": ("it breaks links or stops machines", "要弄坏链路，或让机器停住"),
}
_DAEMONS = (
    "daemons",
    "cloud",
    "start_flanneld",
    "stop_flanneld",
    "start_etcd",
    "stop_etcd",
    "start_kube_proxy",
    "stop_kube_proxy",
    "units",
    "add_node",
    "remove_node",
    "bridges",
    "network",
)
_CHANGES = ("delete_pod", "delete_service")
_FAULTS = ("clear_faults", "faults")

MOST_NODES = 5
"""Of a large cluster the first few nodes, by name, stand for all: a step that goes through them is to end."""

_OS = "kubernetes.io/os"

OUTSIDE = ("it needs a machine outside the cluster that reaches its nodes", "需要集群外一台能到达各节点的机器")


class RemoteCluster:
    """The objects of one run in one namespace.

    run       marks what belongs to it
    nodes_of  the names that the scenario's topology gives its nodes, in order: they stand for the cluster's, in its order
    starter   for the privileged pods of nodes; None: no access to nodes
    """

    remote = True

    def __init__(self, api: Api, run: str, nodes_of: Iterable[str], images: Mapping[str, str], starter: Starter | None) -> None:
        self.api = api
        self.run_id = run
        self.aliases: Aliases = NONE
        self._topology_nodes = list(nodes_of)
        self._images = images
        self._starter = starter
        self._node_pods: dict[str, str] = {}

    def __getattr__(self, name: str) -> object:
        known = "daemon" if name in _DAEMONS else "apply" if name in _CHANGES else "fault" if name in _FAULTS else name
        if known in LAB_ONLY:
            raise NotHere(*LAB_ONLY[known])
        raise AttributeError(f"a cluster elsewhere has no {name!r}")

    def call(self, pairs: Iterable[tuple[str, str]]) -> None:
        """From now on, the scenario's words and the cluster's are these."""
        self.aliases = self.api.aliases = Aliases(pairs)

    @property
    def own_pods(self) -> list[Json]:
        """The scenario's pods that are not on their way out, in the cluster's words; not those that serve the run itself."""
        items = self.api.raw_list("pods", labels=f"{manifests.RUN}={self.run_id}")["items"]
        ours = {manifests.CALLER, *self._node_pods.values()}
        return [one for one in items if one["metadata"]["name"] not in ours and not one["metadata"].get("deletionTimestamp")]

    @property
    def pods(self) -> list[PodHost]:
        """The scenario's pods."""
        return [_pod_host(self.api, one) for one in self.own_pods]

    def pod(self, name: str) -> PodHost:
        """A pod by its name, the scenario's or the cluster's."""
        real = self.aliases.real(name)
        return pick("pod", {one.name: one for one in self.pods}, real)

    @property
    def nodes(self) -> list[NodeHost]:
        """The ready nodes with Linux, MOST_NODES at most; NotHere where they may not be listed."""
        return [self._node_host(name) for name in self.node_names()]

    def node_names(self) -> list[str]:
        """The cluster's names of these nodes, sorted."""
        return [name for name, _ in self._listed_nodes()]

    def node_addresses(self) -> dict[str, str]:
        """Each node's internal address, by its name; NotHere where nodes may not be listed."""
        return {name: address for name, address in self._listed_nodes() if address}

    def _listed_nodes(self) -> list[tuple[str, str]]:
        try:
            items = self.api.raw_list("nodes")["items"]
        except Refused as error:
            raise NotHere(f"it needs the list of nodes: {error}", f"需要节点列表：{error}") from error
        fit = [one for one in items if waiting.is_ready(one) and (one["metadata"].get("labels") or {}).get(_OS, "linux") == "linux"]
        return sorted((one["metadata"]["name"], _internal(one)) for one in fit)[:MOST_NODES]

    def node(self, name: str) -> NodeHost:
        """A node by the name that the scenario's topology gives it, or by the cluster's."""
        if self._starter is None:
            return self._node_host(self.aliases.real(name))
        known = self.node_names()
        real = self.aliases.real(name)
        if real in known:
            return self._node_host(real)
        if name in self._topology_nodes:
            return self._node_host(known[self._topology_nodes.index(name) % len(known)])
        return self._node_host(pick("node", {one: one for one in known}, real))

    def _node_host(self, name: str) -> NodeHost:
        return NodeHost(self.api, name, None if self._starter is None else self._enter)

    def _enter(self, node: str) -> tuple[str, str]:
        """The privileged pod of a node, made when it is first needed."""
        assert self._starter is not None
        if node not in self._node_pods:
            name = f"lab-node-{len(self._node_pods)}"
            self._node_pods[node] = name
            try:
                self._starter(manifests.node_pod(name, node, self.run_id, self._images))
            except (Refused, BootError) as error:
                del self._node_pods[node]
                raise NotHere(f"no privileged pod came up on {node}: {error}", f"{node} 上起不了特权 Pod：{error}") from error
        return self._node_pods[node], "tools"

    @property
    def clients(self) -> list[PodHost]:
        """The machines outside the cluster: none is known."""
        return []

    def client(self, name: str = "client") -> PodHost:
        """A machine outside the cluster."""
        raise NotHere(*OUTSIDE)

    def host(self, name: str) -> PodHost | NodeHost:
        """A pod or node by its name."""
        return self.node(name) if name in self._topology_nodes else self.pod(name)

    @property
    def operator(self) -> Operator:
        """Where kubectl is typed."""
        return Operator(self.api)

    @property
    def caller(self) -> PodHost:
        """A pod of the run that calls services."""
        return PodHost(self.api, manifests.CALLER, "tools")

    @property
    def pod_objects(self) -> dict[str, Pod]:
        """The scenario's pods by name, in its words."""
        return {one["metadata"]["name"]: fromapi.pod_of(one) for one in self.aliases.written_data(self.own_pods)}

    def pod_object(self, name: str) -> Pod:
        """The Kubernetes object of a pod."""
        return pick("pod", self.pod_objects, name)

    @property
    def services(self) -> tuple[Service, ...]:
        """The services of the run's namespace."""
        return tuple(fromapi.service_of(one) for one in self.api.list("services")["items"])

    def service(self, name: str, namespace: str = "default") -> Service:
        """A service by its name."""
        return pick("service", {one["metadata"]["name"]: fromapi.service_of(one) for one in self.api.list("services", namespace)["items"]}, name)

    @property
    def all_endpoints(self) -> tuple[Endpoints, ...]:
        """The endpoints of the services of the run's namespace."""
        return tuple(fromapi.endpoints_of(one) for one in self.api.list("endpoints")["items"])

    def endpoints(self, name: str, namespace: str = "default") -> Endpoints:
        """The endpoints of a service by its name."""
        return pick("endpoints", {one["metadata"]["name"]: fromapi.endpoints_of(one) for one in self.api.list("endpoints", namespace)["items"]}, name)

    def evidence(self, name: str) -> Iterator[Result]:
        """What the cluster says of a pod, for the report of a failed step."""
        if name not in {one["metadata"]["name"] for one in self.own_pods}:
            return
        status = json.dumps(self.api.raw_get("pods", name).get("status"), indent=2)
        yield Result(name, f"kubectl get pod {name} -o jsonpath='{{.status}}'", 0, f"{status}\n", "", 0.0)
        events = self.api.raw_list("events", fields=f"involvedObject.name={name}")["items"]
        told = "".join(f"{one.get('type')} {one.get('reason')}: {one.get('message')}\n" for one in events)
        yield Result(name, f"kubectl get events --field-selector involvedObject.name={name}", 0, told, "", 0.0)


def _internal(node: Json) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(one.get("address")) for one in addresses if one.get("type") == "InternalIP" and "." in str(one.get("address"))), "")


def _pod_host(api: Api, item: Json) -> PodHost:
    return PodHost(api, item["metadata"]["name"], item["spec"]["containers"][0]["name"])
