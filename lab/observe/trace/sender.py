"""Sends the probe from a machine of the lab, by a socket of its own, and says what the socket heard. The thin part."""

from __future__ import annotations

import errno
import secrets
import selectors
import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address
from types import TracebackType

from lab.errors import CommandError
from lab.fabric.namespace import Namespace
from lab.flannel.packet import checksum
from lab.observe.trace.probe import MARK, Probe, Protocol

_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ = 19, 20, 21
_SEND_QUEUE = 2
_IP_MTU_DISCOVER, _DO, _DONT = 10, 2, 0
_IP_RECVERR = 11

_DNS = 53
_DNS_MARK = b"%b\1\0\0\1\0\0"
"""The head of a DNS message (RFC 1035) that asks one question, recursion desired: a server answers no other bytes."""
_DNS_QUESTION = bytes(4) + b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0\0\1\0\1"


class Sender:
    """A probe on its socket, from `with` until the end of its block.

    probe   once entered, with the addresses, ports and marks that it will have
    """

    def __init__(self, namespace: Namespace, protocol: Protocol, destination: IPv4Address, port: int, size: int, dont_fragment: bool) -> None:
        mark = b"" if protocol == "tcp" else _DNS_MARK % secrets.token_bytes(2) if (protocol, port) == ("udp", _DNS) else secrets.token_bytes(MARK)
        sequence = secrets.randbits(32) | 1 if protocol == "tcp" else 0
        self.probe = Probe(protocol, IPv4Address(0), 0, destination, port, sequence, mark, max(size, len(mark)), dont_fragment)
        self._namespace = namespace
        self._socket: socket.socket | None = None
        self._error = 0
        self._answered = False

    def __enter__(self) -> Sender:
        """Make the socket. Nothing is sent yet. Raises CommandError when the kernel refuses the socket."""
        kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}
        try:
            with self._namespace.entered():
                self._socket = socket.socket(socket.AF_INET, kinds[self.probe.protocol], socket.IPPROTO_ICMP if self.probe.protocol == "icmp" else 0)
        except OSError as error:
            raise CommandError(f"{self._namespace.name}: no socket for the probe: {error.strerror}") from error
        self._socket.setblocking(False)
        getattr(self, f"_prepare_{self.probe.protocol}")(self._socket)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the socket, and with it the connection."""
        if self._socket is not None:
            self._socket.close()

    def send(self) -> None:
        """Send the probe. What the kernel says against it is kept for `outcome`."""
        assert self._socket is not None
        try:
            if self.probe.protocol == "tcp":
                self._error = self._socket.connect_ex((str(self.probe.destination), self.probe.port))
                self._named(self._socket)
            elif not self._error:
                self._socket.send(_echo(self.probe) if self.probe.protocol == "icmp" else _payload(self.probe))
        except OSError as error:
            self._error = error.errno or errno.EIO
        if self._error == errno.EINPROGRESS:
            self._error = 0

    @property
    def failed(self) -> bool:
        """Whether nothing was sent, because the kernel refused at once."""
        return bool(self._error)

    @property
    def channel(self) -> socket.socket:
        """The socket of the probe."""
        assert self._socket is not None
        return self._socket

    @property
    def events(self) -> int:
        """What to wait for at the socket: a connection can be written to, a reply can be read."""
        return selectors.EVENT_WRITE if self.probe.protocol == "tcp" else selectors.EVENT_READ

    def heard(self) -> bool:
        """Whether the socket, which has something, has the answer: a connection, a reply, or an error."""
        if self.probe.protocol == "tcp":
            self._error = self._error or self.channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._answered = not self._error and _connected(self.channel)
            return bool(self._error) or self._answered
        try:
            data = self.channel.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as error:
            self._error = error.errno or errno.EIO
            return True
        # A raw socket hears every ICMP message from there; an echo reply repeats what was sent.
        self._answered = self.probe.protocol == "udp" or (self.probe.mark in data and data[(data[0] & 15) * 4] == 0)
        return self._answered

    @property
    def outcome(self) -> str:
        """What became of the probe at its socket: connected, refused, answered, silence, or the error's name."""
        if self._error == errno.ECONNREFUSED:
            return "refused"
        if self._error:
            return errno.errorcode.get(self._error, str(self._error))
        if self._answered:
            return "connected" if self.probe.protocol == "tcp" else "answered"
        return "silence"

    def _prepare_tcp(self, made: socket.socket) -> None:
        """Choose the initial sequence number, by the door that checkpoint and restore of connections use (tcp(7), TCP_REPAIR)."""
        try:
            made.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            made.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _SEND_QUEUE)
            made.setsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ, struct.pack("I", self.probe.sequence))
            made.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
        except OSError as error:
            raise CommandError(f"this kernel does not let the probe be marked (TCP_REPAIR: {error.strerror}); try --icmp or --udp") from error
        made.bind(("0.0.0.0", 0))
        self._named(made)

    def _prepare_udp(self, made: socket.socket) -> None:
        self._fragments(made)
        self._connect(made)

    def _prepare_icmp(self, made: socket.socket) -> None:
        self._fragments(made)
        self._connect(made)
        self.probe = replace(self.probe, source_port=secrets.randbits(16) | 1)

    def _fragments(self, made: socket.socket) -> None:
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DO if self.probe.dont_fragment else _DONT)

    def _connect(self, made: socket.socket) -> None:
        """Let the kernel choose source address and port; for UDP and ICMP that sends nothing."""
        self._error = made.connect_ex((str(self.probe.destination), self.probe.port))
        self._named(made)

    def _named(self, made: socket.socket) -> None:
        address, port = made.getsockname()
        self.probe = replace(self.probe, source=IPv4Address(address), source_port=port or self.probe.source_port)


def _payload(probe: Probe) -> bytes:
    if (probe.protocol, probe.port) == ("udp", _DNS):
        return probe.mark + _DNS_QUESTION
    return probe.mark + b"lab trace".ljust(max(probe.size - MARK, 0), b".")[: max(probe.size - MARK, 0)]


def _echo(probe: Probe) -> bytes:
    head = struct.pack("!BBHHH", 8, 0, 0, probe.source_port, 1)
    text = head + _payload(probe)
    return head[:2] + struct.pack("!H", checksum(text)) + text[4:]


def _connected(made: socket.socket) -> bool:
    try:
        made.getpeername()
    except OSError:
        return False
    return True
