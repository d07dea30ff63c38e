"""The rtnetlink requests that a large lab makes by the ten thousand, and all of flanneld's: written with struct, and many sent at once.

Bridges are here too, rare as they are, so that no boot needs pyroute2, which makes everything else (ADR 10). That needs 0.25 ms of computing
for a request and as much for a socket; these need a hundredth of that. A hundred nodes tell each other of their subnets with 30,000 requests,
which would be a quarter of a minute otherwise. And a process that uses pyroute2 has 3 MiB of memory more that it shares with no other.

The formats are those of rtnetlink(7), netlink(7) and the kernel's linux/rtnetlink.h and linux/neighbour.h: numbers in the machine's byte
order, addresses as on the wire, everything padded to four bytes. The functions that make requests are pure.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

IPV4, BRIDGE = 2, 7
"""Address families: AF_INET, and AF_BRIDGE for forwarding entries."""

PERMANENT, REACHABLE = 0x80, 0x02
"""States of a neighbour: until it is deleted, or ageing as if the kernel had found it."""

_NEWLINK, _DELLINK, _GETLINK, _SETLINK, _NEWADDR = 16, 17, 18, 19, 20
_DELADDR, _GETADDR = 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE, _NEWNEIGH, _DELNEIGH, _GETNEIGH = 24, 25, 26, 28, 29, 30
_ERROR, _DONE = 2, 3
_DUMP = 0x300
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_ADD, _PUT, _DELETE = _REQUEST | _ACK | _CREATE | _EXCLUSIVE, _REQUEST | _ACK | _CREATE | _REPLACE, _REQUEST | _ACK

_MAIN, _BOOT, _UNIVERSE, _LINK, _NOWHERE, _UNICAST = 254, 3, 0, 253, 255, 1
"""Of a route: the main table; its origin `boot`, as people's are; its scopes (far away, on the link, whatever it is); its type."""

_ONLINK = 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_PROTINFO, _IFLA_LINKINFO = 1, 3, 4, 10, 12, 18
_IFLA_NET_NS_FD, _IFLA_GSO_MAX_SIZE = 28, 41
_INFO_KIND, _INFO_DATA, _VETH_PEER, _BRPORT_MODE = 1, 2, 1, 4
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_GBP = 1, 3, 4, 7, 15, 23
_NESTED = 0x8000
_UP = 1
_NO_MESSAGE = 42
"""ENOMSG, for a kernel that answers nothing."""

_NTF_SELF = 0x02

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_INTERFACE = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")

_AT_ONCE = 64
"""Requests in one datagram: their answers must fit the socket's buffer, in which each is counted with almost a kilobyte."""

_BUFFER = 1 << 16
_TIMEOUT = 5.0
"""Seconds that the kernel may take for an answer; it has given it before `send` returns."""


def put_route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool = False, replace: bool = True) -> bytes:
    """The request for a route of the main table, in place of another to the subnet; with `replace` False it is refused when there is one.

    via      the gateway; None: the subnet is on the link
    link     the number of the interface; 0: by which the gateway is reached
    onlink   take the gateway for a neighbour although no route leads to it
    """
    scope = _LINK if via is None else _UNIVERSE
    return _message(_NEWROUTE, _PUT if replace else _ADD, _route(subnet, via, link, onlink, _BOOT, scope, _UNICAST))


def delete_route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool = False) -> bytes:
    """The request to take such a route away."""
    return _message(_DELROUTE, _DELETE, _route(subnet, via, link, onlink, 0, _NOWHERE, 0))


def put_neighbour(link: int, address: IPv4Address, mac: str, state: int = PERMANENT) -> bytes:
    """The request for a neighbour on a link, in place of another of the address."""
    return _message(_NEWNEIGH, _PUT, _neighbour(IPV4, link, state, 0, (_NDA_DST, address.packed), (_NDA_LLADDR, _mac(mac))))


def delete_neighbour(link: int, address: IPv4Address) -> bytes:
    """The request to take it away."""
    return _message(_DELNEIGH, _DELETE, _neighbour(IPV4, link, 0, 0, (_NDA_DST, address.packed)))


def put_forward(link: int, mac: str, machine: IPv4Address) -> bytes:
    """The request that a vxlan device send frames for a MAC address to a machine."""
    attributes = ((_NDA_DST, machine.packed), (_NDA_LLADDR, _mac(mac)))
    return _message(_NEWNEIGH, _PUT, _neighbour(BRIDGE, link, PERMANENT, _NTF_SELF, *attributes))


def delete_forward(link: int, mac: str, machine: IPv4Address) -> bytes:
    """The request to take that away."""
    attributes = ((_NDA_DST, machine.packed), (_NDA_LLADDR, _mac(mac)))
    return _message(_DELNEIGH, _DELETE, _neighbour(BRIDGE, link, 0, _NTF_SELF, *attributes))


