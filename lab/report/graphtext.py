"""The pictures of a cluster as text for a terminal: machines as frames beside each other, hops and rules as lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.model.columns import pad, visible, width
from lab.observe.drawing.choices import Choice, choices
from lab.observe.drawing.hops import way
from lab.observe.drawing.words import Language, count, say
from lab.observe.graph import Graph, Machine, Pod, Service

MOST_PODS = 8
COMPACT = 10
"""With more nodes than that, a node is one line."""


def cluster(graph: Graph, language: Language = "en", columns: int = 100) -> str:
    """The cluster, no wider than `columns` where its names allow, each line ended."""
    head = say("facts" if graph.backend else "facts_docker", language, kubernetes=graph.kubernetes, backend=graph.backend, mode=graph.proxy_mode)
    networks = say("networks" if graph.backend else "networks_docker", language, pods=graph.pod_network, services=graph.service_network)
    lines = [f"{graph.topology}: {count('nodes', len(graph.nodes), language)}, {head}", " ".join(networks.split()), ""]
    lines += _table(graph, language) if len(graph.nodes) > COMPACT else _frames(graph, language, columns)
    if graph.pods_on(""):
        lines += ["", f"{say('waiting', language)}: {', '.join(pod.name for pod in graph.pods_on(''))}"]
    if graph.services:
        lines += ["", say("virtual", language), *(f"  {_service(one, language)}" for one in graph.services)]
    return _text(lines)


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{visible(line).rstrip()}\n" for line in lines)


def _service(service: Service, language: Language) -> str:
    ports = " ".join(f":{port.port}/{port.protocol}" + (f" node :{port.node_port}" if port.node_port else "") for port in service.ports)
    address = say("headless", language) if service.headless else (service.cluster_ip or say("address_at_boot", language)) + ports
    ends = dict.fromkeys(one.pod or one.ip for port in service.ports for one in port.backends)
    return f"{service.name} {address} → {', '.join(ends) or say('no_endpoints', language)}"


def _table(graph: Graph, language: Language) -> list[str]:
    rows = []
    for machine in graph.machines:
        segment = graph.segment(machine)
        pods = count("pods", len(graph.pods_on(machine.name)), language) if machine.kind == "node" else say("outside", language)
        rows.append((segment.switch or graph.router, machine.name, machine.address, machine.subnet, pods))
    widths = [max(width(row[place]) for row in rows) for place in range(4)]
    return ["  ".join([*(pad(cell, size) for cell, size in zip(row[:4], widths, strict=True)), row[4]]) for row in rows]


def _frames(graph: Graph, language: Language, columns: int) -> list[str]:
    """Rows of frames, each row hanging on the router."""
    lines: list[str] = []
    row: list[tuple[Machine, list[str]]] = []
    for machine in sorted(graph.machines, key=lambda one: one.segment):
        frame = _framed(_machine(graph, machine, language))
        if row and sum(width(one[0]) + 1 for _, one in row) + width(frame[0]) > columns:
            lines += _row(graph, row)
            row = []
        row.append((machine, frame))
    return [*lines, *_row(graph, row)]


def _row(graph: Graph, row: Sequence[tuple[Machine, list[str]]]) -> list[str]:
    """Frames side by side under a line from the router."""
    tall = max(len(frame) for _, frame in row)
    places, begin = [], 0
    for _, frame in row:
        places.append(begin + width(frame[0]) // 2)
        begin += width(frame[0]) + 1
    wired = [place for place, (machine, _) in zip(places, row, strict=True) if graph.segment(machine).gateway]
    lines = _wires(graph, row, places, wired) if wired else []
    for number in range(tall):
        cells = [frame[number] if number < len(frame) else " " * width(frame[0]) for _, frame in row]
        if number == 0 and wired:
            cells = [_plugged(cell, place in wired) for cell, place in zip(cells, places, strict=True)]
        lines.append(" ".join(cells))
    return lines


def _plugged(edge: str, wired: bool) -> str:
    middle = len(edge) // 2
    return f"{edge[:middle]}┴{edge[middle + 1 :]}" if wired else edge


def _wires(graph: Graph, row: Sequence[tuple[Machine, list[str]]], places: Sequence[int], wired: Sequence[int]) -> list[str]:
    first, last = wired[0], wired[-1]
    center = (first + last) // 2
    name = graph.router
    rail = [" "] * first + ["─"] * (last - first + 1)
    for place in wired:
        rail[place] = "┬"
    rail[first], rail[last] = ("┌", "┐") if first != last else ("│", "│")
    if first != last:
        rail[center] = "┼" if center in wired else "┴"
    label = ""
    for place, (machine, _) in zip(places, row, strict=True):
        segment = graph.segment(machine)
        if segment.gateway:
            text = f"│ {segment.gateway}" + (f" {segment.switch}" if segment.switch else "")
            label = label[:place].ljust(place) + text
    return [" " * max(center - len(name) // 2, 0) + name, "".join(rail), label]


def _framed(lines: Sequence[str]) -> list[str]:
    lines = [visible(line) for line in lines]
    room = max(map(width, lines))
    return [f"┌{'─' * (room + 2)}┐", *(f"│ {pad(line, room)} │" for line in lines), f"└{'─' * (room + 2)}┘"]


def _machine(graph: Graph, machine: Machine, language: Language) -> list[str]:
    if machine.kind == "client":
        return [machine.name, f"{machine.interface} {machine.address}", say("outside", language)]
    role = say(machine.role, language) if machine.role in ("master", "worker") else machine.role
    rows = [(machine.interface, machine.address)]
    if graph.backend:
        key = {"udp": "carries", "vxlan": "fills", "host-gw": "routes", "alloc": "leases"}.get(graph.backend, "cloudly")
        key = key if "flanneld" in machine.daemons else "flanneld_gone"
        rows.append(("flanneld", say(key, language, port=graph.port).removeprefix("flanneld ")))
    if graph.device:
        rows.append((graph.device, say(f"device_{graph.backend}", language, port=graph.port)))
    rows.append(("kube-proxy", graph.proxy_mode))
    rows.append((graph.bridge, machine.subnet or say("unknown_subnet", language)))
    column = max(len(name) for name, _ in rows)
    lines = [f"{machine.name} ({role})", *(f"{name.ljust(column)}  {text}" for name, text in rows)]
    pods = graph.pods_on(machine.name)
    lines += [f" {'└' if pod is pods[-1] else '├'} {_pod(pod, language)}" for pod in pods[:MOST_PODS]]
    return [*lines, f" └ {say('more', language, n=len(pods) - MOST_PODS)}"] if len(pods) > MOST_PODS else lines


def _pod(pod: Pod, language: Language) -> str:
    """Its address, and the end of its name, which tells it from its siblings."""
    name = pod.name if len(pod.name) <= 22 else f"{pod.name[:9]}…{pod.name[-12:]}"
    return f"{name} {pod.ip or say('no_address', language)}" + (f" {say('not_ready', language)}" if pod.ready is False else "")


def service(graph: Graph, wanted: Service, language: Language = "en") -> str:
    """A service's way through the rules: what is recognised where, and each back end with its chance."""
    lines = [f"{wanted.namespace}/{wanted.name}: {say('every_node', language, mode=graph.proxy_mode)}"]
    found = choices(graph, wanted)
    for one in found:
        lines += ["", *_choice(graph, one, language)]
    return _text(lines if found else [*lines, say("no_rules", language)])


