"""The nftables table and the userspace portals in the real kernel: whatever order of changes leads to a state, it is the same state."""

from __future__ import annotations

import json
import random
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CommandError
from lab.fabric import kernel, process
from lab.fabric.namespace import Namespace
from lab.kubeproxy import explain_nft, leftovers
from lab.kubeproxy.nftables import NftablesProxy
from lab.kubeproxy.userspace import UserspaceProxy
from lab.model.objects import EndpointPort, Endpoints, Service
from tests.sandboxed import sandboxed
from tests.unit.test_kubeproxy_iptables import CONFIG, TWO, _endpoints, _service

pytestmark = pytest.mark.e2e

SERVICE_CIDR = IPv4Network("10.96.0.0/12")
STICKY = _service(session_affinity="ClientIP")


def _inputs() -> list[tuple[Sequence[Service], Sequence[Endpoints]]]:
    """All the golden inputs."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
    import kubeproxy_inputs

    read = [kubeproxy_inputs.read(path) for path in kubeproxy_inputs.FILES]
    return [(one.services, one.endpoints) for one in read]


class Node:
    """A namespace, and what was run in it."""

    def __init__(self) -> None:
        self.namespace = Namespace.create("node")
        self.ran: list[tuple[str, str]] = []

    def run(self, argv: Sequence[str], stdin: str) -> str:
        self.ran.append((argv[0], stdin))
        return process.must(process.run(self.namespace, argv, stdin=stdin))

    def enter(self) -> None:
        kernel.unshare(kernel.CLONE_FS)
        self.namespace.join()

    def table(self) -> Any:
        """The nftables ruleset without handles, in an order of its own."""
        found = json.loads(self.run(["nft", "-j", "list", "ruleset"], ""))["nftables"]
        rules: dict[str, list[str]] = {}
        others = []
        for entry in found:
            ((kind, what),) = entry.items()
            if not isinstance(what, dict):
                continue
            what.pop("handle", None)
            what.pop("version", None)
            if "elem" in what:
                what["elem"] = sorted(what["elem"], key=json.dumps)
            if kind == "rule":
                rules.setdefault(what["chain"], []).append(json.dumps(what, sort_keys=True))
            else:
                others.append(json.dumps(entry, sort_keys=True))
        return rules, sorted(others)


def test_nftables_reaches_every_state_by_changes_as_from_nothing() -> None:
    def body() -> None:
        changing, dice, states = Node(), random.Random(7), _inputs()
        proxy = NftablesProxy(changing.run, CONFIG, SERVICE_CIDR)
        for _ in range(24):
            services, endpoints = dice.choice(states)
            services = [one for one in services if dice.random() < 0.8]
            endpoints = [one for one in endpoints if dice.random() < 0.8]
            proxy.sync(services, endpoints)
            proxy.sync(services, endpoints)  # the chains that the first has emptied
            fresh = Node()
            NftablesProxy(fresh.run, CONFIG, SERVICE_CIDR).sync(services, endpoints)
            assert changing.table() == fresh.table()
            fresh.namespace.close()

    sandboxed(body)


def test_nftables_in_portions_comes_to_the_same_table_and_finds_it_again() -> None:
    def body() -> None:
        node = Node()
        services = [replace(STICKY, name=f"s{number}", cluster_ip=IPv4Address("10.96.1.0") + number) for number in range(9)]
        plain = [replace(one, name=f"p{one.name}", session_affinity="None", cluster_ip=one.cluster_ip + 99) for one in services]
        ends = [replace(TWO, name=one.name) for one in (*services, *plain)]
        services += plain

        def sync(*, by: Node, portion: int = 10) -> int:
            by.ran.clear()
            NftablesProxy(by.run, CONFIG, SERVICE_CIDR, portion).sync(services, ends)
            return sum(len(re.findall(r"^add chain \S+ \S+ endpoint-\S+ \{", text, re.MULTILINE)) for _, text in by.ran)

        def expected() -> Any:
            fresh = Node()
            sync(by=fresh, portion=1000)
            table = fresh.table()
            fresh.namespace.close()
            return table

        assert sync(by=node) == 36 and len(node.ran) > 5 and node.table() == expected()
        assert sync(by=node) == 18, "those of services without affinity are intact"
        assert node.table() == expected()
        (lost, *_) = re.findall(r"chain (endpoint-\S+/ps3/\S+) \{", node.run(["nft", "list", "table", "ip", "kube-proxy"], ""))
        node.run(["nft", "flush", "chain", "ip", "kube-proxy", lost], "")
        services[0] = replace(services[0], affinity_seconds=5)
        ends[-1] = replace(_endpoints("10.244.1.53"), name=plain[-1].name)
        sync(by=node)
        last = NftablesProxy(node.run, CONFIG, SERVICE_CIDR, 10)
        last.sync(services, ends)
        last.sync(services, ends)
        assert node.table() == expected()

    sandboxed(body)


def test_nftables_a_new_proxy_takes_over_and_keeps_whom_clients_were_given_to() -> None:
    def body() -> None:
        node = Node()
        NftablesProxy(node.run, CONFIG).sync([STICKY], [TWO])
        affinity = next(word for word in node.run(["nft", "list", "ruleset"], "").split() if word.startswith("affinity-"))
        node.run(["nft", "-f", "-"], f"add element ip kube-proxy {affinity} {{ 10.244.1.9 }}\n")
        NftablesProxy(node.run, CONFIG).sync([STICKY], [TWO])
        assert "10.244.1.9" in node.run(["nft", "list", "ruleset"], "")
        NftablesProxy(node.run, CONFIG).sync([replace(STICKY, affinity_seconds=5)], [TWO])
        listed = node.run(["nft", "list", "ruleset"], "")
        assert "10.244.1.9" not in listed and listed.count("timeout 5s") >= 2 and "3h" not in listed
        last = NftablesProxy(node.run, CONFIG)
        last.sync([], [])
        last.sync([], [])
        assert "nginx" not in node.run(["nft", "list", "ruleset"], "")

    sandboxed(body)


def test_nftables_every_rule_is_explained_as_the_kernel_prints_it() -> None:
    def body() -> None:
        node, seen = Node(), 0
        for services, endpoints in _inputs():
            NftablesProxy(node.run, CONFIG, SERVICE_CIDR).sync(services, endpoints)
            chain = ""
            for line in node.run(["nft", "list", "table", "ip", "kube-proxy"], "").splitlines():
                opened = re.match(r"\tchain (\S+) \{", line)
                chain = opened[1] if opened else "" if line.startswith("\t}") else chain
                if chain and not opened and not line.strip().startswith("type "):
                    explain_nft.explain(chain, line)
                    seen += 1
        assert seen > 200

    sandboxed(body)


def test_nftables_survives_a_table_that_others_have_made_and_leaves_theirs() -> None:
    def body() -> None:
        node = Node()
        node.run(["nft", "-f", "-"], "table ip mine { chain input { type filter hook input priority 0 ; } ; }\n")
        node.run(["nft", "-f", "-"], "table ip kube-proxy { map service-ips { type ipv4_addr : verdict ; } ; }\n")
        proxy = NftablesProxy(node.run, CONFIG)
        proxy.sync([_service()], [TWO])
        assert "table ip mine" in node.run(["nft", "list", "ruleset"], "")
        leftovers.remove(node.run)
        leftovers.remove(node.run)
        listed = node.run(["nft", "list", "ruleset"], "")
        assert "table ip mine" in listed and "kube-proxy" not in listed

    sandboxed(body)


def test_nftables_a_refused_transaction_changes_nothing_and_the_next_one_mends_all() -> None:
    def body() -> None:
        node = Node()
        proxy = NftablesProxy(node.run, CONFIG)
        proxy.sync([_service()], [TWO])
        before = node.table()
        with pytest.raises(CommandError):
            proxy.sync([_service()], [_endpoints("10.244.1.53", port=EndpointPort(70000))])
        assert node.table() == before
        node.run(["nft", "flush", "chain", "ip", "kube-proxy", "services"], "")
        proxy.refresh()
        proxy.sync([_service()], [TWO])
        assert node.table() == before

    sandboxed(body)


def test_userspace_writes_only_what_changed_and_mends_what_is_lost() -> None:
    service = _service(type="NodePort", ports=(replace(_service().ports[0], node_port=30080),))

    def body() -> None:
        node = Node()
        proxy = UserspaceProxy(node.run, CONFIG, enter=node.enter)

        def writes() -> int:
            return sum(program == "iptables-restore" for program, _ in node.ran)

        proxy.sync([service], [TWO])
        ports = proxy.ports()
        proxy.sync([service], [])
        assert writes() == 1 and proxy.ports() == ports, "back ends are no matter of the rules"
        node.run(["iptables", "-t", "nat", "-F", "PREROUTING"], "")
        proxy.refresh()
        proxy.sync([service], [TWO])
        assert writes() == 2
        proxy.refresh()
        proxy.sync([service], [TWO])
        assert writes() == 2
        listening = node.run(["ss", "-Hltn"], "")
        assert f":{next(iter(ports.values()))} " in listening and ":30080 " in listening
        proxy.sync([], [])
        assert node.run(["ss", "-Hltn"], "") == ""
        proxy.sync([replace(service, cluster_ip=TWO.subsets[0].addresses[0].ip)], [TWO])
        leftovers.remove(node.run)
        assert "KUBE" not in node.run(["iptables-save"], "")
        proxy.close()
        proxy.close()
        assert node.run(["ss", "-Hltn"], "") == ""

    sandboxed(body)


def test_userspace_says_when_a_node_port_is_taken_and_serves_the_rest() -> None:
    service = _service(type="NodePort", ports=(replace(_service().ports[0], node_port=30080),))

    def body() -> None:
        node, said = Node(), list[str]()
        with node.namespace.entered():
            taken = socket.create_server(("0.0.0.0", 30080))
        proxy = UserspaceProxy(node.run, CONFIG, port_range=(40000, 40001), enter=node.enter, log=said.append)
        proxy.sync([service], [TWO])
        saved = node.run(["iptables-save", "-t", "nat"], "")
        assert len(said) == 1 and ":30080" in said[0] and "30080" not in saved
        assert "KUBE-PORTALS-HOST" in saved and set(proxy.ports().values()) <= {40000, 40001}
        proxy.close()
        taken.close()

    sandboxed(body)