def add_veth(name: str, peer: str, peer_namespace: int, mac: str = "", peer_mac: str = "", mtu: int = 0, gso: int = 0) -> bytes:
    """The request for a veth pair: one end here, the other in the network namespace of an open descriptor, both down.

    mtu   of both, bytes; gso: largest super-packet that leaves by the end here, bytes; 0 leaves either to the kernel
    """
    there = _INTERFACE.pack(0, 0, 0, 0, 0) + _card(peer, peer_mac, mtu) + _attribute(_IFLA_NET_NS_FD, _NUMBER.pack(peer_namespace))
    kind = _attribute(_INFO_KIND, b"veth\0") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, there))
    here = _card(name, mac, mtu) + (_attribute(_IFLA_GSO_MAX_SIZE, _NUMBER.pack(gso)) if gso else b"")
    return _message(_NEWLINK, _ADD, _INTERFACE.pack(0, 0, 0, 0, 0) + here + _attribute(_IFLA_LINKINFO, kind))


def add_bridge(name: str, mac: str = "") -> bytes:
    """The request for a bridge, down."""
    kind = _attribute(_IFLA_LINKINFO, _attribute(_INFO_KIND, b"bridge\0"))
    return _message(_NEWLINK, _ADD, _INTERFACE.pack(0, 0, 0, 0, 0) + _card(name, mac, 0) + kind)


def add_vxlan(name: str, mtu: int, vni: int, link: int, local: IPv4Address, port: int, gbp: bool) -> bytes:
    """The request for a vxlan device, down, that learns nothing by itself.

    vni     network identifier
    link    number of the interface below it; `local` and `port`: the address and UDP port that it sends from
    gbp     with the group based policy extension
    """
    data = _attribute(_VXLAN_ID, _NUMBER.pack(vni)) + _attribute(_VXLAN_LINK, _NUMBER.pack(link)) + _attribute(_VXLAN_LOCAL, local.packed)
    data += _attribute(_VXLAN_LEARNING, b"\0") + _attribute(_VXLAN_PORT, port.to_bytes(2, "big")) + (_attribute(_VXLAN_GBP, b"") if gbp else b"")
    kind = _attribute(_INFO_KIND, b"vxlan\0") + _attribute(_INFO_DATA, data)
    return _message(_NEWLINK, _ADD, _INTERFACE.pack(0, 0, 0, 0, 0) + _card(name, "", mtu) + _attribute(_IFLA_LINKINFO, kind))


def bring_up(index: int, mtu: int) -> bytes:
    """The request to switch an interface on, with this MTU."""
    return _message(_NEWLINK, _REQUEST | _ACK, _INTERFACE.pack(0, 0, index, _UP, _UP) + _attribute(_IFLA_MTU, _NUMBER.pack(mtu)))


def set_up(name: str) -> bytes:
    """The request to switch an interface on."""
    return _message(_NEWLINK, _REQUEST | _ACK, _INTERFACE.pack(0, 0, 0, _UP, _UP) + _named(name))


def set_master(index: int, bridge: int) -> bytes:
    """The request to make an interface a port of a bridge."""
    return _message(_NEWLINK, _REQUEST | _ACK, _INTERFACE.pack(0, 0, index, 0, 0) + _attribute(_IFLA_MASTER, _NUMBER.pack(bridge)))


def set_hairpin(index: int) -> bytes:
    """The request that a bridge may send a frame out by the port that it came in by."""
    mode = _attribute(_IFLA_PROTINFO | _NESTED, _attribute(_BRPORT_MODE, b"\1"))
    return _message(_SETLINK, _REQUEST | _ACK, _INTERFACE.pack(BRIDGE, 0, index, 0, 0) + mode)


def delete_link(name: str) -> bytes:
    """The request to delete an interface; the other end of a veth pair goes with it."""
    return _message(_DELLINK, _DELETE, _INTERFACE.pack(0, 0, 0, 0, 0) + _named(name))


def add_address(index: int, address: IPv4Interface, broadcast: bool = True) -> bytes:
    """The request for an address with its broadcast address; /31 and /32 have none (RFC 3021), and a device that broadcasts nothing needs none."""
    network = address.network
    own = _attribute(_IFA_ADDRESS, address.ip.packed) + _attribute(_IFA_LOCAL, address.ip.packed)
    own += _attribute(_IFA_BROADCAST, network.broadcast_address.packed) if broadcast and network.prefixlen < 31 else b""
    return _message(_NEWADDR, _ADD, _ADDRESS.pack(IPV4, network.prefixlen, 0, _UNIVERSE, index) + own)


def delete_address(index: int, address: IPv4Interface) -> bytes:
    """The request to take an address away."""
    own = _attribute(_IFA_ADDRESS, address.ip.packed) + _attribute(_IFA_LOCAL, address.ip.packed)
    return _message(_DELADDR, _DELETE, _ADDRESS.pack(IPV4, address.network.prefixlen, 0, 0, index) + own)


def get_links() -> bytes:
    """The question for all interfaces, as all questions here for `Channel.dump`; lab.fabric.rtnetdata reads the answers."""
    return _message(_GETLINK, _REQUEST | _DUMP, _INTERFACE.pack(0, 0, 0, 0, 0))


def get_addresses() -> bytes:
    """The question for all IPv4 addresses."""
    return _message(_GETADDR, _REQUEST | _DUMP, _ADDRESS.pack(IPV4, 0, 0, 0, 0))


