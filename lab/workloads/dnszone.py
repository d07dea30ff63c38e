"""The cluster's DNS zone, made from services and endpoints, and what it answers: Kubernetes' DNS specification 1.1. Pure.

    NAME.NS.svc.DOMAIN                 the cluster IP; of a headless service the addresses of its ready pods
    HOSTNAME.NAME.NS.svc.DOMAIN        one pod of a headless service; without hostname 10-244-1-53 stands for it
    _PORT._PROTOCOL.NAME.NS.svc.DOMAIN SRV: a named port, and the name to dial
    10-244-1-53.NS.pod.DOMAIN          the address that the name spells
    53.1.244.10.in-addr.arpa           PTR: the service of a cluster IP, or a pod that stands behind one

Names are in lower case and without the dot at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

Json = Mapping[str, Any]

TTL = 30
"""Seconds that kube-dns lets others keep an answer."""

VERSION = "1.1.0"
"""Of the specification, as dns-version.DOMAIN says it."""

REVERSE = "in-addr.arpa"
NOERROR, NXDOMAIN, REFUSED = 0, 3, 5
_HOPS = 8
"""CNAMEs that are followed within the zone; a ring of ExternalNames would have no end."""


@dataclass(frozen=True)
class Record:
    """One record. `data` as in a zone file, with absolute names ending in a dot."""

    name: str
    type: str
    data: str


@dataclass(frozen=True)
class Answer:
    """What a question gets. `authoritative` is false only outside the zone."""

    code: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()

    @property
    def authoritative(self) -> bool:
        """Whether the question was one for this zone."""
        return self.code != REFUSED


@dataclass
class Zone:
    """All records, by name. `serial` tells one state of the zone from the next."""

    domain: str = "cluster.local"
    serial: int = 1
    records: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    inner: set[str] = field(default_factory=set)

    def add(self, name: str, kind: str, data: str) -> None:
        """Add a record, once. Names above it exist from then on, though without records."""
        record = Record(name, kind, data)
        if record not in self.records[name]:
            self.records[name].append(record)
        while "." in name and name not in (self.domain, REVERSE):
            name = name.partition(".")[2]
            self.inner.add(name)

    def soa(self, apex: str) -> Record:
        """The start of authority of the zone below `apex`."""
        return Record(apex, "SOA", f"ns.dns.{self.domain}. hostmaster.{self.domain}. {self.serial} 7200 1800 86400 {TTL}")

    def answer(self, name: str, kind: str) -> Answer:
        """What a question for `name` and a type (`A`, `SRV`, `ANY` …) gets."""
        name = name.lower().rstrip(".")
        apex = next((one for one in (self.domain, REVERSE) if name == one or name.endswith("." + one)), "")
        if not apex:
            return Answer(REFUSED)
        chain: list[Record] = []
        for _ in range(_HOPS):
            found = self._at(name)
            matching = [record for record in found if kind in (record.type, "ANY")]
            alias = next((record for record in found if record.type == "CNAME"), None)
            if matching or alias is None:
                break
            chain.append(alias)
            name = alias.data.lower().rstrip(".")
            if not name.endswith("." + self.domain):
                return Answer(NOERROR, tuple(chain))
        if matching:
            return Answer(NOERROR, (*chain, *matching), (), tuple(self._additional(matching)))
        code = NOERROR if found or self._exists(name) or chain and alias is not None else NXDOMAIN
        return Answer(code, tuple(chain), (self.soa(apex),))

    def _at(self, name: str) -> list[Record]:
        if name in (self.domain, REVERSE):
            return [self.soa(name), Record(name, "NS", f"ns.dns.{self.domain}."), *self.records.get(name, ())]
        address = self._spelled(name)
        return [Record(name, "A", str(address))] if address else self.records.get(name, [])

    def _exists(self, name: str) -> bool:
        return name in self.inner or name in self.records

    def _spelled(self, name: str) -> IPv4Address | None:
        """The address in 10-244-1-53.NS.pod.DOMAIN: answered unseen, as kube-dns does."""
        first, _, rest = name.partition(".")
        if rest.count(".") < 1 or rest.partition(".")[2] != f"pod.{self.domain}":
            return None
        try:
            return IPv4Address(first.replace("-", "."))
        except ValueError:
            return None

    def _additional(self, records: Iterable[Record]) -> Iterator[Record]:
        """The addresses of the names that SRV records send a client to."""
        for target in dict.fromkeys(record.data.split()[-1] for record in records if record.type == "SRV"):
            yield from (record for record in self._at(target.lower().rstrip(".")) if record.type == "A")


def build(services: Iterable[Json], endpoints: Iterable[Json], domain: str = "cluster.local", serial: int = 1) -> Zone:
    """The zone of these objects. What is incomplete in an object is left out."""
    zone = Zone(domain.lower().strip("."), serial)
    zone.add(f"dns-version.{zone.domain}", "TXT", f'"{VERSION}"')
    zone.inner |= {f"svc.{zone.domain}", f"pod.{zone.domain}"}
    behind = {_key(item): item for item in endpoints}
    for service in services:
        _service(zone, service, behind.get(_key(service)))
    return zone


def _key(item: Json) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace") or "default", metadata["name"]


def _service(zone: Zone, service: Json, behind: Json | None) -> None:
    namespace, name = _key(service)
    spec = service.get("spec") or {}
    own = f"{name}.{namespace}.svc.{zone.domain}".lower()
    zone.inner.add(f"{namespace}.pod.{zone.domain}".lower())
    if spec.get("type") == "ExternalName":
        target = str(spec.get("externalName") or "").rstrip(".")
        if target:
            zone.add(own, "CNAME", target + ".")
        return
    address = _address(spec.get("clusterIP"))
    if address:
        zone.add(own, "A", str(address))
        zone.add(reverse(address), "PTR", own + ".")
        if (namespace, name) in (("kube-system", "kube-dns"), ("kube-system", "coredns")):
            zone.add(f"ns.dns.{zone.domain}", "A", str(address))
        for port in spec.get("ports") or ():
            _srv(zone, own, port, own)
    headless = spec.get("clusterIP") == "None"
    unready = bool(spec.get("publishNotReadyAddresses"))
    if headless:
        zone.inner.add(own)
    for ip, hostname, ports in _back_ends(behind, unready):
        target = f"{hostname or str(ip).replace('.', '-')}.{own}".lower()
        zone.add(reverse(ip), "PTR", target + ".")
        if headless:
            zone.add(own, "A", str(ip))
            zone.add(target, "A", str(ip))
            for port in ports:
                _srv(zone, own, port, target)


def _srv(zone: Zone, own: str, port: Json, target: str) -> None:
    if port.get("name") and port.get("port"):
        protocol = str(port.get("protocol") or "TCP").lower()
        zone.add(f"_{port['name']}._{protocol}.{own}".lower(), "SRV", f"0 100 {port['port']} {target}.")


def _back_ends(item: Json | None, unready: bool) -> Iterator[tuple[IPv4Address, str, list[Json]]]:
    """Address, hostname (empty for none) and ports of each."""
    for subset in (item or {}).get("subsets") or ():
        addresses = list(subset.get("addresses") or ()) + (list(subset.get("notReadyAddresses") or ()) if unready else [])
        for one in addresses:
            ip = _address(one.get("ip"))
            if ip:
                yield ip, str(one.get("hostname") or ""), list(subset.get("ports") or ())


def reverse(address: IPv4Address) -> str:
    """The name under which a PTR record for an address stands."""
    return address.reverse_pointer


def _address(text: object) -> IPv4Address | None:
    try:
        return IPv4Address(text if isinstance(text, str) else "")
    except ValueError:
        return None
