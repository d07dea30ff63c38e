"""What stands around the nodes in a picture of a cluster: title, router, clients outside, services, pods without a node, legend. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.observe import graph as model
from lab.observe.drawing.picture import Box, Label, Line, Picture, Sheet, block_width, fitted, text_width
from lab.observe.drawing.words import Language, count, say

BAND = 58.0
"""Height of the router and of a client outside."""
ASIDE = 130.0
"""Space for wires between clients outside and the router."""
SHOWN_WAITING = 3
TIED_SERVICES, TIES = 4, 12
"""Services that are tied to their pods one by one, and ties, at most: more would be a tangle, and then numbers stand for them."""
PILL, SPACE = 58.0, 14.0
MARGIN = 24.0


def finished(graph: model.Graph, language: Language, view: str, sheet: Sheet, width: float, height: float, heading: str = "") -> Picture:
    """The whole picture, with its title on top: the topology's name unless `heading` is another one."""
    key = "facts" if graph.backend else "facts_docker"
    told = say(key, language, kubernetes=graph.kubernetes, backend=graph.backend, mode=graph.proxy_mode)
    networks = say("networks" if graph.backend else "networks_docker", language, pods=graph.pod_network, services=graph.service_network)
    comma = "，" if language == "zh" else ", "
    words = f"{count('nodes', len(graph.nodes), language)}{comma}{told}"
    heading = fitted(heading or graph.topology, "title", 420.0)
    begin = MARGIN + text_width(heading, "title") + 14.0
    sheet.label(Label(heading, MARGIN, 32.0, "title", kind="ink"))
    sheet.label(Label(words, begin, 32.0, "word"))
    sheet.label(Label(networks, MARGIN, 51.0, "small"))
    width = max(width, begin + text_width(words, "word") + MARGIN)
    names = comma.join([*(one.name for one in graph.machines[:12]), *(["…"] if len(graph.machines) > 12 else [])])
    description = f"{networks}. {names}"
    return Picture(view, f"{graph.topology}: {words}", description, width, height, tuple(sheet.boxes), tuple(sheet.links), tuple(sheet.labels))