def get_routes() -> bytes:
    """The question for all IPv4 routes of all tables."""
    return _message(_GETROUTE, _REQUEST | _DUMP, _ROUTE.pack(IPV4, 0, 0, 0, 0, 0, 0, 0, 0))


def get_neighbours(family: int) -> bytes:
    """The question for all neighbours, or with BRIDGE for all forwarding entries."""
    return _message(_GETNEIGH, _REQUEST | _DUMP, _neighbour(family, 0, 0, 0))


class Channel:
    """A socket to the kernel for the network namespace that the calling thread is in now, whoever uses it later. One request at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def transact(self, requests: Sequence[bytes]) -> list[int]:
        """Have the kernel do all these in their order, each whatever becomes of the others.

        Returns an errno for each, 0 where it was done. Raises OSError when the kernel does not answer.
        """
        results: list[int] = []
        for first in range(0, len(requests), _AT_ONCE):
            some = requests[first : first + _AT_ONCE]
            self._socket.send(b"".join(_numbered(one, number) for number, one in enumerate(some)))
            found: dict[int, int] = {}
            while len(found) < len(some):
                found |= {number: errno for number, errno, _ in _answers(self._socket.recv(_BUFFER))}
            results += [found[number] for number in range(len(some))]
        return results

    def dump(self, question: bytes) -> list[bytes]:
        """All that the kernel has to answer, a body each. Raises OSError."""
        self._socket.send(_numbered(question, 0))
        found: list[bytes] = []
        while True:
            for kind, _, body in _messages(self._socket.recv(_BUFFER)):
                if kind == _ERROR:
                    raise refused(_verdict(body))
                if kind == _DONE:
                    return found
                found.append(body)

    def index(self, name: str) -> int:
        """The number of an interface. Raises OSError, with ENODEV when there is none of the name.

        Since Linux 6.9 this question first has the kernel do what its link watch has left undone for the interface.
        """
        self._socket.send(_numbered(_message(_GETLINK, _REQUEST, _INTERFACE.pack(0, 0, 0, 0, 0) + _named(name)), 0))
        for _, errno, body in _answers(self._socket.recv(_BUFFER)):
            if errno:
                raise refused(errno)
            return int(_INTERFACE.unpack_from(body)[2])
        raise refused(_NO_MESSAGE)


def transact(requests: Sequence[bytes]) -> list[int]:
    """`Channel.transact` in the calling thread's network namespace."""
    with Channel() as channel:
        return channel.transact(requests)


def dump(question: bytes) -> list[bytes]:
    """`Channel.dump` in the calling thread's network namespace."""
    with Channel() as channel:
        return channel.dump(question)


def carry_out(requests: Sequence[bytes]) -> None:
    """`transact` for what must succeed: raises OSError for the first that was refused; those after it are tried none the less."""
    for number in transact(requests):
        if number:
            raise refused(number)


def refused(number: int) -> OSError:
    """The exception for an errno."""
    return OSError(number, os.strerror(number))


def _answers(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """What one datagram of the kernel holds: the number of the request, an errno, 0 for none, and the body of what is no verdict."""
    for kind, number, body in _messages(data):
        yield (number, _verdict(body), b"") if kind == _ERROR else (number, 0, body)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, number and body of each message of a datagram."""
    while data:
        length, kind, _, number, _ = _HEADER.unpack_from(data)
        yield kind, number, data[_HEADER.size : length]
        data = data[_padded(length) :]


def _verdict(body: bytes) -> int:
    return -int(struct.unpack_from("=i", body)[0])


def _named(name: str) -> bytes:
    return _attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _card(name: str, mac: str, mtu: int) -> bytes:
    """What both ends of a veth pair are told."""
    found = _named(name)
    found += _attribute(_IFLA_ADDRESS, _mac(mac)) if mac else b""
    return found + (_attribute(_IFLA_MTU, _NUMBER.pack(mtu)) if mtu else b"")


def _route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool, origin: int, scope: int, kind: int) -> bytes:
    head = _ROUTE.pack(IPV4, subnet.prefixlen, 0, 0, _MAIN, origin, scope, kind, _ONLINK if onlink else 0)
    gateway = _attribute(_RTA_GATEWAY, via.packed) if via is not None else b""
    oif = _attribute(_RTA_OIF, _NUMBER.pack(link)) if link else b""
    return head + _attribute(_RTA_DST, subnet.network_address.packed) + gateway + oif


def _neighbour(family: int, link: int, state: int, flags: int, *attributes: tuple[int, bytes]) -> bytes:
    return _NEIGHBOUR.pack(family, 0, 0, link, state, flags, 0) + b"".join(_attribute(*one) for one in attributes)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _attribute(kind: int, value: bytes) -> bytes:
    data = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return data.ljust(_padded(len(data)), b"\0")


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body


def _numbered(message: bytes, number: int) -> bytes:
    """With its sequence number, by which the kernel's answer is found."""
    return message[:8] + _NUMBER.pack(number) + message[12:]


def _padded(length: int) -> int:
    return (length + 3) & ~3
