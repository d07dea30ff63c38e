"""nfnetlink sockets: which tables a machine has, its rules' handles, and the messages about traced packets. The thin part."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

from lab.fabric.namespace import Namespace
from lab.observe.trace.rulelog import attributes

_NETFILTER = 12
_GET_TABLES, _GET_RULES = (10 << 8) | 1, (10 << 8) | 7
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_SOL_NETLINK, _ADD_MEMBERSHIP, _NO_ENOBUFS = 270, 1, 5
_SO_RCVBUFFORCE = 33
_TRACES = 9
_TABLE = 1
_BUFFER = 16 << 20
"""Bytes. A message takes up to 8 KiB of a socket's buffer, and one packet makes dozens: the default of 208 KiB is too little."""


def _opened(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)


def listen(namespace: Namespace) -> socket.socket:
    """A socket that hears of every rule that a traced packet hits in a machine. Raises OSError."""
    made = _opened(namespace)
    try:
        made.setblocking(False)
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        made.bind((0, 0))
        made.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _TRACES)
    except BaseException:
        made.close()
        raise
    return made


def heard(listening: socket.socket) -> list[bytes]:
    """The messages that have come until now. They are delivered before the packet goes on: none of a packet that was seen is missing."""
    found: list[bytes] = []
    while True:
        try:
            found += split(listening.recv(1 << 16))
        except OSError:
            return found


def rules(namespace: Namespace) -> list[bytes]:
    """The kernel's messages about all rules of IPv4 tables, chain by chain in order."""
    return _dump(namespace, _GET_RULES)


def tables(namespace: Namespace) -> list[str]:
    """Names of the IPv4 nftables tables, those of iptables-nft among them; none where the kernel has no nftables."""
    return [dict(attributes(message[20:])).get(_TABLE, b"").rstrip(b"\0").decode("utf-8", "replace") for message in _dump(namespace, _GET_TABLES)]


def legacy_tables(namespace: Namespace) -> list[str]:
    """Names of the tables of iptables-legacy, which the kernel keeps apart from nftables and can trace only into its log."""
    try:
        with namespace.entered():
            return Path("/proc/thread-self/net/ip_tables_names").read_text(encoding="ascii").split()
    except OSError:
        return []


def _dump(namespace: Namespace, kind: int) -> list[bytes]:
    found: list[bytes] = []
    with _opened(namespace) as asked:
        asked.settimeout(2.0)
        try:
            asked.send(struct.pack("=IHHIIBBH", 20, kind, _REQUEST_DUMP, 1, 0, socket.AF_INET, 0, 0))
            while True:
                for message in split(asked.recv(1 << 20)):
                    if struct.unpack_from("=H", message, 4)[0] in (_DONE, _ERROR):
                        return found
                    found.append(message)
        except OSError:
            return found


def split(data: bytes) -> list[bytes]:
    """The messages of one datagram."""
    found = []
    while len(data) >= 16:
        length = struct.unpack_from("=I", data)[0]
        if length < 16:
            break
        found.append(data[:length])
        data = data[(length + 3) & ~3 :]
    return found
