"""The names and addresses of the article's second half, and small helpers that read captures."""

from __future__ import annotations

from lab.scenario import Text

FNSSV, NWZK9 = "ubuntu-k8s-deployment-623915768-fnssv", "ubuntu-k8s-deployment-623915768-nwzk9"
IP1, IP2 = "10.244.1.145", "10.244.2.246"
NODE1, NODE2 = "zenlinnode1", "zenlinnode2"
NODE_IP1, NODE_IP2 = "10.229.53.146", "10.229.45.161"
OVERHEAD = 28
"""Bytes of the outer headers: 20 of IP, 8 of UDP."""

PING = f"ping -c 1 -W 2 -p 68656c6c6f {IP2}"
"""One packet whose payload is the word hello, again and again; 68656c6c6f is how it is written in hexadecimal."""

SENDER = [(FNSSV, "eth0"), (NODE1, "docker0"), (NODE1, "flannel0")]
WIRE = [(NODE1, "eth0"), ("router", "eth1"), ("router", "eth2"), (NODE2, "eth0")]
RECEIVER = [(NODE2, "flannel0"), (NODE2, "docker0"), (NWZK9, "eth0")]
ARRIVES = Text("the other pod answers", "对端 Pod 有应答")


def ping(lab, places):
    """Send one packet from the first pod to the second while listening at the places: what was seen of it and of its answer."""
    with lab.capture(places) as seen:
        lab.pod(FNSSV).run(PING).expect("ttl=60", ARRIVES)
    return journey(seen.sightings, IP1, IP2), journey(seen.sightings, IP2, IP1)


def journey(sightings, source, destination):
    """The sightings of ping's packets from one pod to another, wrapped or not, in the order in which they happened."""
    return [one for one in sightings if one.packet.innermost.echo and ends(one.packet.innermost) == (source, destination)]


def ends(packet):
    """Source and destination address."""
    return str(packet.ip.source), str(packet.ip.destination)


def places_of(sightings):
    """Where they were, as text."""
    return [str(one.place) for one in sightings]


def named(places):
    """What `places_of` says of these places."""
    return [f"{machine} {interface}" for machine, interface in places]


def ttls(sightings):
    """The inner TTL at each place."""
    return [one.packet.innermost.ip.ttl for one in sightings]


def outer_ttls(sightings):
    """The TTL that the routers see at each place."""
    return [one.packet.ip.ttl for one in sightings]


def route_table(*rows):
    """What `route -n` prints, for rows of (destination, gateway, mask, flags, interface)."""
    head = ["Kernel IP routing table", "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"]
    return head + [f"{to:<15} {via:<15} {mask:<15} {flags:<5} 0      0        0 {dev}" for to, via, mask, flags, dev in rows]
