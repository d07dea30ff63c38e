"""One node as it is drawn in the picture of a cluster: its card on top, then what a packet meets on its way down to the pods. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.observe import graph as model
from lab.observe.drawing.picture import LINE, PAD, Box, Line, Sheet, Style, filled, fitted, text_width
from lab.observe.drawing.words import Language, say

TAB, ROW, GAP, INSET = 24.0, 26.0, 13.0, 12.0
"""Heights of the card's tab and of a device, the space between two devices, and from the node's edge to what is in it."""
POD_GAP, POD = 7.0, 38.0
GUTTER = 34.0
"""Space at the right of the tunnel's devices, for the direct way between the card and the rules."""
MOST_PODS = 8
"""Pods that are drawn one by one on a node; of more, the rest is a number."""


@dataclass(frozen=True)
class Shape:
    """What all nodes of a picture have in common: their width, lines in their heads, rows of pods."""

    graph: model.Graph
    language: Language
    width: float

    @property
    def header(self) -> float:
        """Height of a node's head: its name, and its daemons in as many lines as the longest list needs."""
        return 30.0 + LINE * max((len(self.daemons(node)) for node in self.graph.nodes), default=0)

    def daemons(self, node: model.Machine) -> list[str]:
        """The lines that name a node's daemons; flanneld has a row of its own."""
        names = [name for name in node.daemons if name != "flanneld"]
        return filled(names, "small", self.width - 2 * INSET - GUTTER)

    def height(self, node: model.Machine) -> float:
        """Height of a node's box."""
        rows = 2 + bool(self.graph.backend) + bool(self.graph.device) + bool(self.graph.idle_bridge)
        pods = min(len(self.graph.pods_on(node.name)), MOST_PODS + 1)
        return self.header + rows * (ROW + GAP) - GAP + pods * (POD + POD_GAP) + INSET + (GAP if pods else 0)


def draw(sheet: Sheet, shape: Shape, node: model.Machine, x: float, y: float, height: float) -> Box:
    """A node whose card's tab begins at (x, y). Returns the tab, where its wire ends."""
    return _Node(sheet, shape, node).draw(x, y, height)


