"""Every kind of rule in the real kernel: iptables-save prints what lab.kubeproxy.rules says, with both variants of iptables."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from lab.fabric import process
from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service, ServicePort
from tests.e2e.test_kubeproxy_kernel import Node
from tests.golden import kubeproxy_inputs
from tests.golden.kubeproxy_inputs import Inputs
from tests.sandboxed import sandboxed

pytestmark = pytest.mark.e2e
VARIANTS = ("nft", "legacy")
IN_TWO_TABLES = ("KUBE-SERVICES", "KUBE-NODEPORTS")
MANY = 400
"""Services of one node; more would take long with the nft variant, which reads a table back rule by rule."""


def _rules(node: Node) -> list[str]:
    return [line for line in node.saved("-A ").splitlines() if line.startswith("-A ")]


def _expected(inputs: Inputs, version: str) -> list[str]:
    made = inputs.tables() if version == "1.7" else inputs.todays_tables()
    return [line for table in made for line in kubeproxy_inputs.saved_rules(table)]


def _by_chain(lines: Sequence[str]) -> dict[str, list[str]]:
    """The rules of each chain in their order. Jumps from built-in chains are put in front of each other, so these are only sorted."""
    chains: dict[str, list[str]] = {}
    for line in lines:
        chains.setdefault(line.split()[1], []).append(line)
    return {chain: found if chain.startswith("KUBE-") else sorted(found) for chain, found in chains.items()}


@pytest.mark.parametrize("version", ["1.7", "1.33"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_kernel_shows_what_was_foretold(variant: str, version: str) -> None:
    def check() -> None:
        for path in kubeproxy_inputs.FILES:
            inputs, node = kubeproxy_inputs.read(path), Node(variant)
            node.proxy_for(inputs.config, version).sync(inputs.services, inputs.endpoints)
            first = _rules(node)
            assert sorted(_merged(_by_chain(first))) == sorted(_merged(_by_chain(_expected(inputs, version)))), path.stem
            node.proxy_for(inputs.config, version).sync(inputs.services, inputs.endpoints)
            assert _rules(node) == first, path.stem

    sandboxed(check)


def _merged(chains: dict[str, list[str]]) -> list[str]:
    """Some chains are in two tables, which iptables-save prints in an order of its own: compare such a chain's lines sorted."""
    return [line for chain, lines in chains.items() for line in (sorted(lines) if chain in IN_TWO_TABLES else [f"{chain}: {lines}"])]


@pytest.mark.parametrize("variant", VARIANTS)
def test_many_services_and_one_that_goes(variant: str) -> None:
    services = [Service(f"s{n}", "default", (ServicePort(80),), IPv4Address("10.96.1.0") + n) for n in range(MANY)]
    endpoints = [Endpoints(one.name, "default", (_subset(n),)) for n, one in enumerate(services)]

    def check() -> None:
        node = Node(variant)
        node.proxy.sync(services, endpoints)
        assert len([line for line in _rules(node) if '"default/s' in line]) == 8 * MANY
        node.proxy.sync(services[1:], endpoints[1:])
        left = node.saved()
        assert '"default/s0:' not in left and left.count("\n:KUBE-SVC-") == MANY - 1 and left.count("\n:KUBE-SEP-") == 2 * (MANY - 1)

    sandboxed(check)


def _subset(number: int) -> EndpointSubset:
    addresses = tuple(EndpointAddress(IPv4Address("10.244.1.0") + 2 * number + extra) for extra in (0, 1))
    return EndpointSubset(addresses, (EndpointPort(80),))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_list_of_sticky_clients_outlives_a_sync(variant: str) -> None:
    inputs = kubeproxy_inputs.read(kubeproxy_inputs.FOLDER / "affinity.yaml")

    def check() -> None:
        node = Node(variant)
        node.proxy_for(inputs.config).sync(inputs.services, inputs.endpoints)
        chain = next(line for line in _rules(node) if "--rcheck" in line).split()[-1]
        clients = f"/proc/net/xt_recent/{chain}"
        process.must(process.run(node.namespace, f"echo +192.0.2.7 > {clients}"))
        node.proxy_for(inputs.config).sync(inputs.services, inputs.endpoints)
        assert "src=192.0.2.7 " in process.must(process.run(node.namespace, ["cat", clients]))

    sandboxed(check)
