"""Reads counters and counts rules in every machine of a lab, by netlink sockets that were opened there once: no process, no waiting.

It is a process of its own, forked before the server has threads, because joining an ordinary user's sandbox asks for that. The lab itself is
not asked, so traffic is seen also while the lab is busy with a step. The server sends orders, JSON in one datagram each:

    {"watch": [NAME, ...]}   with the descriptor of each machine's network namespace: watch these too
    {"forget": [NAME, ...]}
    {"look": true}           answered by one JSON line, of as many datagrams as its {"bytes": N} before it says
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterable, Sequence

from lab.fabric import kernel
from lab.observe.trace.nfnetlink import split
from lab.observe.trace.rulelog import attributes

_ROUTE, _NETFILTER = 0, 12
_GET_LINK = 18
_GET_RULES, _GET_GENERATION = (10 << 8) | 7, (10 << 8) | 16
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_NAME, _STATISTICS, _GENERATION = 3, 23, 1
AT_ONCE = 200
"""Machines in one order: a datagram carries at most 253 descriptors."""
_LIMIT = 1 << 16


class Machine:
    """The sockets in one machine. They keep its namespace alive, so they have to be closed when the machine goes."""

    def __init__(self, namespace: int) -> None:
        # There is no way back out of a user namespace, and none is needed: from one machine straight to the next.
        kernel.setns(namespace, kernel.CLONE_NEWNET)
        self._route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE)
        self._netfilter = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self._route.settimeout(2.0)
        self._netfilter.settimeout(2.0)
        self._generation = -1
        self._rules: int | None = None

    def close(self) -> None:
        """Let go of the machine."""
        self._route.close()
        self._netfilter.close()

    def counters(self) -> dict[str, tuple[int, int, int, int]]:
        """Interface -> received bytes and packets, sent bytes and packets. Raises OSError."""
        found = {}
        for message in _dumped(self._route, _GET_LINK, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0)):
            about = dict(attributes(message[32:]))
            if _STATISTICS in about:
                packets_in, packets_out, bytes_in, bytes_out = struct.unpack_from("=QQQQ", about[_STATISTICS])
                name = about[_NAME].rstrip(b"\0").decode("utf-8", "replace")
                found[name] = (bytes_in, packets_in, bytes_out, packets_out)
        return found

    def rules(self) -> int | None:
        """How many IPv4 rules the kernel's nftables has, iptables-nft's among them; counted anew only when the rule set has changed."""
        try:
            generation = self._now()
            if generation != self._generation:
                self._rules = len(_dumped(self._netfilter, _GET_RULES, struct.pack("=BBH", socket.AF_INET, 0, 0)))
                self._generation = generation
        except OSError:  # a kernel without nftables, or rules that changed while they were read: the next look tells
            return self._rules
        return self._rules

    def _now(self) -> int:
        """The number of the rule set's version."""
        body = struct.pack("=BBH", 0, 0, 0)
        self._netfilter.send(struct.pack("=IHHII", 16 + len(body), _GET_GENERATION, _REQUEST, 1, 0) + body)
        for message in split(self._netfilter.recv(_LIMIT)):
            if struct.unpack_from("=H", message, 4)[0] == _ERROR:
                raise OSError("no nftables")
            return int.from_bytes(dict(attributes(message[20:])).get(_GENERATION, b""), "big")
        raise OSError("no answer")


def _dumped(door: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """All messages of a dump. Raises OSError."""
    door.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _DUMP, 1, 0) + body)
    found: list[bytes] = []
    while True:
        for message in split(door.recv(1 << 18)):
            named = struct.unpack_from("=H", message, 4)[0]
            if named == _DONE:
                return found
            if named == _ERROR:
                raise OSError("the kernel refuses the dump")
            found.append(message)


def start(sandbox: Sequence[int]) -> tuple[int, socket.socket]:
    """Fork the watcher; its pid, and the socket to it. `sandbox`: descriptor of the lab's user namespace, if it is not the caller's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    status = 1
    try:
        kernel.die_with_parent(signal.SIGKILL)
        ours.close()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets a machine
        for descriptor in sandbox:
            kernel.setns(descriptor)
        _serve(theirs)
        status = 0
    finally:
        os._exit(status)


def _serve(door: socket.socket) -> None:
    machines: dict[str, Machine] = {}
    while True:
        text, descriptors, _, _ = socket.recv_fds(door, _LIMIT, AT_ONCE)
        if not text:
            return
        order = json.loads(text)
        for name, namespace in zip(order.get("watch", ()), descriptors, strict=False):
            _watch(machines, name, namespace)
        for name in order.get("forget", ()):
            if name in machines:
                machines.pop(name).close()
        if order.get("look"):
            _answer(door, machines)


def _watch(machines: dict[str, Machine], name: str, namespace: int) -> None:
    try:
        made = Machine(namespace)
    except OSError:  # more machines than this process may have sockets for: the others are still told of
        return
    finally:
        os.close(namespace)
    if name in machines:
        machines[name].close()
    machines[name] = made


def _answer(door: socket.socket, machines: dict[str, Machine]) -> None:
    counters, rules = {}, {}
    for name, machine in machines.items():
        with contextlib.suppress(OSError):
            counters[name] = machine.counters()
            rules[name] = machine.rules()
    text = json.dumps({"counters": counters, "rules": rules}).encode()
    door.send(json.dumps({"bytes": len(text)}).encode())
    for start_ in range(0, len(text), _LIMIT):
        door.send(text[start_ : start_ + _LIMIT])


def look(door: socket.socket) -> tuple[dict[str, dict[str, tuple[int, int, int, int]]], dict[str, int | None]]:
    """The watcher's counters and numbers of rules. Raises OSError when it is gone."""
    door.send(b'{"look": true}')
    head = door.recv(_LIMIT)
    if not head:
        raise ConnectionError("the watcher has ended")
    left, parts = int(json.loads(head)["bytes"]), []
    while left > 0:
        parts.append(door.recv(_LIMIT))
        left -= len(parts[-1])
    said = json.loads(b"".join(parts))
    counters = {name: {key: tuple(value) for key, value in found.items()} for name, found in said["counters"].items()}
    return counters, said["rules"]


def close(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