class _Node:
    """A node that is being drawn, from the top down."""

    def __init__(self, sheet: Sheet, shape: Shape, node: model.Machine) -> None:
        self.sheet, self.shape, self.node, self.graph, self.language = sheet, shape, node, shape.graph, shape.language

    def draw(self, x: float, y: float, height: float) -> Box:
        node, sheet, width = self.node, self.sheet, self.shape.width
        text = f"{node.interface}  {node.address}"
        tab_width = text_width(text, "mono") + 2 * PAD
        right = x + width - INSET
        role = say(node.role, self.language) if node.role in ("master", "worker") else node.role
        room = width - 2 * INSET - GUTTER - text_width(role, "small")
        head = [Line(fitted(f"{node.name}", "name", room), "name"), *(Line(line, "small") for line in self.shape.daemons(node))]
        ident = sheet.name("node", node.name)
        self.box = sheet.box(Box(ident, "node", x, y + TAB, width, height, tuple(head), machine=node.name, tip=f"{node.name} ({role})"))
        name = sheet.name("if", node.name, node.interface)
        card = Box(name, "card", right - tab_width, y, tab_width, TAB, (Line(text),), "", node.name, node.interface)
        self.card = sheet.box(card)
        self.x, self.y = x + INSET, y + TAB + self.shape.header
        self.inner = width - 2 * INSET
        self.trunk = right - 18.0
        flanneld = self._flanneld() if self.graph.backend else None
        device = self._device() if self.graph.device else None
        rules = self._row("rules", "", self._rules_text(), self.inner)
        bridge = self._row("bridge", self.graph.bridge, self._bridge_text(), self.inner)
        self._wires(flanneld, device, rules, bridge)
        self._pods(bridge)
        if self.graph.idle_bridge:
            text = f"{self.graph.idle_bridge}  172.17.0.1/16  {say('idle', self.language)}"
            self.y = self.box.bottom - INSET - ROW
            self._row("idle", self.graph.idle_bridge, text, self.inner - 32, 18.0)
        return self.card

    def _row(self, kind: str, interface: str, text: str, width: float, indent: float = 0.0) -> Box:
        style: Style = "mono" if interface else "word"
        line = Line(fitted(text, style, width - 2 * PAD), style)
        ident = self.sheet.name("if" if interface else kind, self.node.name, interface)
        machine = self.node.name if interface or kind in ("rules", "daemon", "daemon-gone") else ""
        place = interface or {"rules": "(rules)"}.get(kind, "(flanneld)")
        box = Box(ident, kind, self.x + indent, self.y, width, ROW, (line,), self.box.id, machine, place, text)
        self.y += ROW + GAP
        return self.sheet.box(box)

    def _flanneld(self) -> Box:
        backend = self.graph.backend
        if "flanneld" not in self.node.daemons:
            return self._row("daemon-gone", "", say("flanneld_gone", self.language), self.inner - GUTTER)
        key = {"udp": "carries", "vxlan": "fills", "host-gw": "routes", "alloc": "leases"}.get(backend, "cloudly")
        return self._row("daemon", "", say(key, self.language, port=self.graph.port), self.inner - GUTTER)

    def _device(self) -> Box:
        address = self._device_address()
        word = say(f"device_{self.graph.backend}", self.language, port=self.graph.port)
        return self._row("device", self.graph.device, f"{self.graph.device}  {address or word}", self.inner - GUTTER)

    def _device_address(self) -> str:
        """The subnet's own address: with the pod network's length for udp (flannel 0.8), a /32 for vxlan."""
        subnet = self.node.subnet.partition("/")[0]
        if not subnet:
            return ""
        return f"{subnet}/{self.graph.pod_network.partition('/')[2]}" if self.graph.backend == "udp" else f"{subnet}/32"

    def _rules_text(self) -> str:
        key = "rules_userspace" if self.graph.proxy_mode == "userspace" else "rules"
        return say(key, self.language, mode=self.graph.proxy_mode)

    def _bridge_text(self) -> str:
        subnet = self.node.subnet
        if not subnet:
            return f"{self.graph.bridge}  {say('unknown_subnet', self.language)}"
        network, _, length = subnet.partition("/")
        first, _, last = network.rpartition(".")
        return f"{self.graph.bridge}  {first}.{int(last) + 1}/{length}"

    def _wires(self, flanneld: Box | None, device: Box | None, rules: Box, bridge: Box) -> None:
        link, udp = self.sheet.link, self.graph.backend == "udp"
        link("local", self.card, rules, [(self.trunk, self.card.bottom), (self.trunk, rules.y)])
        wrapping = flanneld if udp else device
        if wrapping is not None:
            middle = wrapping.middle[1]
            link("tunnel", self.card, wrapping, [(self.trunk, self.card.bottom), (self.trunk, middle), (wrapping.right, middle)])
        if flanneld is not None and self.graph.backend != "alloc":
            below = device or rules
            kind = "tunnel" if udp else "control"
            link(kind, flanneld, below, _down(flanneld, below, flanneld.middle[0]), arrow=not udp)
        if device is not None:
            link("local", device, rules, _down(device, rules, device.middle[0]))
        link("local", rules, bridge, _down(rules, bridge, rules.middle[0]))

    def _pods(self, bridge: Box) -> None:
        pods = self.graph.pods_on(self.node.name)
        shown, hidden = pods, 0
        if len(pods) > MOST_PODS:
            shown, hidden = pods[:MOST_PODS], len(pods) - MOST_PODS
        bus, x, width = self.x + 8.0, self.x + 18.0, self.inner - 32.0
        for pod in shown:
            box = self.sheet.box(pod_box(self.sheet, pod, x, self.y, width, self.box.id, self.language))
            middle = box.middle[1]
            self.sheet.link("wire", bridge, box, [(bus, bridge.bottom), (bus, middle), (box.x, middle)], tip=f"{pod.veth} – {pod.name} eth0")
            self.y += POD + POD_GAP
        if hidden:
            name = self.sheet.name("more", self.node.name)
            text = Line(say("more", self.language, n=hidden), "word")
            self.sheet.box(Box(name, "more", x, self.y, width, POD, (text,), self.box.id))


def _down(upper: Box, lower: Box, x: float) -> list[tuple[float, float]]:
    return [(x, upper.bottom), (x, lower.y)]


def pod_box(sheet: Sheet, pod: model.Pod, x: float, y: float, width: float, parent: str, language: Language) -> Box:
    """A pod: its name, its address, and its namespace where that is another than `default`."""
    address = pod.ip or say("no_address", language)
    words = [address, *([f"ns {pod.namespace}"] if pod.namespace != "default" else [])]
    if pod.ready is False:
        words.append(say("not_ready", language))
    lines = (Line(fitted(pod.name, "mono", width - 2 * PAD)), Line(fitted("  ".join(words), "small", width - 2 * PAD), "small"))
    ident = sheet.name("pod", pod.namespace if pod.namespace != "default" else "", pod.name)
    kind = "pod-waiting" if pod.ready is False or not pod.ip else "pod"
    tip = f"{pod.namespace}/{pod.name} {pod.ip}".rstrip()
    return Box(ident, kind, x, y, width, POD, lines, parent, pod.name, "eth0", tip)
