"""Journeys made from recorded traces: what real packets did in a real lab, told again without one.

The recordings are `lab.observe.trace.recording.Recording.to_json()` of traces in the labs named beside them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.observe.sighting import Place
from lab.observe.trace import pcapng
from lab.observe.trace.correlate import correlate, questions
from lab.observe.trace.journey import Journey
from lab.observe.trace.recording import Recording, from_json
from lab.report import journey as table
from lab.report import ladder

RECORDINGS = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))
NODE1, NODE2, POD1, POD2 = "zenlinnode1", "zenlinnode2", "nginx-deployment-1885164871-dzls7", "nginx-deployment-1885164871-q37zh"
CLIENT = "ubuntu-zenlinnode1"


def recording(name: str) -> Recording:
    return from_json(json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")))


def journey(name: str) -> Journey:
    return correlate(recording(name))


def test_a_service_request_between_nodes_shows_everything_on_its_way() -> None:
    found = journey("service-udp")
    assert found.arrived and found.outcome == "connected"
    assert found.places_of("there") == [
        f"{CLIENT} eth0", f"{NODE1} vethe4793747", f"{NODE1} docker0", f"{NODE1} flannel0", f"{NODE1} eth0", "router eth1", "router eth2",
        f"{NODE2} eth0", f"{NODE2} flannel0", f"{NODE2} docker0", f"{POD2} eth0",
    ]  # fmt: skip
    assert found.places_of("back") == [place for place in reversed(found.places_of("there")) if "veth" not in place]
    assert found.changes_of("there") == ["dnat", "encapsulation", "decapsulation"]
    assert found.changes_of("back") == ["encapsulation", "decapsulation", "un-dnat"]
    chain = [(rule.chain, rule.verdict, rule.about) for rule in found.leg("there")[2].rules]
    assert chain == [
        ("PREROUTING", "jump KUBE-SERVICES", ""),
        ("KUBE-SERVICES", "jump KUBE-SVC-GKN7Y2BSGW4NJTYL", "default/nginx-service"),
        ("KUBE-SVC-GKN7Y2BSGW4NJTYL", "jump KUBE-SEP-YEFU7DZX4NWUTRQS", POD2),
        ("KUBE-SEP-YEFU7DZX4NWUTRQS", "DNAT", POD2),
    ]
    assert all(rule.rule.startswith(f"-A {rule.chain} ") and rule.meaning for rule in found.leg("there")[2].rules)
    ttls = [hop.packet.innermost.ip.ttl for hop in found.leg("there") if hop.packet and hop.packet.innermost.ip]
    assert ttls == [64, 64, 64, 63, 62, 62, 62, 62, 61, 60, 60, 60]
    assert [entry.nat for entry in found.conntrack] == [True, False]
    assert {hop.route for hop in found.leg("there") if hop.machine == NODE1} >= {
        "10.244.2.199 dev flannel0",
        "10.229.45.161 via 10.229.52.1 dev eth0",
    }


def test_the_same_with_vxlan_and_with_nftables() -> None:
    vxlan = journey("service-vxlan")
    assert vxlan.places_of("there")[3:5] == [f"{NODE1} flannel.1", f"{NODE1} eth0"]
    assert vxlan.changes_of("there") == ["dnat", "encapsulation", "decapsulation"] and vxlan.changes_of("back")[-1] == "un-dnat"
    nft = journey("service-nftables")
    assert nft.changes_of("there") == ["dnat", "masquerade", "encapsulation", "decapsulation"]
    assert nft.changes_of("back") == ["encapsulation", "decapsulation", "un-snat", "un-dnat"]
    assert [rule.verdict for rule in nft.leg("there")[0].rules if rule.chain == "services"][0].startswith("goto service-UOJBH74F-default/nginx")
    assert any(rule.rule == "masquerade fully-random" for rule in nft.rules)


def test_a_dns_reply_is_known_though_it_repeats_nothing_of_the_mark() -> None:
    found = journey("dns")
    assert found.arrived and found.outcome == "answered" and found.changes_of("back")[-1] == "un-dnat"
    (undone,) = [change for hop in found.leg("back") for change in hop.changes if change.kind == "un-dnat"]
    assert (undone.after, undone.name) == ("10.96.0.10:53", "kube-system/kube-dns:dns"), "of the two ports with this number the probe's"


def test_from_outside_by_a_node_port_and_back() -> None:
    found = journey("nodeport")
    assert found.changes_of("there") == ["dnat", "masquerade", "encapsulation", "decapsulation"]
    assert found.changes_of("back") == ["encapsulation", "decapsulation", "un-snat", "un-dnat"]
    (undone,) = [change for hop in found.leg("back") for change in hop.changes if change.kind == "un-snat"]
    assert (undone.after.split(":")[0], undone.name) == ("192.168.88.10", "client")


def test_a_hairpin_stays_on_the_bridge_and_is_masqueraded() -> None:
    found = journey("hairpin")
    assert found.leg("there")[-1].machine == found.source == POD1
    assert found.changes_of("there") == ["dnat", "masquerade"] and found.changes_of("back") == ["un-snat", "un-dnat"]


def test_a_bridges_ports_are_told_where_the_bridge_itself_saw_nothing() -> None:
    found = journey("same-node")
    assert [place.split()[0] for place in found.places_of("there")] == [CLIENT, NODE1, NODE1, POD1]
    assert not any(hop.interface == "docker0" for hop in found.leg("there"))


def test_fragments_are_followed_through_reassembly_and_tunnel() -> None:
    found = journey("fragments")
    assert found.arrived and found.changes_of("there") == ["reassembly", "fragmentation", "encapsulation", "decapsulation"]
    offsets = [hop.packet.innermost.ip.fragment_offset for hop in found.leg("there") if hop.packet and hop.packet.innermost.ip and hop.packet.wrapped]
    assert offsets == [0, 1448] * 4, "at eth0, twice at the router, and at eth0, each datagram of the bundle by itself"


@pytest.mark.parametrize(
    ("name", "kind", "machine", "words"),
    [
        ("forward-drop", "rule", NODE1, "filter FORWARD: -A FORWARD -d 10.244.2.0/24 -j DROP"),
        ("no-endpoints-node", "no-endpoints", NODE1, "default/empty has no endpoints: zenlinnode1 rejects the packet in filter KUBE-SERVICES"),
        ("no-endpoints", "no-endpoints", "router", "default/empty has no endpoints, so no rule rewrites the packet"),
        ("refused-udp", "no-listener", "ubuntu-zenlinnode2", "nothing listens on UDP port 81"),
        ("cluster-ip-icmp", "no-route", "router", "the cluster IP of default/nginx-service, which no machine has"),
        ("no-neighbour", "arp", NODE1, "asked by ARP for 10.244.1.99"),
        ("unreachable", "no-route", NODE1, "zenlinnode1 has no route to 10.244.2.246"),
        ("dead-flanneld", "flanneld", NODE2, "flanneld on zenlinnode2 is dead"),
    ],
)
def test_where_and_why_a_packet_was_lost(name: str, kind: str, machine: str, words: str) -> None:
    loss = journey(name).loss
    assert loss is not None and (loss.kind, loss.machine) == (kind, machine)
    assert words in loss.text.en and loss.text.zh != loss.text.en
    assert (loss.rule is not None) == (name in ("forward-drop", "no-endpoints-node"))


def test_a_neighbour_that_others_missed_is_not_the_reason() -> None:
    """The kernel remembers for minutes whom it could not reach."""
    whole = recording("unreachable")
    assert any(line.startswith("10.244.1.99 ") for line in whole.machine(NODE1).neighbours)


def test_a_recording_without_half_of_its_sightings_ends_where_the_last_one_is() -> None:
    """Nothing is made up: what is not explained is told as unknown."""
    whole = recording("service-udp")
    there = replace(whole, outcome="silence", frames=tuple(frame for frame in whole.frames if frame.place.machine not in (POD2, NODE2))[:5])
    loss = correlate(there).loss
    assert loss is not None and (loss.kind, loss.machine, loss.interface) == ("unknown", NODE1, "eth0")


def with_faults(whole: Recording, **faults: tuple[tuple[str, str, str], ...]) -> Recording:
    return replace(whole, machines=tuple(replace(one, faults=faults.get(one.name, ())) for one in whole.machines))


def test_a_link_that_was_broken_on_purpose_is_the_reason_where_the_packets_way_leads_over_it() -> None:
    whole = recording("service-udp")
    kept = tuple(frame for frame in whole.frames if frame.place.machine not in (POD2, NODE2))[:4]
    assert kept[-1].place.interface == "flannel0"
    lost = replace(whole, outcome="silence", frames=kept)
    loss = correlate(with_faults(lost, zenlinnode1=(("eth0", "out", "loss 30 %"),))).loss
    assert loss is not None and (loss.kind, loss.machine, loss.interface) == ("fault", NODE1, "eth0")
    assert "loses what zenlinnode1 sends" in loss.text.en and "30 %" in loss.text.zh
    for innocent in ((("eth0", "in", "loss 30 %"),), (("eth0", "out", "loss 1 %"), ("eth1", "out", "loss 1 %"))):
        loss = correlate(with_faults(lost, zenlinnode1=innocent)).loss
        assert loss is not None and loss.kind == "unknown"


def test_a_cable_that_was_pulled_is_the_reason_behind_a_missing_route_and_a_silent_neighbour() -> None:
    loss = correlate(with_faults(recording("unreachable"), zenlinnode1=(("eth0", "out", "down"),))).loss
    assert loss is not None and loss.kind == "fault" and "cable at zenlinnode1 eth0 is pulled" in loss.text.en and "no route" in loss.text.en
    whole = recording("no-neighbour")
    card = next(line.split()[-1] for line in whole.machine(NODE1).neighbours if line.startswith("10.244.1.99 "))
    loss = correlate(with_faults(whole, zenlinnode1=((card, "in", "loss 100 %"),))).loss
    assert loss is not None and loss.kind == "fault" and "loses what zenlinnode1 is sent" in loss.text.en and "10.244.1.99" in loss.text.en


def test_a_full_buffer_is_the_reason_where_the_flanneld_lives() -> None:
    whole = recording("dead-flanneld")
    alive = tuple(replace(one, daemons=(("flanneld", "running"),), lost=17) for one in whole.machines)
    loss = correlate(replace(whole, machines=alive, frames=tuple(one for one in whole.frames if one.data[23:24] != b"\x01"))).loss
    assert loss is not None and (loss.kind, loss.machine) == ("buffer", NODE2) and "17" in loss.text.en


def test_a_retransmission_is_told_once_and_strangers_not_at_all() -> None:
    whole = recording("service-udp")
    again = tuple(replace(frame, time=frame.time + 1_000_000_000) for frame in whole.frames)
    stranger = replace(whole.frames[0], data=bytes(60), place=Place(NODE2, "eth0"))
    noisy = correlate(replace(whole, frames=(*whole.frames, *again, stranger)))
    assert [leg.hops for leg in noisy.legs] == [leg.hops for leg in correlate(whole).legs]


def test_the_order_of_the_frames_does_not_matter() -> None:
    whole = recording("nodeport")
    assert correlate(replace(whole, frames=whole.frames[::-1])) == correlate(whole)


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_can_be_kept_told_and_drawn(name: str) -> None:
    found = recording(name)
    assert from_json(json.loads(json.dumps(found.to_json()))) == found
    made = correlate(found)
    asked = [question for question, _ in found.routes]
    assert set(questions(made)) <= set(asked), "every decision was asked for when it was recorded"
    document = json.loads(json.dumps(made.to_json()))
    assert document["arrived"] == (document["loss"] is None) and document["legs"][0]["kind"] == "there"
    for language in ("en", "zh"):
        shown = table.text(made, language)  # type: ignore[arg-type]
        assert len(table.text(made, language, verbose=True)) >= len(shown)  # type: ignore[arg-type]
        assert max(len(line) for line in shown.splitlines() if "conntrack" not in line and "src=" not in line) < 200
        root = ElementTree.fromstring(ladder.svg(made, language))  # type: ignore[arg-type]
        dots = root.findall(".//{*}circle")
        assert len(dots) == sum(not hop.minor for leg in made.legs for hop in leg.hops)


def test_the_table_says_it_short_and_colours_only_on_demand() -> None:
    found = journey("service-udp")
    plain = table.text(found)
    assert "\x1b" not in plain and "\x1b[32m" in table.text(found, colour=True)
    assert "KUBE-SERVICES → KUBE-SVC-GKN7Y2BSGW4NJTYL  (default/nginx-service)" in plain
    assert plain.splitlines()[-1].startswith("✓ Answered: connected after 1008 µs, 11 hops there")
    assert "outer packet:" not in plain and "outer packet:" in table.text(found, verbose=True)
    assert "去程" in table.text(found, "zh") and "✓ 已应答" in table.text(found, "zh")


def test_a_name_with_markup_stays_text_in_the_picture() -> None:
    whole = recording("service-udp")
    evil = replace(whole.names, services={spot: "<script>x</script>&" for spot in whole.names.services})
    picture = ladder.svg(correlate(replace(whole, names=evil)))
    assert "<script" not in picture and "&lt;script&gt;" in picture


def test_pcapng_has_an_interface_a_place_and_every_frame() -> None:
    """Blocks as draft-ietf-opsawg-pcapng has them: each ends with its length again."""
    whole = recording("service-udp")
    data, blocks = pcapng.written(whole), []
    while data:
        kind, size = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
        assert size % 4 == 0 and data[size - 4 : size] == data[4:8]
        blocks.append((kind, data[8 : size - 4]))
        data = data[size:]
    places = {frame.place for frame in whole.frames}
    assert [kind for kind, _ in blocks] == [0x0A0D0D0A, *[1] * len(places), *[6] * len(whole.frames)]
    assert all(any(f"{place.machine} {place.interface}".encode() in body for kind, body in blocks if kind == 1) for place in places)
    assert {body[:2] for kind, body in blocks if kind == 1} == {b"\x01\x00", b"\x65\x00"}, "Ethernet, and raw IP at flannel0"
