"""What is broken on purpose in a running lab: links that are cut, lose, delay or throttle packets, and machines that stand still.

All of it is in the lab's own namespaces and processes, so it ends with the lab at the latest.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.cluster import delaystage, linkfault, standstill
from lab.errors import UsageError
from lab.fabric.daemon import Daemon
from lab.fabric.mininet import Host
from lab.fabric.process import must
from lab.model import fault
from lab.model.fault import PERFECT, Quality

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

_PULLED = ("switch", "router", "node", "client", "pod")
"""Which end of a link is switched off to cut it, the first of these: the other one sees a cable without a signal, and keeps its routes."""


class End(NamedTuple):
    """An end of a link."""

    host: Host
    interface: str

    def __str__(self) -> str:
        return f"{self.host.name} {self.interface}"


@dataclass
class Link:
    """A link with a fault.

    near, far   its ends; `near` is that of the machine which the fault was asked for
    quality     what the link does to what leaves by an end; an end that is not there is perfect
    stages      delay stages, by the end they are behind
    down        whether it is cut
    routes      of the end that is switched off: what the kernel has forgotten with it
    """

    near: End
    far: End
    quality: dict[End, Quality] = field(default_factory=dict)
    stages: dict[End, Daemon] = field(default_factory=dict)
    down: bool = False
    routes: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[End, End]:
        """Both ends."""
        return self.near, self.far

    @property
    def pulled(self) -> End:
        """The end that is switched off when the link is cut."""
        return min(self.ends, key=lambda end: _PULLED.index(end.host.kind))

    @property
    def perfect(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.down and all(one == PERFECT for one in self.quality.values())


class Faults:
    """The faults of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._links: dict[frozenset[End], Link] = {}
        self._paused: dict[Host, standstill.Stopped] = {}

    def act(self, who: str, words: str, way: str = "both", interface: str = "") -> None:
        """Do what `lab fault WHO WORDS` does. `interface`: which of the machine's, where it has several; its only one by default.

        Raises UsageError for wrong words and names, MachineError for what this kernel cannot do.
        """
        from lab.cluster import control

        wish = fault.parse(shlex.split(words), way)
        host = self._cluster.host(control.resolve(self._cluster, who))
        self._prune()
        if wish.action == "pause":
            self._pause(host)
        elif wish.action == "resume":
            self._resume(host)
        elif wish.action == "clear":
            self._clear(host, interface)
        else:
            link = self._link(host, interface)
            try:
                if wish.action:
                    self._switch(link, wish.action == "down")
                else:
                    self._degrade(link, wish, next(end for end in link.ends if end.host is host))
            finally:  # what became of it until something was refused, too
                self._keep(link)

    def clear(self) -> None:
        """Take every fault away."""
        self._prune()
        for host in list(self._paused):
            self._resume(host)
        for link in list(self._links.values()):
            self._mend(link)

    def forget(self, machine: str) -> None:
        """A machine is about to go: so do the faults of its links, and what they need."""
        for ends, link in list(self._links.items()):
            if machine in (link.near.host.name, link.far.host.name):
                _end_stages(link)
                del self._links[ends]
        self._paused = {host: stopped for host, stopped in self._paused.items() if host.name != machine}

    def end(self) -> None:
        """The lab ends: kill the stages."""
        for link in self._links.values():
            _end_stages(link)

    def rows(self) -> list[dict[str, Any]]:
        """Every fault: `machine`, `text`, and of a link `interface`, `peer`, `peerInterface`, `down`, `out` and `in` with loss, delayMs, rate."""
        self._prune()
        found = [{"machine": host.name, "text": "paused: its processes are stopped"} for host in self._paused]
        return found + [_row(link) for link in self._links.values()]

    def is_paused(self, machine: str) -> bool:
        """Whether a machine stands still."""
        return any(host.name == machine for host in self._paused)

    def losing(self, machine: str) -> Iterator[tuple[str, str, str]]:
        """The links of a machine that lose packets: the interface, the way as the machine sees it, and `down` or `loss 30 %`."""
        for link in self._links.values():
            for near, far in (link.ends, link.ends[::-1]):
                for way, end in (("out", near), ("in", far)):
                    loss = link.quality.get(end, PERFECT).loss
                    if near.host.name == machine and (link.down or loss):
                        yield near.interface, way, "down" if link.down else f"loss {loss:g} %"

    def _link(self, host: Host, interface: str) -> Link:
        """The link at a machine's interface, as it is known or new."""
        ends = list(self._ends(host))
        known = [near.interface for near, _ in ends]
        if interface and interface not in known:
            raise UsageError(f"{host.name} has no link at {interface!r}; it has {', '.join(known) or 'none'}")
        fitting = [pair for pair in ends if not interface or pair[0].interface == interface]
        if not fitting:
            raise UsageError(f"{host.name} has no link that could be broken")
        if len(fitting) > 1:
            others = ", ".join(f"{near.interface} to {far.host.name}" for near, far in fitting)
            raise UsageError(f"{host.name} has several links, say which, as in `lab fault -i {known[0]} {host.name} down`: {others}")
        near, far = fitting[0]
        return self._links.get(frozenset((near, far))) or Link(near, far)

    def _ends(self, host: Host) -> Iterator[tuple[End, End]]:
        for wire in self._cluster.network.links:
            for one, other in ((wire.intf1, wire.intf2), (wire.intf2, wire.intf1)):
                if one.node is host:
                    yield End(host, one.name), End(other.node, other.name)
        place = self._cluster.pod_hosts.wire_of(host.name) if host.kind == "pod" else None
        if place is not None:
            node, veth = place
            yield End(host, "eth0"), End(self._cluster.host(node), veth)

    def _keep(self, link: Link) -> None:
        if link.perfect:
            self._links.pop(frozenset(link.ends), None)
        else:
            self._links[frozenset(link.ends)] = link

    def _degrade(self, link: Link, wish: fault.Wish, near: End) -> None:
        linkfault.need_tc()
        far = link.far if near == link.near else link.near
        for end in {"both": (near, far), "out": (near,), "in": (far,)}[wish.way]:
            self._set(link, end, link.quality.get(end, PERFECT).changed(wish.values))

    def _set(self, link: Link, end: End, quality: Quality) -> None:
        """Let an end have a quality, in place of what it had."""
        namespace, interface = end.host.namespace, end.interface
        linkfault.clear(namespace, interface)
        if end in link.stages:
            link.stages.pop(end).stop()
        link.quality.pop(end, None)
        if linkfault.set_netem(namespace, interface, quality):
            link.quality[end] = quality
            return
        stage = ""
        if quality.delay:
            link.stages[end], stage = delaystage.start(namespace, interface, quality.delay)
        try:
            linkfault.set_filters(namespace, interface, quality, stage)
        except BaseException:
            if end in link.stages:
                link.stages.pop(end).stop()
            raise
        link.quality[end] = quality

    def _switch(self, link: Link, down: bool) -> None:
        """Cut a link, or join it again."""
        host, interface = link.pulled
        if down and not link.down:
            shown = must(host.run(["ip", "-4", "route", "show", "dev", interface]))
            link.routes = tuple(line.strip() for line in shown.splitlines() if "proto kernel" not in line)
        if down != link.down:
            must(host.run(["ip", "link", "set", interface, "down" if down else "up"]))
            link.down = down
        if not down:
            for route in link.routes:  # one whose gateway has gone meanwhile stays away
                host.run(["ip", "route", "replace", *route.replace(" linkdown", "").split(), "dev", interface])
            link.routes = ()

    def _clear(self, host: Host, interface: str) -> None:
        if not interface:
            self._resume(host)
        for link in list(self._links.values()):
            if any(end.host is host and interface in ("", end.interface) for end in link.ends):
                self._mend(link)

    def _mend(self, link: Link) -> None:
        self._switch(link, False)
        for end in list(link.quality):
            self._set(link, end, PERFECT)
        self._keep(link)

    def _pause(self, host: Host) -> None:
        if host in self._paused:
            raise UsageError(f"{host.name} is paused already; `lab fault {host.name} resume` lets it go on")
        pods = self._cluster.pod_hosts.of_node(host.name) if host.kind == "node" else []
        spared = {stage.pid for link in self._links.values() for stage in link.stages.values()}
        runtime = self._cluster.daemons.get(host.name, {}).get("runtime")
        if runtime is not None:  # the lab's own hand on the pods; nothing of it shows on the network
            spared.add(runtime.pid)
        self._paused[host] = standstill.stop([one.namespace for one in (host, *pods)], spared)

    def _resume(self, host: Host) -> None:
        stopped = self._paused.pop(host, None)
        if stopped is not None:
            standstill.go_on(stopped)

    def _prune(self) -> None:
        """Forget the faults of machines that have gone: pods end, nodes leave."""
        known = self._cluster.network.nameToNode
        gone = {end.host for link in self._links.values() for end in link.ends} | set(self._paused)
        for host in gone:
            if known.get(host.name) is not host:
                self.forget(host.name)


def _end_stages(link: Link) -> None:
    while link.stages:
        link.stages.popitem()[1].kill()


def _row(link: Link) -> dict[str, Any]:
    out, back = (link.quality.get(end, PERFECT) for end in link.ends)
    parts = ["down"] if link.down else []
    if out == back and out != PERFECT:
        parts.append(f"{out}, both ways")
    else:
        parts += [f"{quality} {way}" for quality, way in ((out, "out"), (back, "in")) if quality != PERFECT]
    parts += [f"the process that delays at {end} has ended" for end, stage in link.stages.items() if stage.ended() is not None]
    return {
        "machine": link.near.host.name, "interface": link.near.interface, "peer": link.far.host.name, "peerInterface": link.far.interface,
        "down": link.down, "out": _quality(out), "in": _quality(back), "text": f"link {link.near.interface} - {link.far}: {'; '.join(parts)}",
    }  # fmt: skip


def _quality(quality: Quality) -> dict[str, float]:
    fields = dataclasses.asdict(quality)
    return {"loss": fields["loss"], "delayMs": fields["delay"], "rate": fields["rate"]}
