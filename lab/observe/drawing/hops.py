"""The way of a packet from a pod on one node to a pod on another, hop by hop, as flannel's backend makes it. Pure.

It follows from the topology alone; what a real packet did is a journey's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.errors import UsageError
from lab.observe import graph as model
from lab.observe.drawing.words import Language, say

Kind = Literal["pod", "bridge", "device", "daemon", "card", "router", "switch"]


@dataclass(frozen=True)
class Hop:
    """A place on the way. `wrapped`: whether the packet leaves it inside of another one; `text`: what happens there."""

    kind: Kind
    machine: str
    interface: str
    address: str
    text: str
    wrapped: bool = False


@dataclass(frozen=True)
class Way:
    """Where a packet goes.

    headers   of the wrapped packet, from the inside out, each a name and what stands in it; only the packet itself where nothing wraps it
    mtu       of the pods, bytes
    lost      why it does not arrive; empty when it does
    """

    source: model.Pod
    target: model.Pod
    nodes: tuple[model.Machine, model.Machine]
    hops: tuple[Hop, ...]
    headers: tuple[tuple[str, str], ...]
    mtu: int
    lost: str = ""


def way(graph: model.Graph, language: Language = "en") -> Way:
    """The way between the first two nodes that have pods, workers first; where there are none, between pods that could be there.

    Raises UsageError where there is no way to draw: without flannel, or with one node only.
    """
    if not graph.backend:
        raise UsageError(f"the topology {graph.topology} has no flannel: its pods' networks end at each node; draw --view cluster")
    if len(graph.nodes) < 2:
        raise UsageError(f"the topology {graph.topology} has one node: flannel has no way to go there; draw --view cluster")
    first, second = _nodes(graph)
    return _Way(graph, first, second, language).way()


def _nodes(graph: model.Graph) -> tuple[model.Machine, model.Machine]:
    ranked = sorted(graph.nodes, key=lambda node: (not graph.pods_on(node.name), node.role == "master"))
    first, second = sorted(ranked[:2], key=graph.nodes.index)
    return first, second


def _pod(graph: model.Graph, node: model.Machine, language: Language) -> model.Pod:
    pods = graph.pods_on(node.name)
    if pods:
        return pods[0]
    address = _shifted(node.subnet, 2)
    return model.Pod(say("a_pod", language, node=node.name), "default", node.name, address)


def _shifted(subnet: str, number: int) -> str:
    """An address of a subnet, empty where that is not known: 10.244.1.0/24, 1 -> 10.244.1.1."""
    head, _, last = subnet.partition("/")[0].rpartition(".")
    return f"{head}.{int(last) + number}" if head else ""


class _Way:
    """The way from one node to another."""

    def __init__(self, graph: model.Graph, first: model.Machine, second: model.Machine, language: Language) -> None:
        self.graph, self.first, self.second, self.language = graph, first, second, language
        self.source, self.target = _pod(graph, first, language), _pod(graph, second, language)
        self.wraps = graph.backend in ("udp", "vxlan")
        self.neighbours = first.segment == second.segment

    def way(self) -> Way:
        between = self._between()
        lost = self._lost()
        down, up = self._node(self.first, self.source, True), self._node(self.second, self.target, False)
        hops = (*down, *between) if lost else (*down, *between, *reversed(up))
        return Way(self.source, self.target, (self.first, self.second), hops, self._headers(), self._mtu(), lost)

    def _lost(self) -> str:
        if self.graph.backend == "alloc":
            return self._say("lost_alloc")
        if self.graph.backend == "host-gw" and not self.neighbours:
            return self._say("lost_host_gw")
        return ""

    def _mtu(self) -> int:
        """flannel takes off what wrapping adds: 20 IP + 8 UDP, with vxlan 8 VXLAN + 14 Ethernet more."""
        return 1500 - {"udp": 28, "vxlan": 50}.get(self.graph.backend, 0)

    def _node(self, node: model.Machine, pod: model.Pod, leaving: bool) -> list[Hop]:
        """The hops on one node, from the pod to the card."""
        backend, side = self.graph.backend, "out" if leaving else "in"
        bridge = _shifted(node.subnet, 1)
        hops = [
            Hop("pod", pod.name, "eth0", pod.ip, self._say(f"hop_pod_{side}")),
            Hop("bridge", node.name, self.graph.bridge, bridge, self._say(f"hop_bridge_{side}")),
        ]
        if backend == "udp":
            hops.append(Hop("device", node.name, self.graph.device, _shifted(node.subnet, 0), self._say(f"hop_tun_{side}")))
            hops.append(Hop("daemon", node.name, "flanneld", f"UDP :{self.graph.port}", self._say(f"hop_flanneld_{side}"), leaving))
        elif backend == "vxlan":
            text = self._say(f"hop_vxlan_{side}")
            hops.append(Hop("device", node.name, self.graph.device, _shifted(node.subnet, 0), text, leaving))
        text = self._say(f"hop_card_{side}" if self.wraps else f"hop_card_{side}_plain")
        hops.append(Hop("card", node.name, node.interface, node.address, text, self.wraps))
        return hops

    def _between(self) -> list[Hop]:
        segment = self.graph.segment(self.first)
        if self.neighbours:
            return [Hop("switch", segment.switch, "", segment.network, self._say("hop_switch"), self.wraps)]
        if not self.graph.router:
            return []
        cloud = "hop_router_cloud" if self.graph.backend in ("aws-vpc", "gce") else "hop_router_lost" if self._lost() else "hop_router"
        return [Hop("router", self.graph.router, segment.card, segment.gateway, self._say(cloud), self.wraps)]

    def _headers(self) -> tuple[tuple[str, str], ...]:
        inner = ("IP", f"{self.source.ip or '…'} → {self.target.ip or '…'}")
        packet = ((self._say("payload"), self._say("payload_is")), inner)
        if not self.wraps:
            return packet
        outer = (self._say("outer_ip"), f"{_ip(self.first)} → {_ip(self.second)}")
        packet = (packet[0], (self._say("inner_ip"), inner[1]))
        if self.graph.backend == "udp":
            return (*packet, ("UDP", f":{self.graph.port} → :{self.graph.port}"), outer)
        vni = self.graph.device.partition(".")[2]
        ethernet = (self._say("inner_ethernet"), f"{self.graph.device} → {self.graph.device}")
        return (*packet, ethernet, ("VXLAN", f"vni {vni}"), ("UDP", f"→ :{self.graph.port}"), outer)

    def _say(self, key: str) -> str:
        return say(key, self.language, subnet=self.graph.pod_network, port=self.graph.port, device=self.graph.device)


def _ip(machine: model.Machine) -> str:
    return machine.address.partition("/")[0]
