"""flanneld's subnet manager of `--kube-subnet-mgr`: subnets and leases are Node objects at the apiserver. What they mean is in lab.flannel.kube."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lab.errors import BootError, LabError, UsageError
from lab.flannel import config, kube
from lab.flannel.config import Config
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.registry import Stop
from lab.master.client import ApiClient, ApiError, Object
from lab.master.informer import Informer

Log = Callable[[str], None]

SYNC_TIMEOUT = 600.0
"""Seconds that flannel waits for the first list of nodes."""

_FAILED = "Failed to create SubnetManager"


class KubeSubnetManager:
    """See lab.flannel.manager.Manager.

    client   of the apiserver
    path     the network config, a file
    environ  NODE_NAME, or POD_NAME and POD_NAMESPACE
    log, warn  take flannel's lines

    Reads the file, finds out which node this is, and begins to follow the nodes; the daemon waits for `synced` before it acquires.
    Raises InputError for a wrong config, BootError for none, UsageError without a node name, and what the client raises.
    """

    def __init__(self, client: ApiClient, path: Path, environ: Mapping[str, str], log: Log, warn: Log) -> None:
        self._client = client
        self._log, self._warn = log, warn
        self._node = environ.get("NODE_NAME") or self._node_of_pod(*kube.pod_of(environ))
        self._config = _read(path)
        self._others = kube.OtherNodes(self._node)
        self._events: queue.SimpleQueue[tuple[LeaseEvent, ...] | None] = queue.SimpleQueue()
        self._subnet: object = None
        self._informer = Informer(client, "nodes", self._changed, log=warn)

    def __str__(self) -> str:
        return f"Kubernetes Subnet Manager - {self._node}"

    def start(self) -> None:
        """Begin to follow the nodes."""
        self._log("Starting kube subnet manager")
        self._informer.start()

    @property
    def synced(self) -> bool:
        """Whether the first list of nodes has come."""
        return self._informer.synced.is_set()

    def config(self) -> Config:
        """What the file said at the start: flannel does not look at it again."""
        return self._config

    def acquire(self, config: Config, attrs: Attrs) -> Lease:
        """The node's own podCIDR; publishes `attrs` as its annotations. Raises NodeTrouble, and what the client raises."""
        node = self._informer.get(self._node)
        if node is None:
            raise kube.NodeTrouble(f'node "{self._node}" not found; NODE_NAME has to be the name of a Node object at {self._client.server}')
        subnet = kube.subnet_of(node)
        published = kube.wanted(node, attrs)
        overwrite = kube.annotations_of(node).get(kube.OVERWRITE)
        if overwrite and kube.annotations_of(node).get(kube.PUBLIC_IP) != overwrite:
            self._log(f"Overriding public ip with '{overwrite}' from node annotation '{kube.OVERWRITE}'")
        if kube.missing(node, attrs):
            patch: Object = {"metadata": {"annotations": published}}
            self._client.patch("nodes", self._node, "", patch, "strategic", "status")
        self._subnet = subnet
        return kube.lease_of({"metadata": {"name": self._node, "annotations": published}, "spec": {"podCIDR": str(subnet)}})

    def renew(self, own: Lease) -> int:
        """Never asked for: the lease of a node lasts as long as the node."""
        return 0

    def watch(self, stop: Stop) -> Iterator[tuple[LeaseEvent, ...]]:
        """The other nodes there are now, as one batch, then every change, until `stop`. Outages are the informer's business."""
        with stop.closing(self):
            first: list[LeaseEvent] = []
            while not self._events.empty():
                first += self._events.get() or ()
            yield self._usable(tuple(first))
            while not stop.requested:
                events = self._usable(self._events.get() or ())
                if events:
                    yield events

    def close(self) -> None:
        """End `watch`, and the following of nodes."""
        self._informer.stop()
        self._events.put(None)

    def _changed(self, what: str, node: Object) -> None:
        """Called by the informer's thread."""
        try:
            events = self._others.follow(what, node)
        except kube.NodeTrouble as error:
            self._warn(f'Error turning node "{node["metadata"]["name"]}" to lease: {error}')
        else:
            if events:
                self._events.put(events)

    def _usable(self, events: tuple[LeaseEvent, ...]) -> tuple[LeaseEvent, ...]:
        """Without those of a node that claims our own subnet: the daemon would take them for its own lease's."""
        for event in events:
            if event.lease.subnet == self._subnet:
                self._warn(f"Ignoring a node at {event.lease.attrs.public_ip} that has this node's subnet {event.lease.subnet}")
        return tuple(event for event in events if event.lease.subnet != self._subnet)

    def _node_of_pod(self, namespace: str, name: str) -> str:
        try:
            pod = self._client.get("pods", name, namespace)
        except ApiError as error:
            raise BootError(f"{_FAILED}: error retrieving pod spec for '{namespace}/{name}': {error}") from error
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if not node:
            raise BootError(f"{_FAILED}: node name not present in pod spec '{namespace}/{name}'")
        return node


def connect(url: str, path: Path, log: Log, warn: Log, environ: Mapping[str, str] = os.environ) -> KubeSubnetManager:
    """The subnet manager for the apiserver at `url`, not yet started. Raises what KubeSubnetManager raises."""
    if not url:
        raise UsageError(f"{_FAILED}: no apiserver is named; give --kube-api-url, such as http://10.229.43.65:8080")
    return KubeSubnetManager(ApiClient(url, agent="flanneld"), path, environ, log, warn)


def _read(path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BootError(f"{_FAILED}: failed to read net conf: open {path}: {error.strerror}") from error
    try:
        return config.parse(text, str(path))
    except LabError as error:
        raise UsageError(f"{_FAILED}: error parsing subnet config: {error}") from error
