"""The lab's machines are Mininet's nodes: its API works on them, and nothing of Mininet's ways reaches the host."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab.errors import BootError
from lab.plan import operations as op

Sandboxed = Callable[[Callable[[], object]], None]
pytestmark = pytest.mark.e2e

A, B = op.Interface("a", "eth0", "02:00:00:00:00:0a"), op.Interface("b-with-a-very-long-name", "eth0")
PAIR = (
    op.AddNamespace("a host", "a", "node"),
    op.AddNamespace("another", B.host, "pod"),
    op.AddWire("a cable", A, B, 1400),
    op.SetAddress("its address", A, IPv4Interface("10.9.0.1/24")),
    op.SetAddress("its address", B, IPv4Interface("10.9.0.2/24")),
    op.AddRoute("the way out", "a", IPv4Network("0.0.0.0/0"), IPv4Interface("10.9.0.2/24").ip, "eth0"),
)


def _build(*more: op.Operation) -> Any:
    from lab.fabric.apply import Builder
    from lab.fabric.mininet import Network

    builder = Builder(Network())
    builder.apply((*PAIR, *more))
    return builder


def test_the_plan_becomes_real(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _build().network
        a = network["a"]
        assert "10.9.0.1/24 brd 10.9.0.255" in a.run("ip -4 -o address show eth0").stdout
        assert "mtu 1400" in a.run("ip link show eth0").stdout and "02:00:00:00:00:0a" in a.run("ip link show eth0").stdout
        assert a.run("ip route").stdout.startswith("default via 10.9.0.2 dev eth0")
        assert a.run("ping -c 1 -W 1 10.9.0.2").status == 0

    sandboxed(body)


def test_mininets_own_calls_work(sandboxed: Sandboxed) -> None:
    def body() -> None:
        network = _build().network
        a, b = network.get("a", B.host)
        assert a.shell is None, "a shell starts only when somebody uses it"
        assert a.cmd("hostname").strip() == "a"
        assert a.IP() == "10.9.0.1" and b.MAC() is None
        assert b.pexec("hostname") == (f"{B.host}\n", "", 0)
        assert a.popen("cat /etc/hostname").wait() == 0
        assert network.ping([a, b], timeout="1") == 0.0
        assert str(network.links[0]) == f"a-eth0<->{B.host}-eth0"
        assert a.connectionsTo(b) != []
        network.stop()
        assert network.hosts == [] and network.links == []

    sandboxed(body)


def test_bridge_with_hairpin(sandboxed: Sandboxed) -> None:
    def body() -> None:
        bridge = op.Interface("a", "docker0")
        builder = _build(op.AddBridge("a bridge", bridge, 1472), op.AddPort("a port", A, "docker0", hairpin=True))
        a = builder.network["a"]
        assert "mtu 1472" in a.run("ip link show docker0").stdout
        assert "hairpin on" in a.run("bridge -d link show dev eth0").stdout

    sandboxed(body)


def test_what_the_kernel_refuses_is_named_as_a_command(sandboxed: Sandboxed) -> None:
    def body() -> None:
        builder = _build()
        with pytest.raises(BootError, match=r"ip -n a route add 10.8.0.0/16 via 10.77.0.1.*ENETUNREACH.*no such gateway"):
            gateway = IPv4Interface("10.77.0.1/24").ip
            builder.apply([op.AddRoute("no such gateway", "a", IPv4Network("10.8.0.0/16"), gateway)])
        with pytest.raises(BootError, match="no setting net/ipv4/no_such_thing"):
            builder.apply([op.SetSysctl("a typo", "a", "net/ipv4/no_such_thing", "1")])
        with pytest.raises(BootError, match="has no interface eth7"):
            builder.apply([op.SetAddress("a typo", op.Interface("a", "eth7"), IPv4Interface("10.1.0.1/24"))])

    sandboxed(body)


def test_a_removed_machine_is_gone(sandboxed: Sandboxed) -> None:
    def body() -> None:
        builder = _build()
        builder.remove(B.host)
        assert B.host not in builder.network.nameToNode and builder.network.links == []
        deadline = "for i in $(seq 500); do ip link show eth0 2>/dev/null || exit 0; sleep 0.01; done; exit 1"
        assert builder.network["a"].run(deadline, timeout=10).status == 0, "the veth pair ends with its namespace"

    sandboxed(body)


def test_mininet_changes_nothing_on_the_host() -> None:
    limits = {key: Path(f"/proc/sys/{key}").read_text() for key in ("fs/file-max", "net/core/wmem_max", "net/ipv4/tcp_rmem")}
    from lab.fabric.mininet import Network

    Network()
    assert limits == {key: Path(f"/proc/sys/{key}").read_text() for key in limits}
