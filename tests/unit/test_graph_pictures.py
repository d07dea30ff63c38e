"""Pictures of any cluster: nothing overlaps, nothing is outside, nothing from a name becomes markup, and every format takes it."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.model import catalog, load
from lab.observe import graph as model
from lab.observe.drawing import cluster, dot, flannel, service, svg
from lab.observe.drawing.choices import choices
from lab.observe.drawing.hops import way
from lab.observe.drawing.picture import Box, Picture, fitted, text_width
from lab.observe.drawing.words import WORDS, Language
from lab.report import graphtext
from topology_strategies import NAME, topologies

MODES = ("iptables", "userspace", "nftables")
BACKENDS = ("udp", "vxlan", "host-gw", "alloc", "aws-vpc", "gce")
TRICKS = ["<script>alert(1)</script>", '"&\'><', "]]>", "\x1b[2J", "很长的名字" * 9, 'a"];}', "\\"]
NASTY = st.one_of(st.text(min_size=1, max_size=70), st.sampled_from(TRICKS))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def graphs(draw: st.DrawFn) -> model.Graph:
    """Any topology with any backend, with pods and services of any names, pods' names such as an apiserver would never let in."""
    made = load.load_topology(yaml.safe_dump(draw(topologies())), "t.yaml").with_proxy_mode(draw(st.sampled_from(MODES)))
    graph = model.from_topology(made.with_backend(draw(st.sampled_from(BACKENDS))))
    names = draw(st.lists(NASTY, max_size=14, unique=True))
    places = [*(node.name for node in graph.nodes), ""]
    pods = tuple(
        model.Pod(name, draw(st.sampled_from(["default", "<ns>"])), draw(st.sampled_from(places)), f"10.244.0.{number + 2}", f"veth{number}")
        for number, name in enumerate(names)
    )
    ends = tuple(model.Backend(pod.ip, 80, pod.name, pod.node) for pod in pods)
    services = tuple(
        model.Service(draw(NAME), "default", f"10.96.0.{number + 9}", (model.Port("", 80, "TCP", 0, ends[number:]),))
        for number in range(draw(st.integers(0, 5)))
    )
    return replace(graph, pods=pods, services=services, live=draw(st.booleans()))


def overlaps(a: Box, b: Box) -> bool:
    return a.x < b.right - 0.01 and b.x < a.right - 0.01 and a.y < b.bottom - 0.01 and b.y < a.bottom - 0.01


def misplaced(picture: Picture) -> list[str]:
    """What lies on each other, or outside of its parent or of the picture."""
    boxes = {box.id: box for box in picture.boxes}
    assert len(boxes) == len(picture.boxes), "ids are unique"
    whole = Box("", "", 0, 0, picture.width, picture.height)
    found = []
    for box in picture.boxes:
        around = boxes.get(box.parent, whole)
        if box.x < around.x or box.y < around.y or box.right > around.right + 0.01 or box.bottom > around.bottom + 0.01:
            found.append(f"{box.id} is outside of {around.id or 'the picture'}")
    for a, b in itertools.combinations(picture.boxes, 2):
        if a.parent == b.parent and overlaps(a, b):
            found.append(f"{a.id} lies on {b.id}")
    return found


def checked(picture: Picture) -> ElementTree.Element:
    """The picture is laid out well, and its SVG is XML with no more elements than the picture asks for."""
    assert misplaced(picture) == []
    ids = {box.id for box in picture.boxes}
    assert {end for link in picture.links for end in (link.a, link.b)} <= ids
    root = ElementTree.fromstring(svg.render(picture))
    known = {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text", "polyline"}
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= known
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on") or key.endswith("href")]
    return root


@given(graphs(), st.sampled_from(["en", "zh"]))
@quick
def test_any_cluster_is_drawn_whole(graph: model.Graph, language: Language) -> None:
    picture = cluster.picture(graph, language)
    root = checked(picture)
    shown = [element.get("data-machine") for element in root.iter() if element.get("data-machine")]
    assert {machine.name for machine in graph.machines} <= set(shown)
    unquoted = re.sub(r'"(\\.|[^"\\])*"', "", dot.render(picture))
    assert '"' not in unquoted and "<" not in unquoted and unquoted.count("{") == unquoted.count("}")
    assert "\x1b" not in graphtext.cluster(graph, language)


@given(graphs(), st.sampled_from(["en", "zh"]))
@quick
def test_any_service_is_drawn_whole(graph: model.Graph, language: Language) -> None:
    for one in graph.services[:2]:
        checked(service.picture(graph, one, language))
        for choice in choices(graph, one):
            assert not choice.ends or sum(end.share for end in choice.ends) == pytest.approx(1.0)
        graphtext.service(graph, one, language)


@given(graphs(), st.sampled_from(["en", "zh"]))
@quick
def test_any_way_between_two_nodes_is_drawn_whole(graph: model.Graph, language: Language) -> None:
    if len(graph.nodes) < 2:
        with pytest.raises(UsageError, match="has one node"):
            flannel.picture(graph, language)
        return
    picture = flannel.picture(graph, language)
    checked(picture)
    found = way(graph, language)
    assert len({hop.machine for hop in found.hops if hop.kind == "card"}) == (1 if found.lost else 2)
    assert len([box for box in picture.boxes if box.kind == "number"]) == len(found.hops)
    graphtext.flannel(graph, language)


@given(graphs())
@quick
def test_a_graph_survives_json(graph: model.Graph) -> None:
    assert model.from_data(json.loads(json.dumps(model.to_data(graph)))) == graph


def test_a_graph_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match="version 2 of this format"):
        model.from_data({"schema": 2})


