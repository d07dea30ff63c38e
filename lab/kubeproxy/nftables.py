"""The nftables mode of kube-proxy on one node: one transaction with everything at the start, afterwards only what changed."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network

from lab.errors import CommandError
from lab.kubeproxy import conntrack, entries, nft_rules, nft_text
from lab.kubeproxy.apply import Runner
from lab.kubeproxy.backends import ServicePortView, view
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.nft_rules import Ruleset
from lab.model.objects import Endpoints, Service

LOAD = ("nft", "-f", "-")
LIST = ("nft", "-t", "list", "table", *nft_text.TABLE.split())
DELETE = ("nft", "delete", "table", *nft_text.TABLE.split())


class NftablesProxy:
    """A mode of kube-proxy: see lab.kubeproxy.modes.Proxier. Needs the program `nft`."""

    def __init__(self, run: Runner, config: ProxyConfig, service_cidr: IPv4Network | None = None) -> None:
        self.run = run
        self.config = config
        self.service_cidr = service_cidr
        self._written: Ruleset | None = None
        self._stale: frozenset[str] = frozenset()
        self._udp: dict[str, ServicePortView] = {}

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Make the table that of the services. Raises CommandError; the table is then as it was, and the next sync writes all of it."""
        wanted = nft_rules.generate(services, endpoints, self.config, self.service_cidr)
        self._delete_stale()
        before, self._written = self._written, None
        if before is None:
            self._write_whole(wanted)
        else:
            text = nft_text.changes(before, wanted)
            if text:
                self.run(LOAD, text)
            self._stale = (self._stale | frozenset(nft_text.gone(before, wanted))) - wanted.chains.keys()
        self._written = wanted
        udp = conntrack.state_of(view(services, endpoints))
        entries.delete(self.run, conntrack.deletions(self._udp, udp))
        self._udp = udp

    def refresh(self) -> None:
        """The next sync writes everything: what the periodic full sync is for."""
        self._written = None

    def cleanup(self) -> None:
        """Delete the table, if there is one."""
        self._written, self._stale = None, frozenset()
        if self._listed() is not None:
            self.run(DELETE, "")

    def close(self) -> None:
        """Nothing to let go of: the rules stay, as with the real one."""

    def _write_whole(self, wanted: Ruleset) -> None:
        """Keep what clients are remembered for, unless what is in the table does not fit."""
        listed = self._listed()
        left = nft_text.parse_list(listed or "")
        try:
            self.run(LOAD, nft_text.whole(wanted, left))
        except CommandError:
            if listed is None:
                raise
            self.run(LOAD, nft_text.anew(wanted))
            left = nft_text.NOTHING
        self._stale = left.chains - wanted.chains.keys()

    def _listed(self) -> str | None:
        try:
            return self.run(LIST, "")
        except CommandError as error:
            if "No such file or directory" in str(error):
                return None
            raise

    def _delete_stale(self) -> None:
        """Chains that an earlier sync emptied. A kernel that still believes them in use gets another try at the next sync."""
        if not self._stale:
            return
        try:
            self.run(LOAD, nft_text.deletion(self._stale))
        except CommandError:
            return
        self._stale = frozenset()
