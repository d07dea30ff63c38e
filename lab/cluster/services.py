"""When a cluster's services have come to rest: endpoints that follow the pods, and rules on every node that follow both."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING

from lab.errors import BootError
from lab.fabric.namespace import Namespace
from lab.master import endpoints
from lab.master.client import Object
from lab.master.informer import digest, key_of
from lab.model import fromapi
from lab.model.objects import Endpoints

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

TIMEOUT = 15.0
METRICS_PORT = 10249

_PAUSE = 0.005


def settle(cluster: Cluster) -> None:
    """Wait until every service has the endpoints that its ready pods make, and every node's kube-proxy has written the rules for them.

    Nodes whose kube-proxy does not run are passed over. Raises BootError.
    """
    deadline = time.monotonic() + TIMEOUT
    while late := _late_endpoints(cluster):
        _pause(deadline, f"endpoints of {', '.join(late)} do not follow their pods")
    for host in cluster.nodes:
        running = cluster.daemons.get(host.name, {}).get("kube-proxy")
        while running is not None and running.ended() is None and not _has(host.namespace, _newest(cluster)):
            _pause(deadline, f"kube-proxy on {host.name} has not written the newest rules:\n{running.last_words()}")


def _late_endpoints(cluster: Cluster) -> list[str]:
    from lab.cluster.pods import is_ready

    pods = [fromapi.pod_of(item) for item in cluster.api.list("pods")["items"] if is_ready(item)]
    have = {(one.namespace, one.name): one for one in cluster.all_endpoints}
    late = []
    for service in cluster.services:
        there = have.get((service.namespace, service.name), Endpoints(service.name, service.namespace))
        if service.selector and _places(there) != _places(endpoints.endpoints_for(service, pods)):
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


def _pause(deadline: float, trouble: str) -> None:
    if time.monotonic() > deadline:
        raise BootError(f"{trouble}, after {TIMEOUT:g} s")
    time.sleep(_PAUSE)