@pytest.mark.parametrize("count", [1, 4, 5, 10, 11, 100])
def test_large_clusters_stay_legible(count: int) -> None:
    nodes = [{"name": f"n{number}", "address": f"10.1.{number}.2/24", "gateway": f"10.1.{number}.1"} for number in range(count)]
    nodes[0]["role"] = "master"
    topology = load.load_topology(yaml.safe_dump({"name": "many", "nodes": nodes}), "t.yaml")
    picture = cluster.picture(model.from_topology(topology))
    assert misplaced(picture) == []
    assert picture.width < 1400, "a screen wide, however many they are"
    assert len(graphtext.cluster(model.from_topology(topology)).splitlines()) < (120 if count <= 10 else count + 10)


@functools.cache
def article() -> model.Graph:
    """The walkthrough's cluster as it is declared."""
    from lab.cli import up

    _, (topology, objects, pins) = up.declared("nginx-service")
    return model.planned(topology, objects, pins)


RULES: dict[str, tuple[Callable[[model.Graph], model.Graph], str, str, list[str]]] = {
    "1.7": (lambda one: one, "KUBE-SVC-GKN7Y2BSGW4NJTYL", "KUBE-SEP-RGXD32JDVTBAD2NU", ["--probability 0.50000000000", ""]),
    "1.33": (lambda one: replace(one, rules_version="1.33"), "KUBE-SVC-V2OKYYMBY3REGZOG", "KUBE-SEP-", ["--probability 0.50000000000", ""]),
    "nftables": (lambda one: replace(one, proxy_mode="nftables"), "service-", "endpoint-", ["0 of 2", "1 of 2"]),
    "userspace": (lambda one: replace(one, proxy_mode="userspace"), "", "", ["", ""]),
}


@pytest.mark.parametrize("mode", sorted(RULES))
def test_chances_come_from_the_rules(mode: str) -> None:
    change, chain, first, conditions = RULES[mode]
    graph = change(article())
    (choice,) = choices(graph, graph.service("nginx-service"))
    assert choice.chain.startswith(chain) and choice.ends[0].chain.startswith(first)
    assert [end.condition for end in choice.ends] == conditions
    assert [(end.share, end.backend.ip, end.backend.node) for end in choice.ends] == [
        (0.5, "10.244.1.53", "zenlinnode1"),
        (0.5, "10.244.2.199", "zenlinnode2"),
    ]


def test_back_ends_without_an_address_yet_have_their_chance_already() -> None:
    graph = article()
    pods = tuple(model.Backend("", 80, f"web-{number}") for number in range(3))
    one = model.Service("web", "default", "", (model.Port("", 80, "TCP", 0, pods),))
    (choice,) = choices(graph, one)
    assert [(round(end.share, 3), end.chain) for end in choice.ends] == [(0.333, ""), (0.333, ""), (0.333, "")]
    assert [end.backend for end in choice.ends] == list(pods)


def test_the_first_figure_has_client_rules_and_pods() -> None:
    texts = {line.text for box in service.picture(article(), article().service("nginx-service")).boxes for line in box.lines}
    assert {"apiserver", "kube-proxy", "KUBE-SERVICES", "KUBE-SVC-GKN7Y2BSGW4NJTYL", "nginx-deployment-1885164871-q37zh", "client"} <= texts


UDP = ["eth0", "docker0", "flannel0", "flanneld", "eth0", "eth1", "eth0", "flanneld", "flannel0", "docker0", "eth0"]
WAYS = {
    "udp": UDP,
    "vxlan": ["eth0", "docker0", "flannel.1", "eth0", "eth1", "eth0", "flannel.1", "docker0", "eth0"],
    "aws-vpc": ["eth0", "docker0", "eth0", "eth1", "eth0", "docker0", "eth0"],
    "alloc": ["eth0", "docker0", "eth0", "eth1"],
}


@pytest.mark.parametrize("backend", sorted(WAYS))
def test_the_second_figure_follows_the_backend(backend: str) -> None:
    topology = load.read_topology(catalog.find_topology("zenlin")).with_backend(backend)
    found = way(model.from_topology(topology))
    assert [hop.interface for hop in found.hops] == WAYS[backend]
    assert bool(found.lost) is (backend == "alloc")
    assert found.mtu == {"udp": 1472, "vxlan": 1450}.get(backend, 1500)


def test_a_node_whose_flanneld_died_says_so() -> None:
    graph = article()
    dead = tuple(replace(one, daemons=()) if one.name == "zenlinnode2" else one for one in graph.machines)
    picture = cluster.picture(replace(graph, machines=dead))
    assert [box.parent for box in picture.boxes if box.kind == "daemon-gone"] == ["node-zenlinnode2"]
    assert graphtext.cluster(replace(graph, machines=dead)).count("flanneld    does not run") == 1


def test_a_docker_alone_cluster_has_no_way_between_nodes() -> None:
    graph = model.from_topology(load.read_topology(catalog.find_topology("docker-alone")))
    with pytest.raises(UsageError, match="has no flannel"):
        way(graph)


@given(st.text(max_size=80), st.floats(40, 400))
@quick
def test_a_fitted_name_fits(text: str, room: float) -> None:
    short = fitted(text, "mono", room)
    assert short == text or (text_width(short, "mono") <= max(room, 60.0) and "…" in short)


def test_every_word_takes_the_same_values_in_both_languages() -> None:
    for key, word in WORDS.items():
        assert sorted(re.findall(r"{\w+}", word.en)) == sorted(re.findall(r"{\w+}", word.zh)), key