def _choice(graph: Graph, choice: Choice, language: Language) -> list[str]:
    chain = choice.chain or say("in_turn" if graph.proxy_mode == "userspace" else "service_chain", language)
    lines = [f"{choice.entry}  {choice.match}", f"└ {chain}"]
    for end in choice.ends:
        address = f"{end.backend.ip or '…'}:{end.backend.port}"
        said = end.condition or ("" if graph.proxy_mode == "userspace" else say("the_rest", language))
        where = f"{end.backend.pod} @ {end.backend.node}" if end.backend.pod else ""
        lines.append(f"  {'└' if end is choice.ends[-1] else '├'} {end.share * 100:6.2f} %  {end.chain or address}  {said}".rstrip())
        lines.append(f"  {' ' if end is choice.ends[-1] else '│'}             → {address} {where}".rstrip())
    return lines if choice.ends else [*lines, f"  └ {say('refused', language)}"]


def flannel(graph: Graph, language: Language = "en") -> str:
    """The way of a packet between two pods on two nodes, a line a hop, and what is on the wire between the nodes."""
    found = way(graph, language)
    lines = [f"flannel {graph.backend}: {found.source.name} → {found.target.name}", ""]
    rows = [(f"{number}", hop.machine, hop.interface, hop.address, hop.text) for number, hop in enumerate(found.hops, 1)]
    widths = [max(width(row[place]) for row in rows) for place in range(4)]
    for row, hop in zip(rows, found.hops, strict=True):
        cells = [pad(row[0], widths[0], right=True), *(pad(cell, size) for cell, size in zip(row[1:4], widths[1:], strict=True))]
        lines.append(f"{'  '.join(cells)}  {'▓' if hop.wrapped else '░'} {row[4]}")
    lines += ["", say("on_the_wire" if len(found.headers) > 2 else "on_the_wire_plain", language)]
    column = max(width(name) for name, _ in found.headers)
    lines += [f"  {pad(name, column)}  {text}" for name, text in found.headers]
    return _text([*lines, say("pod_mtu", language, mtu=found.mtu), *([found.lost] if found.lost else [])])
