"""Captures on real interfaces: what is seen, in which direction and order, and how waiting for it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Interface
from typing import Any

import pytest

from lab.errors import UsageError
from lab.flannel.tun import open_tun
from lab.observe.capture import Capture
from lab.observe.sighting import Place
from lab.plan import operations as op

Sandboxed = Callable[[Callable[[], object]], None]
pytestmark = pytest.mark.e2e

A, R1, R2, B = op.Interface("a", "eth0"), op.Interface("r", "eth0"), op.Interface("r", "eth1"), op.Interface("b", "eth0")
PLAN = (
    *(op.AddNamespace("a machine", name, "node") for name in ("a", "r", "b")),
    op.SetSysctl("routes", "r", "net/ipv4/ip_forward", "1"),
    op.AddWire("a cable", A, R1, 1500),
    op.AddWire("a cable", R2, B, 1500),
    op.SetAddress("its address", A, IPv4Interface("10.9.0.2/24")),
    op.SetAddress("its address", R1, IPv4Interface("10.9.0.1/24")),
    op.SetAddress("its address", R2, IPv4Interface("10.9.1.1/24")),
    op.SetAddress("its address", B, IPv4Interface("10.9.1.2/24")),
    op.AddRoute("the router", "a", IPv4Interface("0.0.0.0/0").network, IPv4Interface("10.9.0.1/24").ip, "eth0"),
    op.AddRoute("the router", "b", IPv4Interface("0.0.0.0/0").network, IPv4Interface("10.9.1.1/24").ip, "eth0"),
)


def _network() -> Any:
    from lab.fabric.apply import Builder
    from lab.fabric.mininet import Network

    builder = Builder(Network())
    builder.apply(PLAN)
    return builder.network


def _capture(network: Any, *places: tuple[str, str]) -> Capture:
    return Capture([(Place(name, interface), network[name].namespace) for name, interface in places])


def test_a_packet_is_seen_at_every_place_in_the_order_of_its_way(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _network()
        # Named in another order than the way's: the timestamps decide.
        with _capture(network, ("b", "eth0"), ("r", "eth1"), ("a", "eth0"), ("r", "eth0")) as seen:
            assert network["a"].run("ping -c 1 -W 2 10.9.1.2").status == 0
        echoes = [one for one in seen.sightings if one.packet.echo]
        there = ["a eth0 out 64", "r eth0 in 64", "r eth1 out 63", "b eth0 in 63"]
        back = ["b eth0 out 64", "r eth1 in 64", "r eth0 out 63", "a eth0 in 63"]
        assert [f"{one.place} {one.direction} {one.packet.ip.ttl}" for one in echoes] == there + back
        times = [one.time for one in seen.sightings]
        assert times == sorted(times) and len(set(times)) > 1
        assert any(one.packet.arp for one in seen.sightings)
        assert seen.dropped == 0

    sandboxed(body)


def test_it_sees_what_happens_inside_the_block_and_nothing_else(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _network()
        assert network["a"].run("ping -c 1 -W 2 10.9.1.2").status == 0
        with _capture(network, ("a", "eth0"), ("a", "lo")) as seen:
            assert network["a"].run("ping -c 1 -W 2 127.0.0.1").status == 0
        assert network["a"].run("ping -c 1 -W 2 10.9.1.2").status == 0
        places = [str(one.place) for one in seen.sightings if one.packet.echo]
        assert places and set(places) == {"a lo"}

    sandboxed(body)


def test_a_device_without_ethernet_header_is_read_too(sandboxed: Sandboxed) -> None:
    def body() -> None:
        a = _network()["a"]
        with a.namespace.entered():
            descriptor, name = open_tun("flannel%d")
        assert a.run(f"ip address add 10.8.0.1/24 dev {name} && ip link set {name} up").status == 0
        with _capture({"a": a}, ("a", name)) as seen:
            assert a.run("ping -c 1 -W 0.05 10.8.0.2").status == 1, "nobody reads from the device"
        (echo,) = [one for one in seen.sightings if one.packet.echo]
        assert (echo.direction, echo.packet.ethernet, str(echo.packet.ip.destination)) == ("out", None, "10.8.0.2")
        os.close(descriptor)

    sandboxed(body)


def test_waiting_ends_when_it_has_come_or_when_the_time_is_over(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _network()
        with _capture(network, ("b", "eth0")) as seen:
            assert not seen.until(lambda sightings: any(one.packet.echo for one in sightings), timeout=0.05)
            process = network["a"].popen("ping -c 1 -W 2 10.9.1.2")
            assert seen.until(lambda sightings: sum(bool(one.packet.echo) for one in sightings) == 2, timeout=5.0)
            assert process.wait(20) == 0

    sandboxed(body)


def test_an_interface_that_is_not_there_is_named_with_those_that_are(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _network()
        with pytest.raises(UsageError, match="r has no interface docker0; it has lo, eth0, eth1"), _capture(network, ("a", "eth0"), ("r", "docker0")):
            raise AssertionError("it must not begin")

    sandboxed(body)


def test_an_interface_that_goes_away_ends_nothing(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _network()
        with _capture(network, ("b", "eth0"), ("a", "lo")) as seen:
            assert network["b"].run("ip link delete eth0").status == 0
            assert network["a"].run("ping -c 1 -W 2 127.0.0.1").status == 0
        assert [str(one.place) for one in seen.sightings if one.packet.echo]

    sandboxed(body)
