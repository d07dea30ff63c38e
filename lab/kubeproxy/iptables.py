"""The iptables mode of kube-proxy on one node: everything at the start and when asked to look at everything, otherwise only what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.errors import CommandError
from lab.kubeproxy import conntrack, incremental, iptables_v17, iptables_v133, kubelet, leftovers, tables
from lab.kubeproxy.apply import RESTORE, SAVE, Runner
from lab.kubeproxy.backends import ServicePortView, view
from lab.kubeproxy.incremental import Chain, Change, Lines, Part
from lab.kubeproxy.modes import ModeConfig
from lab.kubeproxy.ports import HeldPorts, LocalPort
from lab.kubeproxy.seen import Name, Seen
from lab.kubeproxy.tables import Saved, Table
from lab.model.objects import Endpoints, Service

PORTION = 4000
"""Rules that one iptables-restore of the nft variant gets: its time grows faster than its input. The legacy variant's does not, and it
reads and writes a whole table each time, so it gets all at once."""

VERSION = ("iptables-restore", "--version")

LARGE = 1000
"""Back ends in a cluster above which today's kube-proxy leaves comments out."""


@dataclass(frozen=True)
class _Known:
    """A service as it was at the last sync, and what came of it.

    udp   its ports of that protocol, for conntrack's sake; the others are in `part`, and are many
    """

    service: Service
    endpoints: Endpoints | None
    udp: tuple[ServicePortView, ...]
    ports: frozenset[LocalPort]
    failed: frozenset[LocalPort]
    part: Part


