"""The nftables mode of kube-proxy on one node: everything at the start, in portions if that is much, afterwards only what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.errors import CommandError
from lab.kubeproxy import conntrack, entries, leftovers, nft_rules, nft_text
from lab.kubeproxy.apply import Runner
from lab.kubeproxy.backends import ServicePortView, view
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.nft_rules import Ruleset
from lab.kubeproxy.seen import Name, Seen
from lab.model.objects import Endpoints, Service

LOAD = ("nft", "-f", "-")

PORTION = 600
"""Chains that one transaction writes: the kernel's time for it grows with the square of the maps in it, and every start of nft costs, too."""

KEPT = 100
"""Emptied chains stay until there is one of them for so many services: nft asks the kernel for all chains before it deletes one."""


@dataclass(frozen=True)
class _Known:
    """A service as it was at the last sync, and what came of it."""

    service: Service
    endpoints: Endpoints | None
    part: Ruleset

    def views(self) -> list[ServicePortView]:
        return view((self.service,), (self.endpoints,) if self.endpoints else ())


class NftablesProxy:
    """A mode of kube-proxy: see lab.kubeproxy.modes.Proxier. Needs the program `nft`.

    Two services that claim the same external IP and port are one too many: the later counts, and when it goes, the other has it back with
    the next sync of everything.
    """

    def __init__(self, run: Runner, config: ProxyConfig, service_cidr: IPv4Network | None = None, portion: int = PORTION) -> None:
        self.run = run
        self.config = config
        self.portion = portion
        self.service_cidr = service_cidr
        self._known: dict[Name, _Known] = {}
        self._objects = Seen()
        self._whole = True
        self._stale: frozenset[str] = frozenset()

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Make the table that of the services.

        Raises CommandError. The table is then as it was, unless it is large and was to be written as a whole: then some services may be as
        wanted and others as they were. The next sync writes all of it.
        """
        self._objects.look(services, endpoints)
        known, names = self._changed()
        before = [self._known[name] for name in names if name in self._known]
        after = [known[name] for name in names if name in known]
        self._delete_stale()
        try:
            if self._whole:
                self._write_whole([known[name].part for name in sorted(known, key=_in_order)])
            elif names:
                self._write_changes(_together(before), _together(after))
        except CommandError:
            self._whole = True
            raise
        self._known, self._whole = known, False
        self._objects.forget_changes()
        udp = [conntrack.state_of([one for each in some for one in each.views()]) for some in (before, after)]
        entries.delete(self.run, conntrack.deletions(*udp))

    def _changed(self) -> tuple[dict[Name, _Known], list[Name]]:
        """All services as they are to be known, and the names of those that came, went or became another."""
        known, names = dict(self._known), []
        for name in sorted(self._objects.changed):
            service, ends, old = self._objects.services.get(name), self._objects.endpoints.get(name), self._known.get(name)
            if service is None:
                if known.pop(name, None) is not None:
                    names.append(name)
            elif old is None or old.service != service or old.endpoints != ends:
                known[name] = _Known(service, ends, nft_rules.part_of(service, ends, self.config))
                names.append(name)
        return known, names

    def _write_changes(self, before: Ruleset, after: Ruleset) -> None:
        text = nft_text.changes(before, after)
        if text:
            self.run(LOAD, text)
        self._stale = (self._stale | frozenset(nft_text.gone(before, after))) - after.chains.keys()

    def refresh(self) -> None:
        """The next sync writes everything: what the periodic full sync is for."""
        self._whole = True

    def close(self) -> None:
        """Nothing to let go of: the rules stay, as with the real one."""

    def _write_whole(self, parts: Sequence[Ruleset]) -> None:
        """Keep what clients are remembered for, unless what is in the table does not fit."""
        wanted = nft_rules.generate((), (), self.config, self.service_cidr)
        for part in parts:
            wanted.add(part)
        listed = self._listed()
        left = nft_text.parse_list(listed or "")
        try:
            if len(wanted.chains) > self.portion:
                for text in nft_text.portions(wanted, parts, left, self.portion):
                    self.run(LOAD, text)
            else:
                self.run(LOAD, nft_text.whole(wanted, left))
        except CommandError:
            if listed is None:
                raise
            self.run(LOAD, nft_text.anew(wanted))
            left = nft_text.NOTHING
        self._stale = frozenset(left.chains.keys() - wanted.chains.keys())

    def _listed(self) -> str | None:
        try:
            return self.run(leftovers.LIST, "")
        except CommandError as error:
            if "No such file or directory" in str(error):
                return None
            raise

    def _delete_stale(self) -> None:
        """Chains that an earlier sync emptied. A kernel that still believes them in use gets another try at the next sync."""
        if not self._stale or (len(self._stale) * KEPT < len(self._known) and not self._whole):
            return
        try:
            self.run(LOAD, nft_text.deletion(self._stale))
        except CommandError:
            return
        self._stale = frozenset()


def _in_order(name: Name) -> str:
    return f"{name[0]}/{name[1]}:"


def _together(known: Iterable[_Known]) -> Ruleset:
    table = Ruleset()
    for one in known:
        table.add(one.part)
    return table
