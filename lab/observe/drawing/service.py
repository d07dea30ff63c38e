"""The picture of one service, the article's first figure: kube-proxy and the rules it writes stand between a client and the pods. Pure."""

from __future__ import annotations

from dataclasses import replace

from lab.observe import graph as model
from lab.observe.drawing.choices import Choice, End, choices
from lab.observe.drawing.frame import finished
from lab.observe.drawing.picture import PAD, Box, Label, Line, Picture, Sheet, fitted
from lab.observe.drawing.words import Language, say

MARGIN, TOP, INSET = 24.0, 74.0, 16.0
LEFT, MIDDLE, ENDS, PODS = 196.0, 236.0, 246.0, 258.0
"""Widths of the columns: clients, the rules that recognise, the rules of one back end each, pods."""
FORK, SIDE = 118.0, 44.0
"""Space where the rules fork, and beside the rules on both sides."""
ROW, CHAIN, DAEMON = 66.0, 50.0, 42.0
MOST = 8
"""Back ends of a port that are drawn one by one."""


def picture(graph: model.Graph, service: model.Service, language: Language = "en") -> Picture:
    """The service in the rules of any node: they are the same on all of them."""
    return _Service(graph, service, language).picture()


class _Service:
    """The picture in the making."""

    def __init__(self, graph: model.Graph, service: model.Service, language: Language) -> None:
        self.graph, self.service, self.language, self.sheet = graph, service, language, Sheet()
        self.panel_x = MARGIN + LEFT + SIDE
        self.ends_x = self.panel_x + INSET + MIDDLE + FORK
        self.panel_right = self.ends_x + ENDS + INSET
        self.pods_x = self.panel_right + SIDE
        self.width = self.pods_x + PODS + MARGIN

    def picture(self) -> Picture:
        self.found = found = choices(self.graph, self.service)
        heights = [max(CHAIN * 2 + 34.0, ROW * min(len(one.ends), MOST + 1)) for one in found]
        top = TOP + DAEMON + 30.0
        rules_y = top + 34.0 + DAEMON + 40.0
        bottom = rules_y + sum(heights) + 18.0 * max(len(heights) - 1, 0) + INSET
        panel = self._panel(top, bottom)
        proxy = self._masters(panel, top)
        client = self._client(rules_y, bottom)
        y = rules_y
        for one, height in zip(found, heights, strict=True):
            self._port(panel, proxy, client, one, y, height)
            y += height + 18.0
        if not found:
            self.sheet.label(Label(say("no_rules", self.language), panel.x + INSET, rules_y, "word"))
        made = finished(self.graph, self.language, "service", self.sheet, self.width, bottom + MARGIN, self.service.name)
        address = self.service.cluster_ip or say("address_at_boot", self.language)
        return replace(made, title=f"{self.service.namespace}/{self.service.name} {address}, {made.title}")

    def _put(self, kind: str, name: str, x: float, y: float, width: float, height: float, *lines: Line, parent: str = "", tip: str = "") -> Box:
        shown = tuple(Line(fitted(line.text, line.style, width - 2 * PAD), line.style) for line in lines)
        return self.sheet.box(Box(self.sheet.name(kind, name), kind, x, y, width, height, shown, parent, tip=tip))

    def _panel(self, top: float, bottom: float) -> Box:
        line = Line(say("every_node", self.language, mode=self.graph.proxy_mode), "name")
        return self._put("node", "any", self.panel_x, top, self.panel_right - self.panel_x, bottom - top, line)

    def _masters(self, panel: Box, top: float) -> Box:
        """The apiserver above the panel and kube-proxy in it: who knows, and who writes."""
        x, width = self.ends_x, ENDS
        master = next((node.name for node in self.graph.nodes if node.role == "master"), "")
        api = self._put("daemon", "apiserver", x, TOP, width, DAEMON, Line("apiserver", "name"), Line(master, "small"))
        inside = top + 34.0
        proxy = self._put(
            "daemon", "kube-proxy", x, inside, width, DAEMON, Line("kube-proxy", "name"), Line(self._says("writes"), "small"), parent=panel.id
        )
        self.sheet.link("control", api, proxy, [(api.middle[0], api.bottom), (proxy.middle[0], proxy.y)], arrow=True)
        text = self._says("watches")
        self.sheet.label(Label(text, api.middle[0] + 8.0, api.bottom + 19.0, "small"))
        return proxy

    def _client(self, y: float, bottom: float) -> Box:
        height = 60.0
        middle = (y + bottom - INSET) / 2
        lines = (Line(self._says("any_client"), "name"), Line(self._says("any_client_is"), "small"))
        return self._put("client", "any", MARGIN, middle - height / 2, LEFT, height, *lines)

    def _port(self, panel: Box, proxy: Box, client: Box, choice: Choice, y: float, height: float) -> None:
        x, middle = panel.x + INSET, y + height / 2
        entry = self._rules_box(choice.entry, choice.match, x, middle - CHAIN - 17.0, MIDDLE, panel)
        chain = choice.chain or self._says("in_turn" if self.graph.proxy_mode == "userspace" else "service_chain")
        chosen = self._rules_box(chain, self._how(choice), x, middle + 17.0, MIDDLE, panel)
        points = [
            (client.right, client.middle[1]),
            (panel.x - SIDE / 2, client.middle[1]),
            (panel.x - SIDE / 2, entry.middle[1]),
            (entry.x, entry.middle[1]),
        ]
        self.sheet.link("path", client, entry, points, arrow=True)
        if choice is self.found[0]:
            down = entry.middle[0]
            self.sheet.link("control", proxy, entry, [(proxy.x, proxy.middle[1]), (down, proxy.middle[1]), (down, entry.y)], arrow=True)
        self.sheet.link("path", entry, chosen, [(x + 40.0, entry.bottom), (x + 40.0, chosen.y)], arrow=True)
        self._address(entry, choice)
        shown = choice.ends[:MOST]
        rows = len(shown) + (len(choice.ends) > MOST)
        begin = middle - rows * ROW / 2
        for number, end in enumerate(shown):
            self._end(panel, chosen, end, begin + number * ROW + (ROW - CHAIN) / 2)
        if len(choice.ends) > MOST:
            text = Line(say("more", self.language, n=len(choice.ends) - MOST), "word")
            self._put("more", chosen.id, self.ends_x, begin + MOST * ROW + 10.0, ENDS, 30.0, text, parent=panel.id)
        if not choice.ends:
            self.sheet.label(Label(self._says("refused"), self.ends_x, middle + 4.0, "word", kind="bad"))

    def _address(self, entry: Box, choice: Choice) -> None:
        """What the client asks for, over the arrow that leaves it."""
        ip = self.service.cluster_ip or self._says("address_at_boot")
        lines = [f"{ip}:{choice.port.port}"] + ([f"{self._says('any_node')}:{choice.port.node_port}"] if choice.port.node_port else [])
        for number, text in enumerate(reversed(lines)):
            self.sheet.label(Label(text, entry.x - INSET - SIDE / 2 - 5.0, entry.middle[1] + 4.0 - 15.0 * number, "mono", "end", "accent"))

    def _rules_box(self, first: str, second: str, x: float, y: float, width: float, panel: Box) -> Box:
        return self._put("rules", first, x, y, width, CHAIN, Line(first, "mono"), Line(second, "small"), parent=panel.id, tip=f"{first} {second}")

    def _how(self, choice: Choice) -> str:
        if self.service.affinity == "ClientIP":
            return self._says("sticky")
        key = {"nftables": "numgen", "userspace": "round_robin"}.get(self.graph.proxy_mode, "statistic")
        return self._says(key) if len(choice.ends) > 1 else self._says("only_one" if choice.ends else "nobody")

    def _end(self, panel: Box, chosen: Box, end: End, y: float) -> None:
        backend = end.backend
        address = f"{backend.ip or '…'}:{backend.port}"
        first = end.chain or self._says("relayed" if self.graph.proxy_mode == "userspace" else "end_chain")
        second = f"DNAT {address}" if self.graph.proxy_mode != "userspace" else address
        box = self._rules_box(first, second, self.ends_x, y, ENDS, panel)
        turn = chosen.right + 30.0
        middle = box.middle[1]
        points = [(chosen.right, chosen.middle[1]), (turn, chosen.middle[1]), (turn, middle), (box.x, middle)]
        self.sheet.link("path", chosen, box, points, arrow=True, tip=end.condition)
        self.sheet.label(Label(f"{end.share * 100:.4g} %", box.x - 12.0, middle - 6.0, "mono", "end", "accent"))
        said = end.condition.removeprefix("--probability ") if end.condition else self._says("the_rest")
        said = said if self.graph.proxy_mode != "userspace" else ""
        self.sheet.label(Label(said[:8].rstrip("0") if end.condition.startswith("--") else said, box.x - 12.0, middle + 14.0, "small", "end"))
        self._pod(box, backend, y, address)

    def _pod(self, box: Box, backend: model.Backend, y: float, address: str) -> None:
        name = backend.pod or address
        words = [address, *([f"@ {backend.node}"] if backend.node else [])]
        lines = (Line(name), Line("  ".join(words), "small"))
        shown = tuple(Line(fitted(line.text, line.style, PODS - 2 * PAD), line.style) for line in lines)
        ident = self.sheet.name("pod", name)
        kind = "pod" if backend.ip else "pod-waiting"
        pod = self.sheet.box(Box(ident, kind, self.pods_x, y, PODS, CHAIN, shown, "", backend.pod, "eth0", f"{name} {address}"))
        self.sheet.link("path", box, pod, [(box.right, box.middle[1]), (pod.x, pod.middle[1])], arrow=True)

    def _says(self, key: str) -> str:
        return say(key, self.language)