class IptablesProxy:
    """A mode of kube-proxy: see lab.kubeproxy.modes.Proxier."""

    def __init__(self, run: Runner, config: ModeConfig, portion: int = PORTION) -> None:
        self.run, self.config, self.portion = run, config, portion
        self._held = HeldPorts(config.log)
        self._known: dict[Name, _Known] = {}
        self._chains: dict[Chain, Lines] = {}
        self._seen: dict[Chain, tuple[Lines, int]] = {}
        """By chain: the rules of a chain that was found intact, and the hash of how iptables-save prints them, which is as long again."""
        self._owners: dict[Chain, Name] = {}
        self._whole = True
        self._large = False
        self._objects = Seen()
        self._failing: set[Name] = set()
        self._in_portions: bool | None = None
        if config.rules_version == "1.7":
            self._base: tuple[Table, ...] = tables.joined(kubelet.tables(), iptables_v17.generate((), (), config.proxy))
        else:
            self._base = iptables_v133.generate((), (), config.proxy)
        self._skeleton = incremental.skeleton_of(self._base)

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Raises CommandError; the next sync then looks at everything, and sockets opened for this one are closed."""
        self._objects.look(services, endpoints)
        held = self._held.held
        known, changed = self._changed()
        try:
            if self._whole:
                self._write_whole(known)
            else:
                self._write_changes(known, changed)
        except CommandError:
            self._whole = True
            self._held.release(self._held.held - held)
            raise
        before, after = ([some[name] for name in changed if name in some] for some in (self._known, known))
        self._held.release({port for one in before for port in one.ports} - {port for one in after for port in one.ports})
        self._known = known
        self._failing = {name for name in self._failing.union(changed) if name in known and known[name].failed}
        self._objects.forget_changes()
        udp = [conntrack.state_of([view for one in some for view in one.udp]) for some in (before, after)]
        for command in conntrack.deletions(*udp):
            self._delete_entries(command)

    def refresh(self) -> None:
        """The next sync compares the kernel's rules with those that should be there, and puts right what differs."""
        self._whole = True

    def close(self) -> None:
        """Let the ports go; rules stay."""
        self._held.close()

    def _added(self, views: Sequence[ServicePortView], failed: frozenset[LocalPort]) -> tuple[Table, Table]:
        """What a service adds to the tables."""
        if self.config.rules_version == "1.7":
            refused = frozenset((port.ip, port.port, port.protocol) for port in failed)
            return iptables_v17.of_ports(views, self.config.proxy, refused)
        return iptables_v133.of_ports(views, self.config.proxy, comments=not self._large)

    def _changed(self) -> tuple[dict[Name, _Known], list[Name]]:
        """All services as they are to be known, and the names of those that came, went or became another."""
        large = self.config.rules_version != "1.7" and self._objects.addresses > LARGE
        forget, self._large = large != self._large, large
        known, changed = dict(self._known), []
        for name in sorted(self._objects.services.keys() | self._known.keys() if forget else self._objects.changed | self._failing):
            service, ends, old = self._objects.services.get(name), self._objects.endpoints.get(name), self._known.get(name)
            if service is None:
                if known.pop(name, None) is not None:
                    changed.append(name)
            elif old is not None and not forget and not old.failed and old.service == service and old.endpoints == ends:
                known[name] = replace(old, service=service, endpoints=ends)
            else:
                known[name] = self._read(service, ends)
                if old is None or old.part != known[name].part or old.udp != known[name].udp:
                    changed.append(name)
        return known, changed

    def _read(self, service: Service, endpoints: Endpoints | None) -> _Known:
        ends = (endpoints,) if endpoints is not None else ()
        views = tuple(view((service,), ends))
        ports = frozenset(_ports(views)) if self.config.hold_ports and self.config.rules_version == "1.7" else frozenset()
        failed = self._held.take(ports) if ports else ports
        part = incremental.part_of(self._added(views, failed))
        return _Known(service, endpoints, tuple(one for one in views if one.protocol == "udp"), ports, failed, part)

    def _write_changes(self, known: Mapping[Name, _Known], changed: Sequence[Name]) -> None:
        """Write the chains of services that changed, and what they add to the shared ones."""
        change, nothing = Change(), Part()
        shared: dict[Chain, tuple[list[str], list[str]]] = {}
        for name in changed:
            old = self._known[name].part if name in self._known else nothing
            new = known[name].part if name in known else nothing
            incremental.own_changes(change, old, new)
            for key in old.shared.keys() | new.shared.keys():
                if old.shared.get(key) != new.shared.get(key):
                    pair = shared.setdefault(key, ([], []))
                    pair[0].extend(old.shared.get(key, ()))
                    pair[1].extend(new.shared.get(key, ()))
        incremental.finish(change, lambda key: self._owners.get(key) in known and key in known[self._owners[key]].part.own)
        after: dict[Chain, Lines] = {}
        for key, (out, added) in shared.items():
            edits = incremental.edited(self._chains[key], tuple(out), tuple(added))
            if edits is None:
                change.written[key] = after[key] = incremental.whole_chain(self._skeleton, key, _parts(known))
            else:
                change.edits.setdefault(key[0], []).extend(edits[0])
                after[key] = edits[1]
        if change:
            self._apply(change, {}, {}, [known[name].part for name in changed if name in known])
        self._chains.update(change.written)
        self._chains.update(after)
        for key in change.gone:
            self._chains.pop(key, None)
            self._seen.pop(key, None)
            self._owners.pop(key, None)
        self._owners.update({key: name for name in changed if name in known for key in known[name].part.own})

    def _write_whole(self, known: Mapping[Name, _Known]) -> None:
        """Compare everything with the kernel, and write what differs.

        The first sync writes everything unseen, as the real one's; unless that is much: comparing costs less than writing.
        """
        text = self.run(SAVE, "")
        parts = _parts(known)
        wanted: dict[Chain, Lines] = {key: lines for part in parts for key, lines in part.own.items()}
        wanted |= {key: self._shared_chain(key, parts) for key in self._skeleton.first}
        change = Change()
        unseen = not self._chains and sum(len(lines) + 1 for lines in wanted.values()) <= self.portion
        seen: dict[Chain, tuple[Lines, int]] = {}
        missing = {(table.name, jump.saved): f"-I {jump.chain} 1 {jump.rule}" for table in self._base for jump in table.jumps}
        hooks = {(table.name, jump.chain) for table in self._base for jump in table.jumps}
        for key, found in incremental.chains_of(text):
            if key in hooks:
                for line in found:
                    missing.pop((key[0], line), None)
            if key in wanted:
                if not unseen and self._intact(key, wanted[key], found):
                    seen[key] = (wanted[key], hash(found))
            elif key[1].startswith(leftovers.SERVICE_CHAINS):
                change.gone.append(key)
        change.written = {key: lines for key, lines in wanted.items() if key not in seen}
        change.gone.sort()
        if change or missing:
            jumps = {table.name: [rule for (name, _), rule in missing.items() if name == table.name] for table in self._base}
            self._apply(change, jumps, tables.parse_saved(text), parts)
        self._chains, self._seen, self._whole = wanted, seen, False
        self._owners = {key: name for name, one in known.items() for key in one.part.own}

    def _shared_chain(self, key: Chain, parts: Sequence[Part]) -> Lines:
        """A shared chain as it should be: in the order in which it was written, if its rules are still the same."""
        lines = incremental.whole_chain(self._skeleton, key, parts)
        written = self._chains.get(key)
        return written if written is not None and sorted(written) == sorted(lines) else lines

    def _intact(self, key: Chain, lines: Lines, found: Lines) -> bool:
        """Whether the kernel has a chain as it should be."""
        if len(found) != len(lines):
            return False
        seen = self._seen.get(key)
        return (seen is not None and seen[0] == lines and seen[1] == hash(found)) or incremental.as_saved(lines) == found

    def _apply(self, change: Change, jumps: Mapping[str, Sequence[str]], saved: Mapping[str, Saved], parts: Iterable[Part]) -> None:
        portion = self.portion
        if change.size > portion:
            if self._in_portions is None:
                self._in_portions = "nf_tables" in self.run(VERSION, "")
            portion = portion if self._in_portions else change.size
        own = (part.own.keys() for part in parts)
        for text in incremental.texts(change, jumps, saved, frozenset(self._skeleton.first), own, portion):
            if text:
                self.run(RESTORE, text)

    def _delete_entries(self, command: Sequence[str]) -> None:
        """conntrack fails when it finds nothing to delete; that is what was wanted."""
        try:
            self.run(command, "")
        except CommandError as error:
            if "0 flow entries have been deleted" not in str(error):
                self.config.log(f"conntrack return with error: {error}")


def _parts(known: Mapping[Name, _Known]) -> list[Part]:
    return [known[name].part for name in sorted(known, key=lambda name: f"{name[0]}/{name[1]}:")]


def _ports(views: Iterable[ServicePortView]) -> Iterable[LocalPort]:
    """The ports to hold for a service."""
    for one in views:
        for ip in one.service.external_ips:
            yield LocalPort("externalIP", one.name, str(ip), one.port.port, one.protocol)
        if one.port.node_port:
            yield LocalPort("nodePort", one.name, "", one.port.node_port, one.protocol)