class Frame:
    """Draws on the sheet of a picture. `router` is None where the topology has none."""

    def __init__(self, graph: model.Graph, sheet: Sheet, language: Language) -> None:
        self.graph, self.sheet, self.language = graph, sheet, language
        self.router: Box | None = None

    def outside_width(self, clients: Sequence[model.Machine]) -> float:
        """How much room at the left of the router its clients need."""
        return max((block_width(self._client_lines(one)) for one in clients), default=-ASIDE) + ASIDE

    def _router_lines(self) -> tuple[Line, ...]:
        words = [say("router", self.language)] + ([say("cloud", self.language)] if self.graph.backend in ("aws-vpc", "gce") else [])
        return (Line(fitted(self.graph.router, "name", 300.0), "name"), *(Line(word, "small") for word in words))

    def router_width(self) -> float:
        """How wide the router is; 0 without one."""
        return block_width(self._router_lines()) + 12.0 if self.graph.router else 0.0

    def placed(self, wide: float, clients: Sequence[model.Machine]) -> tuple[float, float]:
        """Where the router's middle is, and how wide the picture: at least `wide`, with room for what stands beside the router."""
        half = self.router_width() / 2
        center = max(wide / 2, MARGIN + self.outside_width(clients) + half)
        return center, max(wide, center + half + self.waiting_width() + MARGIN)

    def band(self, clients: Sequence[model.Machine], center: float, left: float, y: float, right: float) -> float:
        """Clients outside, the router, and pods that have no node yet, from left to right; returns where the band ends."""
        bottom = y + BAND
        if self.graph.router:
            lines, width = self._router_lines(), self.router_width()
            name = self.sheet.name("router", self.graph.router)
            height = BAND + 15.0 * (len(lines) - 2)
            self.router = Box(name, "router", center - width / 2, y, width, height, lines, machine=self.graph.router)
            bottom = self.sheet.box(self.router).bottom
        for segment in self.graph.segments:
            members = [one for one in clients if one.segment == segment.number]
            if members:
                bottom = max(bottom, self._outside(segment, members, left, y))
                y = bottom + SPACE
        return max(bottom, self._waiting(right, self.router.y if self.router else y))

    def _outside(self, segment: model.Segment, members: Sequence[model.Machine], x: float, y: float) -> float:
        """The clients of one segment, one below the other, with their wires to the right."""
        width = max(block_width(self._client_lines(one)) for one in members)
        boxes = []
        for member in members:
            boxes.append(self.client(member, x, y, width))
            y += BAND + SPACE
        end = y - SPACE
        ends = boxes
        if segment.switch:
            lines = (Line(segment.switch, "mono"),)
            wide, middle = block_width(lines), (boxes[0].y + end) / 2
            name = self.sheet.name("switch", segment.switch)
            switch = Box(name, "switch", boxes[0].right + 20.0, middle - 13.0, wide, 26.0, lines, machine=segment.switch)
            self.sheet.box(switch)
            for box in boxes:
                y, turn = box.middle[1], box.right + 10.0
                self.sheet.link("wire", box, switch, [(box.right, y), (turn, y), (turn, middle), (switch.x, middle)])
            ends = [switch]
        if self.router is not None and segment.gateway:
            for box in ends:
                self._to_router(self.router, box, segment)
        return end

    def _to_router(self, router: Box, box: Box, segment: model.Segment) -> None:
        y, turn = box.middle[1], router.x - 14.0
        meets = min(max(y, router.y + 10.0), router.bottom - 10.0)
        points = [(box.right, y), (router.x, y)] if meets == y else [(box.right, y), (turn, y), (turn, meets), (router.x, meets)]
        self.sheet.link("wire", box, router, points, tip=f"{self.graph.router} {segment.card} – {segment.network}")
        self.sheet.label(Label(segment.gateway, turn - 4.0, y - 6.0, "mono", "end"))

    def _client_lines(self, machine: model.Machine) -> tuple[Line, ...]:
        address = Line(f"{machine.interface}  {machine.address}")
        return (Line(fitted(machine.name, "name", 240.0), "name"), address, Line(say("outside", self.language), "small"))

    def client(self, machine: model.Machine, x: float, y: float, width: float) -> Box:
        """A client, whose wire ends at the box itself."""
        name = self.sheet.name("client", machine.name)
        tip = f"{machine.name} {machine.interface} {machine.address}"
        return self.sheet.box(Box(name, "client", x, y, width, BAND, self._client_lines(machine), "", machine.name, machine.interface, tip))

    def _waiting_lines(self) -> list[Line]:
        pods = self.graph.pods_on("")
        shown = [Line(fitted(pod.name, "mono", 260.0)) for pod in pods[:SHOWN_WAITING]]
        rest = [Line(say("more", self.language, n=len(pods) - SHOWN_WAITING), "small")] if len(pods) > SHOWN_WAITING else []
        return [Line(say("waiting", self.language), "small"), *shown, *rest] if pods else []

    def waiting_width(self) -> float:
        """How much room at the right of the router the pods without a node need."""
        lines = self._waiting_lines()
        return block_width(lines) + 60.0 if lines else 0.0

    def _waiting(self, right: float, y: float) -> float:
        lines = self._waiting_lines()
        if not lines:
            return y
        width, height = block_width(lines), 12.0 + 15.0 * len(lines)
        tip = "\n".join(f"{pod.namespace}/{pod.name}" for pod in self.graph.pods_on(""))
        self.sheet.box(Box(self.sheet.name("waiting"), "waiting", right - width, y, width, height, tuple(lines), tip=tip))
        return y + height

    def services(self, left: float, y: float, right: float) -> float:
        """The services, in rows; ties to their pods go up between the nodes. Returns where they end."""
        if not self.graph.services:
            return y
        tied = self._tied()
        channel = y + 4.0 + 5.0 * len(tied)
        y = channel + 16.0
        for row in self._pills(right - left):
            x = left + (right - left - sum(width + SPACE for _, _, width in row) + SPACE) / 2
            for service, lines, width in row:
                name = self.sheet.name("service", service.namespace if service.namespace != "default" else "", service.name)
                tip = f"{service.namespace}/{service.name} {service.type}"
                box = self.sheet.box(Box(name, "service", x, y, width, PILL, lines, tip=tip))
                if service in tied:
                    self._tie(service, box, tied.index(service), channel)
                x += width + SPACE
            y += PILL + SPACE
        self.sheet.label(Label(say("virtual", self.language), (left + right) / 2, y + 4.0, "small", "middle"))
        return y + 8.0

    def _pills(self, room: float) -> list[list[tuple[model.Service, tuple[Line, ...], float]]]:
        """The services with their lines and widths, in rows that fit."""
        rows: list[list[tuple[model.Service, tuple[Line, ...], float]]] = [[]]
        for service in self.graph.services:
            lines = (Line(fitted(service.name, "name", 260.0), "name"), Line(self._addresses(service)), Line(self._behind(service), "small"))
            width = block_width(lines) + 14.0
            if rows[-1] and sum(one[2] + SPACE for one in rows[-1]) + width > room:
                rows.append([])
            rows[-1].append((service, lines, width))
        return rows

    def _addresses(self, service: model.Service) -> str:
        if service.headless:
            return say("headless", self.language)
        ports = [f":{port.port}/{port.protocol}" + (f" node :{port.node_port}" if port.node_port else "") for port in service.ports]
        return fitted((service.cluster_ip or say("address_at_boot", self.language)) + " ".join(ports), "mono", 330.0)

    def _behind(self, service: model.Service) -> str:
        number = len({backend.pod or backend.ip for port in service.ports for backend in port.backends})
        return count("endpoints", number, self.language) if number else say("no_endpoints", self.language)

    def _tied(self) -> list[model.Service]:
        """The services whose pods are in the picture, if they are few."""
        pods = {(box.machine, box.interface) for box in self.sheet.boxes if box.kind.startswith("pod")}
        found = [one for one in self.graph.services if any((pod, "eth0") in pods for pod in _behind(one))]
        ties = sum(len(_behind(one)) for one in found)
        return found if len(self.graph.services) <= TIED_SERVICES and ties <= TIES else []

    def _tie(self, service: model.Service, box: Box, lane: int, channel: float) -> None:
        y, parents = channel - 5.0 * lane, {one.id: one for one in self.sheet.boxes}
        for pod in self.sheet.boxes:
            if pod.kind.startswith("pod") and pod.machine in _behind(service):
                x = parents[pod.parent].right + 6.0 + 4.0 * lane
                start = box.middle[0] + 6.0 * lane
                level = pod.middle[1] + 4.0 * lane
                self.sheet.link("service", box, pod, [(start, box.y), (start, y), (x, y), (x, level), (pod.right, level)])

    def legend(self, x: float, y: float) -> float:
        """What the kinds of lines in the picture mean; returns where the picture ends."""
        kinds = [kind for kind in ("wire", "tunnel", "control", "service") if any(link.kind == kind for link in self.sheet.links)]
        y += 26.0
        for kind in kinds:
            text = say(f"legend_{kind}", self.language)
            self.sheet.label(Label("", x, y - 4.0, kind=f"key-{kind}"))
            self.sheet.label(Label(text, x + 34.0, y, "small"))
            x += 34.0 + text_width(text, "small") + 22.0
        return y + 16.0


def _behind(service: model.Service) -> dict[str, None]:
    return {backend.pod: None for port in service.ports for backend in port.backends if backend.pod}
