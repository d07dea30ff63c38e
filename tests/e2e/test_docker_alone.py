"""A cluster without flannel that is up: what the scenario docker-overlap does not show."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from lab.errors import UsageError
from lab.model import catalog, load
from lab.model.manifests import Objects
from lab.model.objects import Container, Pod
from lab.model.topology import Node
from tests.sandboxed import sandboxed

pytestmark = pytest.mark.e2e


def _pod(name: str, node: str) -> Pod:
    return Pod(name, "default", (Container("c", "pause"),), node_name=node)


def test_a_node_that_joins_has_the_same_addresses_again() -> None:
    def body() -> None:
        from lab.cluster import wanted
        from lab.cluster.boot import boot

        cluster = boot(wanted.wanted(load.read_topology(catalog.find_topology("docker-alone"))))
        assert "flanneld" not in cluster.daemons["zenlin"]
        late = Node(name="late", address=IPv4Interface("10.229.60.5/23"), gateway=IPv4Address("10.229.60.1"))
        cluster.add_node(late)
        cluster.apply(Objects(pods=(_pod("one", "zenlinnode1"), _pod("other", "late"))))
        assert {name: str(cluster.pod_object(name).pod_ip) for name in ("one", "other")} == {"one": "172.17.0.2", "other": "172.17.0.2"}
        rule = "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
        assert cluster.node("late").run("iptables -t nat -S POSTROUTING").stdout.count(rule) == 1
        assert "ttl=62" in cluster.pod("other").run("ping -c 1 -W 2 192.168.88.10").stdout
        with pytest.raises(UsageError, match="podNetwork: docker"):
            cluster.start_flanneld("late")
        cluster.delete_pod("other")
        cluster.apply(Objects(pods=(_pod("again", "late"),)))
        cluster.stop()

    sandboxed(body)
