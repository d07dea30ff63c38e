"""Takes one trace in a running cluster: taps and tracers everywhere, the probe, and then what the machines know of it.

Everything is taken away again at the end, also when the trace is interrupted; outside of a trace nothing of it exists.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.cluster import control, delaystage, targets
from lab.cluster.targets import Target
from lab.errors import LabError, UsageError
from lab.fabric.daemon import Daemon
from lab.fabric.mininet import Host
from lab.fabric.namespace import Namespace
from lab.kubeproxy import names
from lab.kubeproxy.backends import ServicePortView, view
from lab.observe.decode import Tunnel
from lab.observe.trace import bundles, filters, nfnetlink, rtnetlink
from lab.observe.trace.correlate import correlate, questions
from lab.observe.trace.probe import NUMBERS, Probe, Protocol, nft_matches
from lab.observe.trace.recording import Machine, Names, Recording
from lab.observe.trace.rulelog import Pass
from lab.observe.trace.sender import Sender
from lab.observe.trace.taps import Taps
from lab.observe.trace.tracers import Tracers

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

PATIENCE = 0.8
"""Seconds to wait for an answer: less than the second after which TCP sends its SYN again."""
LONGEST = 5.0
"""Seconds that a user may let it wait: other commands to the lab wait for a trace to end."""
LARGEST = 65000
_MANY_PODS = 64
_LEGACY = "they are iptables-legacy's, of which the kernel tells only in its own log (iptables-nft's are shown)"


@dataclass(frozen=True)
class Wish:
    """A trace as it is asked for.

    source     the machine that sends, or the beginning of its name
    target     lab.cluster.targets.find
    protocol   None: as the target suggests
    size       bytes of payload of a UDP or ICMP probe; 0: the least
    patience   seconds to wait for the answer
    rules      whether to watch netfilter's rules
    """

    source: str
    target: str
    protocol: Protocol | None = None
    size: int = 0
    dont_fragment: bool = False
    patience: float = PATIENCE
    rules: bool = True


def record(cluster: Cluster, wish: Wish, tunnels: dict[int, Tunnel]) -> Recording:
    """Send the probe and write down all that can be known of its journey.

    tunnels   UDP port -> what datagrams to it carry
    Raises UsageError for what the wish names wrongly, CommandError when the probe cannot be sent at all.
    """
    _check(wish)
    cluster.pod_hosts.refresh()
    source = cluster.host(control.resolve(cluster, wish.source))
    target = targets.find(cluster, wish.target, wish.protocol)
    machines = _listening(cluster, source, target)
    able, unable = _watchable(machines) if wish.rules else ({}, {})
    with Sender(source.namespace, target.protocol, target.address, target.port, wish.size, wish.dont_fragment) as sender:
        matches = [*nft_matches(sender.probe, dict(tunnels))]
        with Tracers(able, matches) as tracers, Taps(machines, filters.program(sender.probe, tunnels), bundles.marks(sender.probe)) as taps:
            lost = {host.name: _lost(host.namespace, tunnels) for host in cluster.nodes}
            start = time.time_ns()
            sender.send()
            if not sender.failed:
                taps.until(sender, wish.patience)
            taps.drain()
            passes = tracers.passes()
            names = _names(cluster, target.protocol)
            found = Recording(sender.probe, source.name, wish.target, start, sender.outcome, wish.patience, dict(tunnels), names)
            frames = (
                frame
                for bundle in taps.frames
                for frame in bundles.apart(bundle, tunnels)
                if bundles.worth_keeping(frame, bundles.marks(sender.probe)) and not frame.place.interface.startswith(delaystage.PREFIX)
            )
            found = replace(found, frames=tuple(sorted(frames, key=lambda one: one.time)))
            found = replace(found, machines=_machines(cluster, found, passes, unable | tracers.troubles))
            lost = {name: max(_lost(machines[name], tunnels) - before, 0) for name, before in lost.items()}
            found = replace(found, machines=tuple(replace(one, lost=lost.get(one.name, 0)) for one in found.machines))
    return _explained(cluster, replace(found, missed=taps.missed))


def _listening(cluster: Cluster, source: Host, target: Target) -> dict[str, Namespace]:
    """The machines to listen on: all. Of very many pods, only those that can send or answer: closing a packet socket takes milliseconds."""
    hosts = cluster.network.hosts
    if sum(host.kind == "pod" for host in hosts) > _MANY_PODS:
        answering = {str(target.address)} | {
            str(backend.ip)
            for one in view(cluster.services, cluster.all_endpoints)
            if target.address in (one.cluster_ip, *one.service.external_ips) or target.port == one.port.node_port
            for backend in one.backends
        }
        hosts = [host for host in hosts if host.kind != "pod" or host is source or answering & {card.ip for card in host.intfList()}]
    return {host.name: host.namespace for host in hosts}


def _check(wish: Wish) -> None:
    if not 0 < wish.patience <= LONGEST:
        raise UsageError(f"{wish.patience:g} s to wait for an answer: say more than 0 and at most {LONGEST:g}")
    if not 0 <= wish.size <= LARGEST:
        raise UsageError(f"a payload of {wish.size} bytes: say 0 to {LARGEST}")
    if wish.protocol == "tcp" and (wish.size or wish.dont_fragment):
        raise UsageError("a TCP probe is a connection, whose first packet carries nothing: --size and --df are for --udp and --icmp")


def _watchable(machines: Mapping[str, Namespace]) -> tuple[dict[str, Namespace], dict[str, str]]:
    """The machines with rules that can be watched, and the others with rules, with the reason why they cannot."""
    from lab.fabric import requirements

    able, unable = {}, {}
    for name, namespace in machines.items():
        if not nfnetlink.tables(namespace):
            if nfnetlink.legacy_tables(namespace):
                unable[name] = _LEGACY
        elif requirements.find("nft") is None:
            unable[name] = "there is no program nft here; `lab doctor` tells how to get it"
        else:
            able[name] = namespace
    return able, unable


def _machines(cluster: Cluster, found: Recording, passes: Mapping[str, tuple[Pass, ...]], why: Mapping[str, str]) -> tuple[Machine, ...]:
    """What the machines that the packet was seen on know of it."""
    seen = dict.fromkeys([found.source, *(frame.place.machine for frame in found.frames)])
    return tuple(_machine(cluster, found.probe, cluster.network.nameToNode[name], passes, why) for name in seen)


def _machine(cluster: Cluster, probe: Probe, host: Host, passes: Mapping[str, tuple[Pass, ...]], why: Mapping[str, str]) -> Machine:
    name = host.name
    return Machine(
        name, host.kind,
        cards=rtnetlink.cards(host.namespace),
        daemons=tuple((daemon.name, _state(daemon)) for daemon in cluster.daemons.get(name, {}).values()),
        forwards=_forwards(host.namespace),
        passes=passes.get(name, ()),
        untraced=why.get(name, ""),
        conntrack=_conntrack(host, probe) if host.kind == "node" else (),
        faults=tuple(cluster.faults.losing(name)),
    )  # fmt: skip


def _state(daemon: Daemon) -> str:
    """running, stopped (by a signal) or dead."""
    if daemon.ended() is not None:
        return "dead"
    try:
        text = Path(f"/proc/{daemon.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "dead"
    return "stopped" if text.rpartition(")")[2].split()[0] in "tT" else "running"


def _forwards(namespace: Namespace) -> bool:
    with namespace.entered():
        return Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip() != "0"


def _lost(namespace: Namespace, tunnels: Mapping[int, Tunnel]) -> int:
    """How many datagrams have found the buffer of a flanneld's socket full (the last column of /proc/net/udp)."""
    with namespace.entered():
        rows = [line.split() for line in Path("/proc/thread-self/net/udp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if tunnels.get(int(row[1].rpartition(":")[2], 16)) == "ip")


def _conntrack(host: Host, probe: Probe) -> tuple[str, ...]:
    """The entries of the probe's connection: those with its source port, or of ICMP its identifier, which masquerading rarely changes."""
    argv = ["conntrack", "-L", "-f", "ipv4", "-p", probe.protocol]
    try:
        ran = host.run([*argv, "--sport", str(probe.source_port)] if probe.protocol != "icmp" else argv, timeout=3.0)
    except LabError:
        return ()
    mark = f"id={probe.source_port} " if probe.protocol == "icmp" else f"sport={probe.source_port} "
    return tuple(" ".join(line.split()) for line in ran.stdout.splitlines() if mark in line)


def _explained(cluster: Cluster, found: Recording) -> Recording:
    """With the answers to the questions that the journey leaves; where it was lost, also with the neighbours that do not answer."""
    journey = correlate(found)
    hosts = cluster.network.nameToNode
    routes = tuple((question, rtnetlink.route(hosts[question.machine].namespace, question)) for question in questions(journey))
    if journey.arrived:
        return replace(found, routes=routes)
    machines = tuple(replace(one, neighbours=rtnetlink.unanswered(hosts[one.name].namespace)) for one in found.machines)
    return replace(found, routes=routes, machines=machines)


def _names(cluster: Cluster, protocol: Protocol) -> Names:
    """Names for the numbers of the cluster. Without an apiserver that answers, those of the machines alone.

    protocol   of two service ports with one number, whose is meant
    """
    addresses = {interface.ip: host.name for host in cluster.network.hosts for interface in host.intfList() if interface.ip}
    addresses.update((str(bridge.ip), f"{node} docker0") for node, (bridge, _) in cluster.bridges.items())
    try:
        pods = {str(pod.pod_ip): pod.name for pod in cluster.pod_objects.values() if pod.pod_ip is not None}
        ports = sorted(view(cluster.services, cluster.all_endpoints), key=lambda one: one.protocol == protocol)
    except LabError:
        return Names(addresses)
    hosts = set(addresses)
    addresses.update((address, name) for address, name in pods.items() if address not in hosts)
    empty = tuple(sorted({f"{one.service.namespace}/{one.service.name}" for one in ports if not one.backends}))
    return Names(addresses, _services(ports), _chains(ports, addresses), empty)


def _services(ports: Sequence[ServicePortView]) -> dict[str, str]:
    found = {}
    for one in ports:
        for address in (one.cluster_ip, *one.service.external_ips):
            found[f"{address}:{one.port.port}"] = _plain(one)
        if one.port.node_port:
            found[f":{one.port.node_port}"] = _plain(one)
    return found


def _plain(one: ServicePortView) -> str:
    return one.name.removesuffix(":")


def _chains(ports: Sequence[ServicePortView], addresses: dict[str, str]) -> dict[str, str]:
    """kube-proxy's chains, whose names are hashes, with what each is about."""
    found = {}
    for one in ports:
        for prefix in (names.SERVICE, names.FIREWALL, names.LOCAL, "KUBE-EXT-", "KUBE-SVL-"):
            found[names.chain(prefix, one.name, one.protocol)] = _plain(one)
            found[names.chain(prefix, _plain(one), one.protocol)] = _plain(one)
        for backend in one.backends:
            about = addresses.get(str(backend.ip), backend.text)
            for name in (one.name, _plain(one)):
                found[names.chain(names.ENDPOINT, name, one.protocol, backend.text)] = about
    return found


def protocol_of(word: str | None) -> Protocol | None:
    """A protocol's name, checked."""
    if word is not None and word not in NUMBERS:
        raise UsageError(f"no protocol {word!r}: say tcp, udp or icmp")
    return word  # type: ignore[return-value]
