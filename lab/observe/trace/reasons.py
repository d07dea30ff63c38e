"""Why a packet was lost: what its last sighting, the rules behind it and the machine there tell together. Pure.

From the surest to the weakest: the kernel's own word to the sender, an ICMP error that was seen, a rule that dropped the packet, a
daemon that is dead, a route or a neighbour that is missing. What none of them explains is told as unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface

from lab.model.text import Text
from lab.observe.packet import FRAGMENTATION_NEEDED, TIME_EXCEEDED, UNREACHABLE, Icmp, Tcp
from lab.observe.trace.journey import Hop, Journey, Loss, RuleHit
from lab.observe.trace.recording import Recording

_DROPS = ("drop", "policy drop", "DROP", "REJECT", "reject")


def loss(recording: Recording, journey: Journey) -> Loss | None:
    """Where and why the journey ended early; None when the reply came back."""
    back = tuple(hop for hop in journey.leg("back") if hop.packet is not None)
    if back and _came_home(recording, back[-1]):
        return _refused(recording, journey, back)
    leg = back or journey.leg("there")
    last = leg[-1]
    for reason in _REASONS:
        found = reason(recording, journey, last)
        if found is not None:
            return _root(recording, journey, found)
    return _unknown(recording, last, bool(back))


def _root(recording: Recording, journey: Journey, found: Loss) -> Loss:
    """A missing route is what a dead flanneld leaves behind: with it goes its device, and with that the route to the pods' network."""
    if found.kind not in ("no-route", "arp"):
        return found
    for interface, way, how in recording.machine(found.machine).faults:
        if (found.kind, interface) == ("arp", found.interface) or how == "down":
            broken = _broken(found.machine, interface, way, how)
            return Loss("fault", found.machine, interface, Text(f"{broken.en}; so {found.text.en}", f"{broken.zh}；于是 {found.text.zh}"))
    if found.kind == "arp":
        return found
    passed = [hop.machine for hop in journey.leg("there")]
    for name in dict.fromkeys(passed):
        if dict(recording.machine(name).daemons).get("flanneld") == "dead" and not any(c.name == "flannel0" for c in recording.machine(name).cards):
            text = Text(f"flanneld on {name} is dead, and its route to the pods with it; so {found.text.en}",
                        f"{name} 上的 flanneld 已死，通往 Pod 的路由也随之消失；于是 {found.text.zh}")  # fmt: skip
            return Loss("flanneld", name, "flannel0", text)
    return found


def _came_home(recording: Recording, last: Hop) -> bool:
    return last.machine == recording.source and last.direction == "in" and bool(last.packet) and not (last.packet and last.packet.wrapped)


def _refused(recording: Recording, journey: Journey, back: tuple[Hop, ...]) -> Loss | None:
    """The reply may be a refusal: TCP's RST says that nobody listens on the port."""
    packet = back[-1].packet
    if packet is None or not isinstance(packet.innermost.transport, Tcp) or "RST" not in packet.innermost.transport.flags:
        return None
    who = back[0].machine
    rejected = _rejecting(recording, journey, back[-1])
    if rejected is not None:
        return rejected
    port = _asked_port(journey)
    text = Text(f"{who} refused: nothing listens on TCP port {port} there", f"{who} 拒绝连接：那里没有程序监听 TCP 端口 {port}")
    return Loss("no-listener", who, back[0].interface, text)


def _asked_port(journey: Journey) -> int:
    there = journey.leg("there")
    packet = there[-1].packet
    transport = packet.innermost.transport if packet else None
    return transport.destination if isinstance(transport, Tcp) else journey.probe.port


def _asked_service(recording: Recording) -> str:
    """The service whose port was asked for; a node port is one on every address."""
    probe, services = recording.probe, recording.names.services
    return services.get(f"{probe.destination}:{probe.port}") or services.get(f":{probe.port}", "")


