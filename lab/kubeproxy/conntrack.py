"""Which conntrack entries have to go when services change. Pure.

UDP has no end of a connection: as long as packets come, an entry lives, and with it the choice of a back end that may be gone. v1.7
deletes such entries, for UDP only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.kubeproxy.backends import ServicePortView

State = Mapping[str, ServicePortView]
"""Port name -> port, UDP ones only: what the last sync knew."""


def state_of(views: Sequence[ServicePortView]) -> dict[str, ServicePortView]:
    """What to remember of a sync."""
    return {one.name: one for one in views if one.protocol == "udp"}


def deletions(before: State, after: State) -> list[list[str]]:
    """The conntrack commands for a change from one sync to the next, v1.7's, in the order of the names."""
    commands: list[list[str]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is not None and (new is None or (not old.backends and new.backends)):
            commands.append(["conntrack", "-D", "--orig-dst", str(old.cluster_ip), "-p", "udp"])
        elif old is not None and new is not None:
            for backend in old.backends:
                if backend not in new.backends:
                    commands.append(["conntrack", "-D", "--orig-dst", str(old.cluster_ip), "--dst-nat", str(backend.ip), "-p", "udp"])
        if new is not None and new.port.node_port and (old is None or not old.port.node_port):
            commands.append(["conntrack", "-D", "-p", "udp", "--dport", str(new.port.node_port)])
    return commands
