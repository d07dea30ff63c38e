"""lab.model.load: right topologies, and that nothing but InputError comes of wrong ones. The messages are golden files."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.model import schema
from lab.model.catalog import list_topologies
from lab.model.checks import backend_trouble
from lab.model.load import load_topology, read_manifests, read_topology
from lab.model.topology import Backend, Node, Topology
from topology_strategies import topologies


def load(**changes: object) -> Topology:
    """A flat topology of two nodes with other top-level keys."""
    nodes = [{"name": "a", "role": "master", "address": "10.0.0.1/24"}, {"name": "b", "address": "10.0.0.2/24"}]
    return load_topology(json.dumps({"name": "t", "nodes": nodes} | changes), "f")


@pytest.mark.parametrize("path", list_topologies(), ids=lambda path: path.stem)
def test_shipped_topologies_are_named_as_their_files(path: Path) -> None:
    assert read_topology(path).name == path.stem


def test_the_article() -> None:
    zenlin = read_topology(next(path for path in list_topologies() if path.stem == "zenlin"))
    assert zenlin.master.name == "zenlin"
    assert [str(node.address) for node in zenlin.nodes] == ["10.229.43.65/23", "10.229.53.146/23", "10.229.45.161/23"]
    assert [str(node.gateway) for node in zenlin.nodes] == ["10.229.42.1", "10.229.52.1", "10.229.44.1"]
    assert [str(node.pod_cidr) for node in zenlin.nodes] == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
    assert (str(zenlin.networks.pod), str(zenlin.networks.service)) == ("10.244.0.0/16", "10.96.0.0/12")
    assert [segment.switch for segment in zenlin.segments] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("pod", "flannel", "expected"),
    [
        ("10.244.0.0/16", {}, (24, "10.244.1.0", "10.244.255.0", 255)),
        ("10.244.0.0/23", {}, (24, "10.244.1.0", "10.244.1.0", 1)),
        ("10.244.0.0/24", {}, (25, "10.244.0.128", "10.244.0.128", 1)),
        ("10.244.0.0/16", {"subnetLen": 20}, (20, "10.244.16.0", "10.244.240.0", 15)),
        ("10.244.0.0/16", {"subnetMin": "10.244.0.0"}, (24, "10.244.0.0", "10.244.255.0", 256)),
        ("10.244.0.0/16", {"subnetMin": "10.244.4.0", "subnetMax": "10.244.5.0"}, (24, "10.244.4.0", "10.244.5.0", 2)),
    ],
)
def test_flannel_rules_in_force(pod: str, flannel: dict[str, object], expected: tuple[int, str, str, int]) -> None:
    nodes = [{"name": "a", "role": "master", "address": "10.0.0.1/24"}]
    topology = load(networks={"pod": pod}, flannel=flannel, nodes=nodes)
    low, high = str(topology.subnet_min), str(topology.subnet_max)
    assert (topology.subnet_len, low, high, topology.subnet_count) == expected


def test_the_highest_pod_network_is_computed_without_overflow() -> None:
    with pytest.raises(InputError, match="lies in 240.0.0.0/4"):
        nodes = [{"name": "a", "role": "master", "address": "10.0.0.1/24", "podCIDR": "255.255.255.0/24"}]
        load(networks={"pod": "255.255.255.0/24"}, flannel={"subnetLen": 24}, nodes=nodes)


def test_python_may_build_a_topology_with_its_own_names() -> None:
    network = IPv4Network("10.244.7.0/24")
    topology = load()
    changed = replace(topology.nodes[0], pod_cidr=network)
    assert Node(name="a", address=changed.address, pod_cidr=network) == replace(changed, role="worker")


def test_python_may_give_addresses_as_text_as_a_file_does() -> None:
    texts: dict[str, Any] = {"address": "10.0.0.1/24", "gateway": "10.0.0.254", "pod_cidr": "10.244.3.0/24"}
    made = Node(name="a", **texts)
    assert made.address == IPv4Interface("10.0.0.1/24")
    assert (made.gateway, made.pod_cidr) == (IPv4Address("10.0.0.254"), IPv4Network("10.244.3.0/24"))
    with pytest.raises(ValueError, match=r"`10.0.0.1` is not an IPv4 address with its prefix length"):
        Node(name="a", **texts | {"address": "10.0.0.1"})


def test_yaml_may_not() -> None:
    with pytest.raises(InputError, match=r"kube_proxy: unknown key \(did you mean kubeProxy\?\)"):
        load(kube_proxy={"mode": "iptables"})


def test_keys_are_camel_case_but_where_kubernetes_and_flannel_write_them_otherwise() -> None:
    assert list(schema.keys(Backend)) == ["type", "port", "vni", "directRouting", "l3miss", "routeTableID"]
    assert "podCIDR" in schema.keys(Node)


def test_a_file_with_any_number_of_nodes() -> None:
    nodes = [{"name": f"n{index}", "address": f"10.0.{index >> 8}.{index & 255}/16"} for index in range(1, 251)]
    nodes[0]["role"] = "master"
    assert len(load(nodes=nodes).nodes) == 250
    with pytest.raises(InputError, match="255 subnets of /24 .* for 256 nodes"):
        load(nodes=nodes + [{"name": f"m{index}", "address": f"10.0.9.{index}/16"} for index in range(1, 7)])


def test_a_backend_may_be_judged_as_an_override() -> None:
    zenlin, flat = (read_topology(next(path for path in list_topologies() if path.stem == name)) for name in ("zenlin", "flat"))
    assert "neighbours on one layer 2" in next(backend_trouble(zenlin.with_backend("host-gw"))).text
    assert not list(backend_trouble(zenlin.with_backend("vxlan")))
    assert not list(backend_trouble(flat.with_backend("host-gw")))


def test_problems_of_several_manifests_come_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("kind: Pod\n")
    second.write_text("kind: [\n")
    with pytest.raises(InputError) as caught:
        read_manifests([first, second])
    assert {problem.file for problem in caught.value.problems} == {str(first), str(second)}


@given(topologies())
def test_valid_topologies_are_accepted(declared: dict[str, object]) -> None:
    topology = load_topology(json.dumps(declared), "f")
    assert sum(len(segment.members) for segment in topology.segments) == len(topology.machines)
    for segment in topology.segments:
        assert all(machine.address.ip in segment.network for machine in segment.members)
        assert segment.gateway is None or isinstance(segment.gateway, IPv4Address)


WORDS = st.sampled_from(["a", "master", "10.0.0.1/24", "10.0.0.0/8", "10.0.0.1", "host-gw", "", None, 7, -1, 1.5, True, 10**40])
VALUES = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "pod", "x"]), inner, max_size=3))


@given(topologies(), st.data())
def test_a_damaged_topology_is_accepted_or_explained(declared: dict[str, object], data: st.DataObject) -> None:
    """Puts any value at any place of a valid topology."""
    place: object = declared | {"flannel": {"backend": {}}, "networks": {}, "kubeProxy": {}}
    damaged = place
    while isinstance(place, (dict, list)) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        child = place[key]
        if not isinstance(child, (dict, list)) or not child or data.draw(st.booleans()):
            place[key] = data.draw(VALUES)
            break
        place = child
    try:
        load_topology(json.dumps(damaged), "f")
    except InputError as error:
        assert error.problems
        assert all(problem.text for problem in error.problems)


@given(st.dictionaries(st.sampled_from(sorted(schema.keys(Topology))), VALUES))
def test_any_mapping_is_accepted_or_explained(declared: dict[str, object]) -> None:
    try:
        load_topology(json.dumps(declared), "f")
    except InputError as error:
        assert error.problems