def _rejecting(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """The rule that dropped or rejected the packet, on either way."""
    for leg in journey.legs:
        for hop in leg.hops:
            for rule in hop.rules:
                if rule.verdict in _DROPS or "reject" in rule.verdict.lower():
                    return _dropped(recording, hop, rule)
    return None


def _dropped(recording: Recording, hop: Hop, rule: RuleHit) -> Loss:
    where = f"{rule.table} {rule.chain}"
    service = _asked_service(recording)
    if service and service in recording.names.empty:
        text = Text(f"the service {service} has no endpoints: {hop.machine} rejects the packet in {where}",
                    f"服务 {service} 没有端点：{hop.machine} 在 {where} 拒绝了这个包")  # fmt: skip
        return Loss("no-endpoints", hop.machine, hop.interface, text, rule)
    if "reject" in f"{rule.verdict} {rule.rule}".lower():
        text = Text(f"{hop.machine} rejected it by a rule in {where}: {rule.rule}", f"{hop.machine} 用 {where} 里的规则拒绝了它：{rule.rule}")
        return Loss("reject", hop.machine, hop.interface, text, rule)
    if not rule.rule:
        return Loss(
            "rule",
            hop.machine,
            hop.interface,
            Text(f"{hop.machine}: the policy of {where} is DROP", f"{hop.machine}：{where} 的默认策略是 DROP"),
            rule,
        )
    text = Text(f"{hop.machine} dropped it by a rule in {where}: {rule.rule}", f"{hop.machine} 用 {where} 里的规则丢弃了它：{rule.rule}")
    return Loss("rule", hop.machine, hop.interface, text, rule)


def _by_error(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """An ICMP message about the probe that some machine sent."""
    errors = [hop for hop in journey.leg("error") if hop.packet]
    if not errors or errors[0].packet is None:
        return None
    packet = errors[0].packet.innermost
    icmp = next((layer.transport for layer in errors[0].packet.layers if isinstance(layer.transport, Icmp)), None)
    who = journey.leg("error")[0].machine
    quoted = next((layer.quoted for layer in errors[0].packet.layers if layer.quoted), None)
    if icmp is None or packet.ip is None:
        return None
    if quoted is not None and quoted.wrapped and (icmp.kind, icmp.code) == (UNREACHABLE, 3):
        return _flanneld_loss(who, "dead")
    return _told(recording, journey, who, errors[0], icmp)


def _told(recording: Recording, journey: Journey, who: str, hop: Hop, icmp: Icmp) -> Loss:
    port = recording.probe.port
    if icmp.kind == TIME_EXCEEDED:
        return Loss("ttl", who, hop.interface, Text(f"its TTL ran out at {who}", f"它的 TTL 在 {who} 耗尽"))
    if icmp.code == FRAGMENTATION_NEEDED:
        text = Text(f"{who}: the packet is larger than the MTU of {icmp.mtu} bytes on the way, and may not be fragmented",
                    f"{who}：包大于前方 {icmp.mtu} 字节的 MTU，又不允许分片")  # fmt: skip
        return Loss("mtu", who, hop.interface, text)
    if icmp.code == 3:
        text = Text(f"{who} refused: nothing listens on UDP port {port} there", f"{who} 拒绝：那里没有程序监听 UDP 端口 {port}")
        return Loss("no-listener", who, hop.interface, text)
    if icmp.code == 0:
        return _no_route(recording, who, hop.interface)
    if icmp.code == 1:
        last = next((one for one in reversed(journey.leg("there")) if one.machine == who), hop)
        return _by_neighbour(recording, journey, last) or _no_route(recording, who, hop.interface)
    words = {9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited"}
    what = words.get(icmp.code, f"ICMP unreachable, code {icmp.code}")
    return Loss("reject", who, hop.interface, Text(f"{who} rejected it: {what}", f"{who} 拒绝了它：{what}"))


def _no_route(recording: Recording, who: str, interface: str) -> Loss:
    goal = str(recording.probe.destination)
    services = [name for spot, name in recording.names.services.items() if spot.rpartition(":")[0] == goal]
    if services and services[0] in recording.names.empty:
        text = Text(f"the service {services[0]} has no endpoints, so no rule rewrites the packet; and {who} has no route to its cluster IP {goal}",
                    f"服务 {services[0]} 没有端点，所以没有规则改写这个包；而 {who} 没有去往其集群 IP {goal} 的路由")  # fmt: skip
        return Loss("no-endpoints", who, interface, text)
    if services:
        what = f"{recording.probe.protocol.upper()}{f' port {recording.probe.port}' if recording.probe.port else ''}"
        text = Text(f"{goal} is the cluster IP of {services[0]}, which no machine has; no rule rewrites {what}, and {who} has no route to it",
                    f"{goal} 是 {services[0]} 的集群 IP，没有任何机器拥有它；没有规则改写 {what}，而 {who} 没有去往它的路由")  # fmt: skip
    else:
        text = Text(f"{who} has no route to {goal}", f"{who} 没有去往 {goal} 的路由")
    return Loss("no-route", who, interface, text)


def _by_kernel(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """What the sender's own kernel said."""
    goal = recording.probe.destination
    if recording.outcome in ("ENETUNREACH", "EHOSTUNREACH") and len(journey.leg("there")) == 1:
        text = Text(f"{recording.source} has no route to {goal}", f"{recording.source} 没有去往 {goal} 的路由")
        return Loss("no-route", recording.source, "", text)
    if recording.outcome == "EMSGSIZE":
        return _too_large(recording)
    if recording.outcome == "EPERM":
        text = Text(f"{recording.source}: a netfilter rule does not let it out", f"{recording.source}：netfilter 规则不让它发出")
        return Loss("rule", recording.source, "", text)
    return None


def _too_large(recording: Recording) -> Loss:
    cards = [card for card in recording.machine(recording.source).cards if card.name != "lo" and card.mtu]
    mtu = min((card.mtu for card in cards), default=0)
    size = recording.probe.size + 28
    text = Text(f"{recording.source}: {size} bytes are more than its interface's MTU of {mtu}, and may not be fragmented",
                f"{recording.source}：{size} 字节大于接口的 MTU {mtu}，又不允许分片")  # fmt: skip
    return Loss("mtu", recording.source, "", text)


def _by_flanneld(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """Handed to a flanneld that does not work: at a TUN device on the way out, or at its UDP port."""
    state = dict(recording.machine(last.machine).daemons).get("flanneld", "running")
    kind = recording.machine(last.machine).card(last.interface).kind
    handed = last.direction == "out" and kind == "tun"
    received = last.direction == "in" and last.packet is not None and last.packet.wrapped
    if state != "running" and (handed or received):
        return _flanneld_loss(last.machine, state)
    lost = recording.machine(last.machine).lost
    if received and lost:
        text = Text(f"flanneld on {last.machine} did not keep up: its socket's buffer was full, and {lost} datagrams were lost meanwhile",
                    f"{last.machine} 上的 flanneld 来不及处理：它的套接字缓冲区已满，期间丢失了 {lost} 个数据报")  # fmt: skip
        return Loss("buffer", last.machine, last.interface, text)
    broken = [(one.name, state) for one in recording.machines for name, state in one.daemons if name == "flanneld" and state != "running"]
    if broken and last.packet and str(last.packet.innermost.ip.destination if last.packet.innermost.ip else "") not in _own(recording, last.machine):
        return _flanneld_loss(*broken[0]) if any(name == last.machine for name, _ in broken) and last.direction == "in" else None
    return None


def _own(recording: Recording, machine: str) -> set[str]:
    return {str(IPv4Interface(one).ip) for card in recording.machine(machine).cards for one in card.addresses}


def _flanneld_loss(machine: str, state: str) -> Loss:
    words = {"stopped": ("is stopped", "已停住"), "dead": ("is dead", "已死")}
    en, zh = words.get(state, words["dead"])
    return Loss("flanneld", machine, "flannel0", Text(f"flanneld on {machine} {en}: nobody carries the packet on",
                                                      f"{machine} 上的 flanneld {zh}：没有人继续运送这个包"))  # fmt: skip


def _by_fault(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """The way out of the machine that had it is broken on purpose. An interface that it was seen to leave by has let it pass."""
    machine = recording.machine(last.machine)
    faults = {interface: how for interface, way, how in machine.faults if way == "out"}
    if last.direction == "out" and last.interface in faults:
        return None
    words = last.route.split()
    device = next((word for before, word in zip(words, words[1:], strict=False) if before == "dev"), "")
    device = device or (last.interface if last.direction == "out" else "")
    ways = [device, *(card.name for card in machine.cards if device and card.master == device)]
    local = words[:1] == ["local"] or device == "lo"
    if local or not device or machine.card(device).kind in ("tun", "vxlan"):  # what it answers, or its tunnel wraps, leaves by one of these
        ways = list(faults)
    broken = [way for way in ways if way in faults]
    if len(broken) != 1:
        return None
    return Loss("fault", last.machine, broken[0], _broken(last.machine, broken[0], "out", faults[broken[0]]))


def _broken(machine: str, interface: str, way: str, how: str) -> Text:
    if how == "down":
        return Text(f"the cable at {machine} {interface} is pulled (`lab fault`)", f"{machine} {interface} 的网线被拔掉了（`lab fault`）")
    en, zh = {"out": ("sends", "发出"), "in": ("is sent", "收到")}[way]
    return Text(f"the link at {machine} {interface} loses what {machine} {en}, by `lab fault` ({how})",
                f"{machine} {interface} 的链路会丢失 {machine} {zh}的包，这是 `lab fault` 设置的（{how}）")  # fmt: skip


def _by_routing(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """The machine had it, and did not know where to, or does not forward."""
    if last.packet is None or last.direction != "in" or last.packet.innermost.ip is None:
        return None
    goal = str(last.packet.innermost.ip.destination)
    if goal in _own(recording, last.machine):
        return None
    if "unreachable" in last.route.lower() or "no route" in last.route.lower() or last.route.startswith("error"):
        text = Text(f"{last.machine} has no route to {goal}", f"{last.machine} 没有去往 {goal} 的路由")
        return Loss("no-route", last.machine, last.interface, text)
    if not recording.machine(last.machine).forwards and recording.machine(last.machine).kind != "switch":
        text = Text(f"{last.machine} does not forward packets (ip_forward is 0), and {goal} is not its own",
                    f"{last.machine} 不转发包（ip_forward 为 0），而 {goal} 不是它自己的地址")  # fmt: skip
        return Loss("forwarding", last.machine, last.interface, text)
    return None


def _by_neighbour(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """The machine that had the packet last asked for the next one's MAC. Neighbours that were missed before, by others, do not count."""
    asked = {line.split()[0]: line.split()[-1] for line in recording.machine(last.machine).neighbours if line}
    goal = str(recording.probe.destination)
    if last.packet is not None and last.packet.innermost.ip is not None:
        goal = str(last.packet.innermost.ip.destination)
    words = last.route.split()
    following = [goal, *(word for before, word in zip(words, words[1:], strict=False) if before == "via")]
    found = next((address for address in following if address in asked), None)
    return _arp_loss(last.machine, asked[found], found) if found else None


def _arp_loss(machine: str, interface: str, address: str) -> Loss:
    text = Text(f"{machine} asked by ARP for {address}, and nobody answered", f"{machine} 用 ARP 询问 {address}，没有人应答")
    return Loss("arp", machine, interface, text)


def _by_owner(recording: Recording, journey: Journey, last: Hop) -> Loss | None:
    """It reached who has the address, and nothing came back."""
    if last.packet is None or last.direction != "in" or last.packet.innermost.ip is None or last.packet.wrapped:
        return None
    if str(last.packet.innermost.ip.destination) not in _own(recording, last.machine):
        return None
    seconds = f"{recording.waited:g}"
    text = Text(f"it reached {last.machine}, which did not answer within {seconds} s", f"它到达了 {last.machine}，但对方在 {seconds} 秒内没有应答")
    return Loss("no-answer", last.machine, last.interface, text)


def _unknown(recording: Recording, last: Hop, answered: bool) -> Loss:
    what = Text("the reply", "应答") if answered else Text("the packet", "这个包")
    place = f"{last.machine} {last.interface}".strip()
    if last.interface:
        text = Text(
            f"{what.en} was last seen at {place}; why it went no further is not known", f"{what.zh}最后出现在 {place}；为什么没有继续前进，尚不清楚"
        )
    else:
        text = Text(f"{what.en} never left {place} ({recording.outcome})", f"{what.zh}没有离开 {place}（{recording.outcome}）")
    return Loss("unknown", last.machine, last.interface, text)


Reason = Callable[[Recording, Journey, Hop], "Loss | None"]
_REASONS: tuple[Reason, ...] = (_rejecting, _by_error, _by_kernel, _by_flanneld, _by_fault, _by_routing, _by_owner, _by_neighbour)
