"""kube-proxy's rules in the real kernel, through both variants of iptables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from lab.errors import CommandError
from lab.fabric import process
from lab.fabric.namespace import Namespace
from lab.kubeproxy import leftovers
from lab.kubeproxy.iptables import IptablesProxy
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.modes import ModeConfig
from lab.model.objects import EndpointPort
from tests.sandboxed import sandboxed
from tests.unit.test_kubeproxy_iptables import CONFIG, TWO, _endpoints, _service

pytestmark = pytest.mark.e2e

ARTICLE = """\
-A KUBE-SEP-RGXD32JDVTBAD2NU -s 10.244.1.53/32 -m comment --comment "default/nginx-service:" -j KUBE-MARK-MASQ
-A KUBE-SEP-RGXD32JDVTBAD2NU -p tcp -m comment --comment "default/nginx-service:" -m tcp -j DNAT --to-destination 10.244.1.53:80
-A KUBE-SEP-YEFU7DZX4NWUTRQS -s 10.244.2.199/32 -m comment --comment "default/nginx-service:" -j KUBE-MARK-MASQ
-A KUBE-SEP-YEFU7DZX4NWUTRQS -p tcp -m comment --comment "default/nginx-service:" -m tcp -j DNAT --to-destination 10.244.2.199:80
-A KUBE-SERVICES ! -s 10.244.0.0/16 -d 10.105.211.16/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp \
--dport 8000 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.105.211.16/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp --dport 8000 \
-j KUBE-SVC-GKN7Y2BSGW4NJTYL
-A KUBE-SVC-GKN7Y2BSGW4NJTYL -m comment --comment "default/nginx-service:" -m statistic --mode random --probability 0.50000000000 \
-j KUBE-SEP-RGXD32JDVTBAD2NU
-A KUBE-SVC-GKN7Y2BSGW4NJTYL -m comment --comment "default/nginx-service:" -j KUBE-SEP-YEFU7DZX4NWUTRQS
"""


class Node:
    """A namespace with a kube-proxy that uses one variant of iptables."""

    def __init__(self, variant: str) -> None:
        self.namespace = Namespace.create("node")
        self.variant = variant
        self.proxy = self.proxy_for(CONFIG)

    def proxy_for(self, config: ProxyConfig, version: str = "1.7") -> IptablesProxy:
        """A kube-proxy of this node. It holds no ports, as this process is not on the node."""
        return IptablesProxy(self._run, ModeConfig(config, version, hold_ports=False))

    def _run(self, argv: Sequence[str], stdin: str) -> str:
        program = argv[0].replace("iptables-", f"iptables-{self.variant}-")
        return process.must(process.run(self.namespace, [program, *argv[1:]], stdin=stdin))

    def saved(self, pattern: str = "") -> str:
        """What iptables-save prints, without counters and comments; the lines that have `pattern`."""
        text = self._run(["iptables-save"], "")
        lines = [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#") and pattern in line]
        return "".join(f"{line}\n" for line in lines)


@pytest.fixture(name="on_node", params=["nft", "legacy"])
def _on_node(request: pytest.FixtureRequest) -> Callable[[Callable[[Node], None]], None]:
    def run(check: Callable[[Node], None]) -> None:
        sandboxed(lambda: check(Node(request.param)))

    return run


OnNode = Callable[[Callable[[Node], None]], None]


def test_the_articles_eight_lines(on_node: OnNode) -> None:
    def check(node: Node) -> None:
        node.proxy.sync([_service()], [TWO])
        assert node.saved("nginx") == ARTICLE

    on_node(check)


def test_a_second_sync_changes_nothing(on_node: OnNode) -> None:
    def check(node: Node) -> None:
        node.proxy.sync([_service()], [TWO])
        before = node.saved()
        node.proxy.refresh()
        node.proxy.sync([_service()], [TWO])
        assert node.saved() == before
        node.proxy_for(CONFIG).sync([_service()], [TWO])
        assert node.saved() == before, "nor does a new kube-proxy's first"

    on_node(check)


def test_every_kind_of_service_loads_and_goes_again(on_node: OnNode) -> None:
    everything = _service(
        type="LoadBalancer",
        session_affinity="ClientIP",
        external_traffic_policy="Local",
        external_ips=(IPv4Address("1.2.3.4"),),
        load_balancer_ips=(IPv4Address("1.2.3.5"),),
        ports=(replace(_service().ports[0], node_port=30080),),
    )
    nobody = replace(everything, name="nobody", cluster_ip=IPv4Address("10.96.0.9"), ports=(replace(everything.ports[0], node_port=30081),))

    def check(node: Node) -> None:
        node.proxy.sync([], [])
        empty = node.saved()
        node.proxy.sync([everything, nobody], [TWO])
        assert "--rcheck --seconds 10800 --reap" in node.saved() and "KUBE-FW-" in node.saved() and "KUBE-XLB-" in node.saved()
        assert node.saved("has no endpoints").count("--reject-with icmp-port-unreachable") == 3
        node.proxy.sync([], [])
        assert node.saved() == empty

    on_node(check)


def test_foreign_rules_stay_and_cleanup_takes_only_its_own(on_node: OnNode) -> None:
    def check(node: Node) -> None:
        node._run(["iptables-restore", "--noflush"], "*nat\n:MINE - [0:0]\n-A MINE -j RETURN\n-A POSTROUTING -j MINE\nCOMMIT\n")
        before = node.saved("MINE")
        node.proxy.sync([_service()], [TWO])
        assert node.saved("MINE") == before
        leftovers.remove(node.proxy.run)
        assert node.saved("MINE") == before
        left = {line.split()[0][1:] for line in node.saved(":KUBE-").splitlines()}
        assert left == {"KUBE-FIREWALL", "KUBE-MARK-DROP"}, "kubelet's"

    on_node(check)


def test_a_lost_jump_comes_back(on_node: OnNode) -> None:
    def check(node: Node) -> None:
        node.proxy.sync([_service()], [TWO])
        before = node.saved()
        node._run(["iptables-restore", "--noflush"], "*nat\n-F PREROUTING\n-F POSTROUTING\nCOMMIT\n")
        assert node.saved() != before
        node.proxy.refresh()
        node.proxy.sync([_service()], [TWO])
        assert node.saved() == before

    on_node(check)


def test_what_the_kernel_refuses_changes_nothing(on_node: OnNode) -> None:
    def check(node: Node) -> None:
        node.proxy.sync([_service()], [TWO])
        before = node.saved("nginx")
        broken = _endpoints("10.244.1.53", port=EndpointPort(70000))
        with pytest.raises(CommandError):
            node.proxy.sync([_service()], [broken])
        assert node.saved("nginx") == before

    on_node(check)
