"""How people are told of packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from lab.observe.decode import decode
from lab.observe.packet import Packet as Seen
from lab.observe.sighting import Place, Sighting, lines, ordered, text

ECHO = IP(src="10.244.1.145", dst="10.244.2.246", ttl=62) / ICMP(type=8, id=7, seq=1) / Raw(bytes(56))
OUTER = IP(src="10.229.53.146", dst="10.229.45.161", ttl=64) / UDP(sport=8285, dport=8285)
REFUSED = IPerror(src="10.244.1.145", dst="10.244.77.7", ttl=63, len=34, proto=17) / UDPerror(sport=1000, dport=5000, len=14)

TOLD: dict[str, tuple[Packet, str]] = {
    "echo": (ECHO, "10.244.1.145 > 10.244.2.246 ICMP echo request id 7 seq 1 ttl 62, 84 bytes"),
    "wrapped": (
        OUTER / ECHO,
        "10.229.53.146:8285 > 10.229.45.161:8285 UDP ttl 64, 112 bytes | "
        "10.244.1.145 > 10.244.2.246 ICMP echo request id 7 seq 1 ttl 62, 84 bytes",
    ),
    "vxlan": (
        IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=40000, dport=8472) / VXLAN(vni=1, flags="Instance") / Ether() / ECHO,
        "10.0.0.1:40000 > 10.0.0.2:8472 UDP VXLAN vni 1 ttl 64, 134 bytes | "
        "10.244.1.145 > 10.244.2.246 ICMP echo request id 7 seq 1 ttl 62, 84 bytes",
    ),
    "tcp": (
        IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40000, dport=80, flags="SA"),
        "10.0.0.1:40000 > 10.0.0.2:80 TCP SYN,ACK ttl 64, 40 bytes",
    ),
    "unreachable": (
        IP(src="10.244.1.0", dst="10.244.1.145", ttl=8) / ICMP(type=3, code=0) / REFUSED,
        "10.244.1.0 > 10.244.1.145 ICMP net unreachable ttl 8, 56 bytes (about 10.244.1.145:1000 > 10.244.77.7:5000 UDP ttl 63, 34 bytes)",
    ),
    "too long": (
        IP(src="10.244.1.1", dst="10.244.1.145") / ICMP(type=3, code=4, nexthopmtu=1472),
        "10.244.1.1 > 10.244.1.145 ICMP fragmentation needed (mtu=1472) ttl 64, 28 bytes",
    ),
    "strange icmp": (IP(src="1.1.1.1", dst="2.2.2.2") / ICMP(type=13), "1.1.1.1 > 2.2.2.2 ICMP type 13 code 0 ttl 64, 40 bytes"),
    "strange protocol": (IP(src="1.1.1.1", dst="2.2.2.2", proto=99), "1.1.1.1 > 2.2.2.2 protocol 99 ttl 64, 20 bytes"),
    "fragment": (
        IP(src="1.1.1.1", dst="2.2.2.2", frag=185, proto=17) / Raw(bytes(8)),
        "1.1.1.1 > 2.2.2.2 UDP fragment at 1480 ttl 64, 28 bytes",
    ),
}


@pytest.mark.parametrize(("made", "told"), TOLD.values(), ids=TOLD.keys())
def test_a_packet_on_one_line(made: Packet, told: str) -> None:
    assert text(decode(bytes(made), "ip")) == told


def test_frames_without_ip() -> None:
    mac = "02:42:0a:f4:01:01"
    assert text(decode(bytes(Ether() / ARP(op=1, psrc="172.17.0.3", pdst="172.17.0.4")))) == "ARP who has 172.17.0.4? tell 172.17.0.3"
    assert text(decode(bytes(Ether() / ARP(op=2, hwsrc=mac, psrc="172.17.0.4")))) == f"ARP 172.17.0.4 is at {mac}"
    frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff", type=0x88CC) / Raw(b"ab")
    assert text(decode(bytes(frame))) == f"{mac} > ff:ff:ff:ff:ff:ff type 0x88cc, 16 bytes"
    assert text(decode(b"abc")) == "3 bytes (too short for Ethernet)"


def test_sightings_name_their_places_and_the_time_since_the_first() -> None:
    sightings = [
        Sighting(1_000_000, Place("zenlinnode1", "flannel0"), "out", decode(bytes(ECHO), "ip")),
        Sighting(1_158_400, Place("zenlinnode1", "eth0"), "out", decode(bytes(OUTER / ECHO), "ip")),
        Sighting(3_000_000, Place("zenlinnode2", "eth0"), "in", decode(bytes(OUTER / ECHO), "ip")),
    ]
    echo = "10.244.1.145 > 10.244.2.246 ICMP echo request id 7 seq 1 ttl 62, 84 bytes"
    outer = "10.229.53.146:8285 > 10.229.45.161:8285 UDP ttl 64, 112 bytes"
    assert lines(sightings) == (
        *("zenlinnode1 flannel0, out, 0 µs", f"    {echo}"),
        *("zenlinnode1 eth0, out, 158 µs", f"    {outer}", f"    | {echo}"),
        *("zenlinnode2 eth0, in, 2000 µs", f"    {outer}", f"    | {echo}"),
    )
    assert lines([]) == ()


def test_equal_times_are_put_in_the_order_of_the_way() -> None:
    port, bridge, eth0, tunnel = (Place("zenlinnode1", name) for name in ("veth1", "docker0", "eth0", "flannel.1"))
    bare, wrapped = decode(bytes(ECHO), "ip"), decode(bytes(OUTER / ECHO), "ip")
    first, second = Sighting(5, eth0, "in", wrapped), Sighting(5, tunnel, "in", bare)
    assert ordered([second, first], [tunnel, eth0]) == (first, second), "unwrapped after it was wrapped"
    first, second = Sighting(5, port, "in", bare), Sighting(5, bridge, "in", bare)
    assert ordered([second, first], [port, bridge]) == (first, second), "as the places were named"
    assert ordered([first, Sighting(4, bridge, "in", bare)], [port, bridge])[0].time == 4


@given(st.binary(max_size=120), st.sampled_from(["ethernet", "ip"]))
def test_anything_can_be_told_on_one_line(raw: bytes, link: str) -> None:
    assert "\n" not in text(decode(raw, link))  # type: ignore[arg-type]


def test_the_least_there_can_be_has_a_text() -> None:
    assert str(Place("router", "eth1")) == "router eth1"
    assert text(Seen(0)) == "0 bytes"
