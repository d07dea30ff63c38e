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
from lab.kubeproxy.tables import Jump, Saved, Table
from lab.model.objects import Endpoints, Service

PORTION = 8000
"""Rules that one iptables-restore gets: the nft variant's time grows faster than its input."""

LARGE = 1000
"""Back ends in a cluster above which today's kube-proxy leaves comments out."""

Name = tuple[str, str]


@dataclass(frozen=True)
class _Known:
    """A service as it was at the last sync, and what came of it."""

    service: Service
    endpoints: Endpoints | None
    views: tuple[ServicePortView, ...]
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
        self._seen: dict[Chain, tuple[Lines, Lines]] = {}
        self._owners: dict[Chain, Name] = {}
        self._whole = True
        self._large = False
        base = tables.joined(kubelet.tables(), self._generate((), ())) if config.rules_version == "1.7" else self._generate((), ())
        self._base = tuple(base)
        self._skeleton = incremental.skeleton_of(self._base)
        self._parts_skeleton = incremental.skeleton_of(self._generate((), ()))

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Raises CommandError; the next sync then looks at everything, and sockets opened for this one are closed."""
        large = self.config.rules_version != "1.7" and sum(len(one.addresses) for each in endpoints for one in each.subsets) > LARGE
        forget, self._large = large != self._large, large
        held = self._held.held
        known, changed = self._changed(services, endpoints, forget)
        try:
            if self._whole:
                self._write_whole(known)
            else:
                self._write_changes(known, changed)
        except CommandError:
            self._whole = True
            self._held.release(self._held.held - held)
            raise
        before = [view for name in changed for view in (self._known[name].views if name in self._known else ())]
        after = [view for name in changed for view in (known[name].views if name in known else ())]
        self._held.release(self._held.held - frozenset(port for one in known.values() for port in one.ports))
        self._known = known
        for command in conntrack.deletions(conntrack.state_of(before), conntrack.state_of(after)):
            self._delete_entries(command)

    def refresh(self) -> None:
        """The next sync compares the kernel's rules with those that should be there, and puts right what differs."""
        self._whole = True

    def close(self) -> None:
        """Let the ports go; rules stay."""
        self._held.close()

    def _generate(self, services: Iterable[Service], endpoints: Iterable[Endpoints], failed: frozenset[LocalPort] = frozenset()) -> tuple[Table, ...]:
        if self.config.rules_version == "1.7":
            refused = frozenset((port.ip, port.port, port.protocol) for port in failed)
            return iptables_v17.generate(services, endpoints, self.config.proxy, refused)
        return iptables_v133.generate(services, endpoints, self.config.proxy, comments=not self._large)

    def _changed(self, services: Sequence[Service], endpoints: Sequence[Endpoints], forget: bool) -> tuple[dict[Name, _Known], list[Name]]:
        """All services as they are to be known, in the order of their names, and the names of those that came, went or changed."""
        by_name = {(one.namespace, one.name): one for one in endpoints}
        known: dict[Name, _Known] = {}
        changed = []
        for service in services:
            name = (service.namespace, service.name)
            ends, old = by_name.get(name), self._known.get(name)
            if old is not None and not forget and old.service is service and old.endpoints is ends and not old.failed:
                known[name] = old
                continue
            if old is not None and not forget and not old.failed and old.service == service and old.endpoints == ends:
                known[name] = replace(old, service=service, endpoints=ends)
                continue
            known[name] = self._read(service, ends)
            if old is None or old.part != known[name].part or old.views != known[name].views:
                changed.append(name)
        changed += [name for name in self._known if name not in known]
        return known, changed

    def _read(self, service: Service, endpoints: Endpoints | None) -> _Known:
        ends = (endpoints,) if endpoints is not None else ()
        views = tuple(view((service,), ends))
        ports = frozenset(_ports(views)) if self.config.hold_ports and self.config.rules_version == "1.7" else frozenset()
        failed = self._held.take(ports) if ports else ports
        part = incremental.part_of(self._generate((service,), ends, failed), self._parts_skeleton)
        return _Known(service, endpoints, views, ports, failed, part)

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
            self._apply(change, {}, {})
        self._chains.update(change.written)
        self._chains.update(after)
        for key in change.gone:
            self._chains.pop(key, None)
            self._seen.pop(key, None)
            self._owners.pop(key, None)
        self._owners.update({key: name for name in changed if name in known for key in known[name].part.own})

    def _write_whole(self, known: Mapping[Name, _Known]) -> None:
        """Compare everything with the kernel, and write what differs. What nothing is known of, at the first sync, is written unseen."""
        text = self.run(SAVE, "")
        found, saved = incremental.by_chain(text), tables.parse_saved(text)
        parts = _parts(known)
        wanted: dict[Chain, Lines] = {key: lines for part in parts for key, lines in part.own.items()}
        wanted |= {key: self._shared_chain(key, parts) for key in self._skeleton.first}
        change = Change()
        seen: dict[Chain, tuple[Lines, Lines]] = {}
        for key, lines in wanted.items():
            if self._intact(key, lines, found.get(key)):
                seen[key] = (lines, found[key])
            else:
                change.written[key] = lines
        change.gone = sorted(key for key in found if key not in wanted and key[1].startswith(leftovers.SERVICE_CHAINS))
        jumps = {table.name: _missing(table.jumps, saved.get(table.name, Saved())) for table in self._base}
        if change or any(jumps.values()):
            self._apply(change, jumps, saved)
        self._chains, self._seen, self._whole = wanted, seen, False
        self._owners = {key: name for name, one in known.items() for key in one.part.own}

    def _shared_chain(self, key: Chain, parts: Sequence[Part]) -> Lines:
        """A shared chain as it should be: in the order in which it was written, if its rules are still the same."""
        lines = incremental.whole_chain(self._skeleton, key, parts)
        written = self._chains.get(key)
        return written if written is not None and sorted(written) == sorted(lines) else lines

    def _intact(self, key: Chain, lines: Lines, found: Lines | None) -> bool:
        """Whether the kernel has a chain as it was written."""
        if found is None or self._chains.get(key) != lines:
            return False
        seen = self._seen.get(key)
        if seen is not None and seen[0] == lines and seen[1] == found:
            return True
        return len(found) == len(lines) and incremental.as_saved(lines) == found

    def _apply(self, change: Change, jumps: Mapping[str, Sequence[str]], saved: Mapping[str, Saved]) -> None:
        for text in incremental.texts(change, jumps, saved, frozenset(self._skeleton.first), self.portion):
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


def _missing(jumps: Sequence[Jump], saved: Saved) -> list[str]:
    return [f"-I {jump.chain} 1 {jump.rule}" for jump in jumps if jump.saved not in saved.rules]


def _ports(views: Iterable[ServicePortView]) -> Iterable[LocalPort]:
    """The ports to hold for a service."""
    for one in views:
        for ip in one.service.external_ips:
            yield LocalPort("externalIP", one.name, str(ip), one.port.port, one.protocol)
        if one.port.node_port:
            yield LocalPort("nodePort", one.name, "", one.port.node_port, one.protocol)
