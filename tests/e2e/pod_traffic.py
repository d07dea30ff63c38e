"""What pods of several nodes say to each other, whatever backend carries it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.waiting import until

LISTENER = """
import socket, sys
with socket.create_server((sys.argv[1], 80)) as server:
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            total = 0
            while piece := connection.recv(65536):
                total += len(piece)
            connection.sendall(str(total).encode())
"""
SENDER = """
import socket, sys
for address in sys.argv[1:]:
    with socket.create_connection((address, 80), timeout=15) as connection:
        connection.sendall(bytes(2_000_000))
        connection.shutdown(socket.SHUT_WR)
        print(connection.recv(100).decode())
"""
SEEN_BY = """
import socket, sys
with socket.create_server((sys.argv[1], 81)) as server:
    print("ready", flush=True)
    while True:
        connection, peer = server.accept()
        with connection:
            connection.sendall(peer[0].encode())
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], 81), timeout=15) as connection:
    print(connection.recv(100).decode())
"""


def ping(sandbox: Sandbox, source: int, target: str) -> str:
    return sandbox.run(f"ping -c 1 -W 5 {target}", source)


def all_pairs_talk(sandbox: Sandbox, nodes: Sequence[Node], ttl: int) -> None:
    """Every pod pings every other one and sends it a TCP stream; so many hops."""
    pods = [node.add_pod() for node in nodes]
    for pid, address in pods:
        server = sandbox.start([sys.executable, "-c", LISTENER, address], f"listener-{address}", pid)
        until(lambda server=server: server.said("ready"), "the listener's start")  # type: ignore[misc]
    for pid, own in pods:
        others = [address for _, address in pods if address != own]
        for other in others:
            assert f"ttl={ttl} " in ping(sandbox, pid, other)
        assert sandbox.run([sys.executable, "-c", SENDER, *others], pid).split() == ["2000000"] * len(others)


def masqueraded_to_the_outside_only(sandbox: Sandbox, nodes: Sequence[Node]) -> None:
    """A pod of the first node is seen with its own address by another node's pod, with its node's by a machine outside."""
    (pod, own), (other, there) = (node.add_pod() for node in nodes)
    outside = sandbox.add_node(9)
    for where, address in ((other, there), (outside.pid, outside.address)):
        server = sandbox.start([sys.executable, "-c", SEEN_BY, address], f"seen-by-{address}", where)
        until(lambda server=server: server.said("ready"), "the server's start")  # type: ignore[misc]
    assert sandbox.run([sys.executable, "-c", ASK, there], pod) == f"{own}\n"
    assert sandbox.run([sys.executable, "-c", ASK, outside.address], pod) == f"{nodes[0].address}\n"
