"""Brings a node's kernel to the rules of its services: one iptables-save to see what is there, one iptables-restore to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.errors import CommandError
from lab.kubeproxy import conntrack, iptables_v17, kubelet, names, tables
from lab.kubeproxy.backends import ServicePortView, view
from lab.model.objects import Endpoints, Service

Runner = Callable[[Sequence[str], str], str]
"""Runs a command, given its argument list and standard input, on the node and returns its standard output; raises CommandError."""

SAVE = ("iptables-save",)
RESTORE = ("iptables-restore", "-w", "5", "--noflush", "--counters")
"""-w: iptables-legacy gives up at once when flanneld holds its lock at that moment, unless it may wait; seconds."""


class Syncer:
    """The kube-proxy of one node, without its watch: told the whole state, it changes what differs. Writes kubelet's rules as well.

    Left out of the real one: it does not hold the sockets of node ports, so another program on the node can still bind such a port.
    """

    def __init__(self, run: Runner, config: iptables_v17.ProxyConfig) -> None:
        self.run = run
        self.config = config
        self._udp: dict[str, ServicePortView] = {}

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Make the node's rules those of the services.

        Raises CommandError. Each of the two tables is then as it was before or complete, never in between.
        """
        wanted = tables.joined(kubelet.tables(), iptables_v17.generate(services, endpoints, self.config))
        saved = tables.parse_saved(self.run(SAVE, ""))
        self.run(RESTORE, tables.restore_text(wanted, saved, names.OWN_PREFIXES))
        udp = conntrack.state_of(view(services, endpoints))
        for command in conntrack.deletions(self._udp, udp):
            self._delete_entries(command)
        self._udp = udp

    def cleanup(self) -> None:
        """Take every rule and chain of kube-proxy away, as `kube-proxy --cleanup-iptables` does; kubelet's and all others stay."""
        saved = tables.parse_saved(self.run(SAVE, ""))
        self.run(RESTORE, tables.removal_text(iptables_v17.generate((), (), self.config), saved, names.OWN_PREFIXES))

    def _delete_entries(self, command: Sequence[str]) -> None:
        """conntrack fails when it finds nothing to delete; that is what was wanted."""
        try:
            self.run(command, "")
        except CommandError as error:
            if "0 flow entries have been deleted" not in str(error):
                raise
