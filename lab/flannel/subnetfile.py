"""subnet.env: the file by which flanneld tells docker, CNI and the lab what the node's pods get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar

from lab.errors import InputError, Problem

Value = TypeVar("Value")


@dataclass(frozen=True)
class SubnetFile:
    """What the file says.

    network   all pods of the cluster
    bridge    address of the node's bridge, the subnet's first, with the subnet's prefix length: 10.244.1.1/24
    mtu       of the bridge and the pods, bytes
    ip_masq   whether flanneld masquerades; then docker must not
    """

    network: IPv4Network
    bridge: IPv4Interface
    mtu: int
    ip_masq: bool

    @classmethod
    def of(cls, network: IPv4Network, subnet: IPv4Network, mtu: int, ip_masq: bool) -> SubnetFile:
        """The file for a node that leases `subnet`."""
        return cls(network, IPv4Interface(f"{subnet.network_address + 1}/{subnet.prefixlen}"), mtu, ip_masq)

    @property
    def subnet(self) -> IPv4Network:
        """The node's subnet."""
        return self.bridge.network

    def __str__(self) -> str:
        return (
            f"FLANNEL_NETWORK={self.network}\nFLANNEL_SUBNET={self.bridge}\n"
            f"FLANNEL_MTU={self.mtu}\nFLANNEL_IPMASQ={'true' if self.ip_masq else 'false'}\n"
        )


def parse(text: str, source: str = "subnet.env") -> SubnetFile:
    """Read the file's text. Raises InputError naming every variable that is missing or wrong."""
    fields = _variables(text)
    problems: list[Problem] = []

    def field(name: str, read: Callable[[str], Value], default: Value) -> Value:
        try:
            return read(fields[name])
        except KeyError:
            trouble = "is missing"
        except ValueError as error:
            trouble = str(error)
        problems.append(Problem(source, 0, name, f"{trouble}; start flanneld, which writes the file anew"))
        return default

    network = field("FLANNEL_NETWORK", IPv4Network, IPv4Network("0.0.0.0/0"))
    bridge = field("FLANNEL_SUBNET", IPv4Interface, IPv4Interface("0.0.0.0/0"))
    mtu = field("FLANNEL_MTU", _mtu, 0)
    ip_masq = field("FLANNEL_IPMASQ", _boolean, False)
    if problems:
        raise InputError(problems)
    return SubnetFile(network, bridge, mtu, ip_masq)


def write(path: Path, content: SubnetFile) -> None:
    """Write the file so that a reader sees all of it or nothing, as flannel does: .subnet.env beside it, then rename. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("." + path.name)
    temporary.write_text(str(content), encoding="ascii")
    temporary.replace(path)


def read_previous(path: Path) -> IPv4Network | None:
    """The subnet that an earlier flanneld got, None when the file is missing or does not say."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return IPv4Interface(_variables(text)["FLANNEL_SUBNET"]).network
    except (OSError, KeyError, ValueError):
        return None


def _variables(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _mtu(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 68 <= int(text[:6]) <= 65535:
        raise ValueError(f"{text[:20]!r} is not an MTU")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"Invalid value of FLANNEL_IPMASQ: {text[:20]}")
    return text == "true"
