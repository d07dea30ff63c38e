"""When a cluster's services have come to rest: endpoints that follow the pods, and rules on every node that follow both."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING

from lab.cluster.readiness import is_ready
from lab.errors import BootError
from lab.fabric.namespace import Namespace
from lab.master import endpoints
from lab.master.client import Object
from lab.master.informer import digest, key_of
from lab.model import fromapi
from lab.model.objects import Endpoints, Pod

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

TIMEOUT = 60.0
METRICS_PORT = 10249

_PAUSES = (0.005, 0.1)
"""Seconds between two looks: first, and at most."""


def settle(cluster: Cluster) -> None:
    """Wait until every service has the endpoints that its ready pods make, and every node's kube-proxy has written the rules for them.

    Nodes whose kube-proxy does not run are passed over. Raises BootError.
    """
    pause = _Pause()
    while late := _late_endpoints(cluster):
        pause(f"endpoints of {', '.join(late)} do not follow their pods")
    running = {host.name: cluster.daemons.get(host.name, {}).get("kube-proxy") for host in cluster.nodes}
    waiting = [one for one in running.values() if one is not None]
    while waiting:
        newest = _newest(cluster)
        waiting = [one for one in waiting if one.ended() is None and not _has(one.namespace, newest)]
        if waiting:
            first = waiting[0]
            pause(f"kube-proxy on {first.namespace.name} has not written the newest rules:\n{first.last_words()}")


def _late_endpoints(cluster: Cluster) -> list[str]:
    services = [one for one in cluster.services if one.selector]
    if not services:
        return []
    pods = [fromapi.pod_of(item) for item in cluster.api.list("pods")["items"] if is_ready(item)]
    # By one label each, so that a service is not asked about every pod of a large cluster.
    labelled: dict[tuple[str, tuple[str, str]], list[Pod]] = {}
    for pod in pods:
        for label in pod.labels:
            labelled.setdefault((pod.namespace, label), []).append(pod)
    have = {(one.namespace, one.name): one for one in cluster.all_endpoints}
    late = []
    for service in services:
        there = have.get((service.namespace, service.name), Endpoints(service.name, service.namespace))
        candidates = labelled.get((service.namespace, service.selector[0]), [])
        if _places(there) != _places(endpoints.endpoints_for(service, candidates)):
            late.append(service.name)
    return late


def _places(found: Endpoints) -> set[tuple[str, int, str]]:
    return {(str(address.ip), port.port, port.protocol) for subset in found.subsets for address in subset.addresses for port in subset.ports}


def _newest(cluster: Cluster) -> dict[str, str]:
    return {plural: _digest(cluster.api.list(plural)) for plural in ("services", "endpoints")}


def _digest(answer: Object) -> str:
    return digest({key_of(item): item["metadata"]["resourceVersion"] for item in answer["items"]})


def _has(node: Namespace, newest: dict[str, str]) -> bool:
    """Whether the last sync of the node's kube-proxy was of these objects; it tells on the port of its metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", METRICS_PORT, timeout=2.0)
    try:
        with node.entered():
            connection.connect()
        connection.request("GET", "/synced")
        return bool(json.loads(connection.getresponse().read()) == newest)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Pause:
    """Waits between looks, longer each time: at a large cluster a look takes the time that what is waited for needs. Raises BootError."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + TIMEOUT
        self._seconds = _PAUSES[0]

    def __call__(self, trouble: str) -> None:
        if time.monotonic() > self._deadline:
            raise BootError(f"{trouble}, after {TIMEOUT:g} s")
        time.sleep(self._seconds)
        self._seconds = min(1.5 * self._seconds, _PAUSES[1])
