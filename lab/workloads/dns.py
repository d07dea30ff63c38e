"""The image `kube-dns`, also called `coredns`: the cluster's DNS server, on UDP and TCP, which follows services and endpoints.

It knows the cluster's zone and nothing else: there is no way out of the lab to a DNS server of the world, so names outside get REFUSED.
What it answers is computed in lab.workloads.dnszone; packets are read and written by dnspython.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from lab.errors import LabError
from lab.master.client import ApiClient
from lab.master.informer import Informer
from lab.workloads import dnszone
from lab.workloads.images import DNS_PORT

if TYPE_CHECKING:
    from dns.message import Message
    from dns.rrset import RRset

PLAIN_UDP = 512
LARGEST_UDP = 4096
"""Bytes of an answer over UDP: without EDNS, and at most with it."""

PATIENCE = 5.0
"""Seconds that a TCP client may take for its next question."""

CONNECTIONS = 200
"""TCP clients at a time; more are sent away."""

_SHUFFLED = "A"

Ask = Callable[[str, str], dnszone.Answer]
"""A name and a type."""


class Records:
    """The newest zone, made anew when a question comes after a change. Safe for several threads."""

    def __init__(self, client: ApiClient, domain: str, log: Callable[[str], None]) -> None:
        self._services = Informer(client, "services", self.changed, log=log)
        self._endpoints = Informer(client, "endpoints", self.changed, log=log)
        self._domain = domain
        self._lock = threading.Lock()
        self._changes = 1
        self._zone: dnszone.Zone | None = None

    def start(self) -> None:
        """Begin to follow, and wait for the first lists."""
        for informer in (self._services, self._endpoints):
            informer.start()
        for informer in (self._services, self._endpoints):
            informer.synced.wait()

    def stop(self) -> None:
        """End the following."""
        for informer in (self._services, self._endpoints):
            informer.stop()

    def changed(self, *_: object) -> None:
        """Something is new: told by both informers."""
        with self._lock:
            self._changes += 1
            self._zone = None

    def answer(self, name: str, kind: str) -> dnszone.Answer:
        """See Zone.answer."""
        with self._lock:
            if self._zone is None:
                self._zone = dnszone.build(self._services.items, self._endpoints.items, self._domain, self._changes)
            zone = self._zone
        return zone.answer(name, kind)


def reply(packet: bytes, ask: Ask, limit: int | None) -> bytes | None:
    """The answer to one packet, None for what deserves none. Never raises, whatever the packet.

    limit   bytes that fit without EDNS, None for TCP; a longer answer is cut off, with the bit TC that sends the client to TCP
    """
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    if len(packet) < 12 or packet[2] & 0x80:  # no header, or itself an answer: two servers would talk forever
        return None
    try:
        query = dns.message.from_wire(packet, ignore_trailing=True)
        response = _response(query, ask)
        size = 65535 if limit is None else max(limit, min(query.payload, LARGEST_UDP)) if query.edns >= 0 else limit
        try:
            return response.to_wire(max_size=size)
        except dns.exception.TooBig:
            for section in response.sections[1:]:
                section.clear()
            response.flags |= dns.flags.TC
            return response.to_wire(max_size=65535)
    except Exception:  # every error of the parser, and of names that no packet can hold, is the sender's fault
        return packet[:2] + struct.pack("!HHHHH", 0x8000 | (packet[2] & 0x78) << 8 | dns.rcode.FORMERR, 0, 0, 0, 0)


def _response(query: Message, ask: Ask) -> Message:
    import dns.flags
    import dns.message
    import dns.opcode
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype

    response = dns.message.make_response(query, our_payload=LARGEST_UDP)
    if query.opcode() != dns.opcode.QUERY:
        response.set_rcode(dns.rcode.NOTIMP)
    elif len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
    elif query.edns > 0:
        response.set_rcode(dns.rcode.BADVERS)
    elif query.question[0].rdclass != dns.rdataclass.IN or query.question[0].rdtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR):
        response.set_rcode(dns.rcode.REFUSED)
    else:
        question = query.question[0]
        answer = ask(question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
        response.set_rcode(dns.rcode.Rcode(answer.code))
        if answer.authoritative:
            response.flags |= dns.flags.AA
        _fill(response, response.answer, answer.answer)
        _fill(response, response.authority, answer.authority)
        _fill(response, response.additional, answer.additional)
    return response


def _fill(response: Message, section: list[RRset], records: Sequence[dnszone.Record]) -> None:
    """Put records into a section; the addresses in another order each time, so that clients spread over them."""
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    addresses = [record for record in records if record.type == _SHUFFLED]
    random.shuffle(addresses)
    for record in [*(record for record in records if record.type != _SHUFFLED), *addresses]:
        kind = dns.rdatatype.from_text(record.type)
        name = dns.name.from_text(record.name + ".")
        rrset = response.find_rrset(section, name, dns.rdataclass.IN, kind, create=True)
        rrset.add(dns.rdata.from_text(dns.rdataclass.IN, kind, record.data), dnszone.TTL)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = reply(data, self._ask, PLAIN_UDP)
        if answer is not None and self._transport is not None and address[1]:
            self._transport.sendto(answer, address)


class _Streams:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client's questions until it goes, stays silent, or says something that is none."""
        self._open += 1
        try:
            while self._open <= CONNECTIONS:
                (length,) = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), PATIENCE))
                answer = reply(await asyncio.wait_for(reader.readexactly(length), PATIENCE), self._ask, None)
                if answer is None:
                    break
                writer.write(struct.pack("!H", len(answer)) + answer)
                await asyncio.wait_for(writer.drain(), PATIENCE)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # this client has gone, or is as good as gone
        finally:
            self._open -= 1
            writer.close()


async def serve(ask: Ask, address: str, port: int) -> None:
    """Answer on UDP and TCP until cancelled. Raises OSError when the port is taken."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(ask), (address, port))
    with contextlib.closing(transport):
        async with await asyncio.start_server(_Streams(ask).serve, address, port) as server:
            print(f"serving DNS on {address}:{port}", flush=True)  # noqa: T201 (the container's log)
            await server.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kube-dns", description="The cluster's DNS server.", allow_abbrev=False)
    parser.add_argument("--kube-master-url", metavar="URL", required=True, help="the apiserver, plain HTTP: http://10.229.43.65:8080")
    parser.add_argument("--domain", default="cluster.local", help="the cluster's domain (cluster.local)")
    parser.add_argument("--dns-port", type=int, default=DNS_PORT, help="port, UDP and TCP (53)")
    parser.add_argument("--dns-bind-address", default="0.0.0.0", help="address (0.0.0.0)")
    parser.add_argument("-v", "--v", type=int, default=0, help="accepted and ignored, as --logtostderr and -conf")
    parser.add_argument("--logtostderr", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-conf", "--conf", "--config-dir", "--config-map", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Serve until killed. Questions that come before the first lists of services and endpoints wait for them, as kube-dns makes them."""
    args = _parser().parse_args(list(argv))

    def log(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 (the container's log)

    try:
        client = ApiClient(args.kube_master_url, agent="kube-dns")
        records = Records(client, args.domain, log)
        records.start()
        asyncio.run(serve(records.answer, args.dns_bind_address, args.dns_port))
    except (LabError, OSError, OverflowError) as error:
        log(f"kube-dns: {error}")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0
