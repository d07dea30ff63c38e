"""A journey on a picture: it stops where the packet was, goes along the lines between, and moves by style alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.observe import graph as model
from lab.observe.drawing import cluster, journey
from lab.observe.drawing.stops import stops
from tests.unit.test_report_html import INNER, JOURNEY, OUTER, graph, hop


def trip(*hops: dict[str, object]) -> dict[str, Any]:
    return {"source": "a", "target": "b", "legs": [{"kind": "there", "hops": list(hops)}]}


def boxes(kind: str) -> dict[str, tuple[float, float, float, float]]:
    found = cluster.picture(graph()).boxes
    return {box.machine: (box.x, box.y, box.right, box.bottom) for box in found if box.kind == kind}


def passes(points: tuple[tuple[float, float], ...], place: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = place
    return any(left <= x <= right and top <= y <= bottom for x, y in points)


def test_the_stops_are_the_hops_at_their_interfaces() -> None:
    found = stops(graph(), cluster.picture(graph()), JOURNEY)
    assert [(stop.machine, stop.interface, stop.wrapped) for stop in found] == [
        ("ubuntu-zenlinnode1", "eth0", False),
        ("zenlinnode1", "docker0", False),
        ("zenlinnode1", "flannel0", False),
        ("zenlinnode1", "eth0", True),
        ("router", "eth1", True),
    ]
    for before, after in zip(found, found[1:], strict=False):
        assert after.way[0] == before.point and after.way[-1] == after.point
        for (ax, ay), (bx, by) in zip(after.way, after.way[1:], strict=False):
            assert ax == bx or ay == by, "along the lines, never across"


def test_a_packet_is_wrapped_in_flanneld_and_nowhere_else() -> None:
    picture = cluster.picture(graph())
    wrapped = stops(graph(), picture, trip(hop("zenlinnode1", "flannel0", INNER), hop("zenlinnode1", "eth0", OUTER, INNER)))
    plain = stops(graph(), picture, trip(hop("zenlinnode1", "docker0", INNER), hop("zenlinnode1", "eth0", INNER)))
    flanneld, rules = boxes("daemon")["zenlinnode1"], boxes("rules")["zenlinnode1"]
    assert passes(wrapped[1].way, flanneld) and not passes(wrapped[1].way, rules)
    assert passes(plain[1].way, rules) and not passes(plain[1].way, flanneld)


def test_bridge_ports_lie_on_the_pod_s_wire_and_the_minor_ones_are_left_out() -> None:
    veth = graph().pods_on("zenlinnode1")[0].veth
    port = hop("zenlinnode1", veth, INNER)
    picture = cluster.picture(graph())
    assert stops(graph(), picture, trip(port | {"minor": True})) == ()
    (stop,) = stops(graph(), picture, trip(port))
    assert stop.point[0] < boxes("pod")[graph().pods_on("zenlinnode1")[0].name][0]


def test_a_place_that_is_not_in_the_picture_leaves_the_dot_where_it_was() -> None:
    found = stops(graph(), cluster.picture(graph()), trip(hop("nobody", "eth9", INNER), hop("router", "eth1", INNER), hop("nobody", "x", INNER)))
    assert [stop.machine for stop in found] == ["router", "nobody"]
    assert found[0].point == found[1].point


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_animation_stands_alone(language: Any) -> None:
    text = journey.render(graph(), JOURNEY, language)
    root = ElementTree.fromstring(text)
    assert "<b>" not in text and "<script" not in text
    told = [element for element in root.iter() if "told" in element.get("class", "").split() and "j-at" in element.get("class", "").split()]
    assert len(told) == 5 + 5 + 2, "a caption and a tag a stop, a ring where it is wrapped"
    style = next(element.text or "" for element in root.iter() if element.tag.endswith("style"))
    moments = [float(found) for found in re.findall(r"([\d.]+)%\{transform", style)]
    assert moments == sorted(moments) and moments[0] == 0 and moments[-1] == 100
    assert "prefers-reduced-motion" in style and style.count("animation-delay") == 5
    assert ("the router has no route" if language == "en" else "路由器没有路由") in text


def test_a_journey_without_hops_is_a_picture() -> None:
    assert "journey" not in journey.animated(graph(), {"legs": []}, "j-").markup


MACHINES, INTERFACES = ["router", "zenlin", "zenlinnode1", "client", "ubuntu-zenlin"], ["eth0", "docker0", "lo", ""]


@given(st.lists(st.tuples(st.sampled_from(MACHINES), st.sampled_from(INTERFACES))))
@settings(max_examples=30, deadline=None)
def test_any_journey_is_drawn(places: list[tuple[str, str]]) -> None:
    told = trip(*(hop(machine, interface, "<x>") for machine, interface in places))
    ElementTree.fromstring(journey.render(graph(), told))


def test_it_is_drawn_on_large_clusters_too() -> None:
    node = graph().nodes[1]
    many = tuple(replace(node, name=f"n{number}") for number in range(12))
    found = journey.animated(replace(graph(), machines=(*graph().machines, *many)), JOURNEY, "j-")
    assert [stop.machine for stop in found.stops][-1] == "router" and isinstance(graph(), model.Graph)
