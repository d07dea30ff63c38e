"""Which conntrack entries have to go when services change. Pure.

UDP has no end of a connection: as long as packets come, an entry lives, and with it the choice of a back end that may be gone. v1.7
deletes such entries, for UDP only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lab.kubeproxy.backends import ServicePortView

State = Mapping[str, ServicePortView]
"""Port name -> port, UDP ones only: what the last sync knew."""


def state_of(views: Sequence[ServicePortView]) -> dict[str, ServicePortView]:
    """What to remember of a sync."""
    return {one.name: one for one in views if one.protocol == "udp"}


def deletions(before: State, after: State) -> list[list[str]]:
    """The conntrack commands for a change from one sync to the next, in the order of the names, each once.

    v1.7's: all entries of a cluster IP whose port is gone or has got its first back ends, a new service's included, because a client that
    asked too early has an entry that leads nowhere; the entries of a back end that is gone; the entries of a new node port. One more than
    v1.7: a cluster IP that changed counts as gone.
    """
    commands: dict[tuple[str, ...], None] = {}
    for name in sorted(before.keys() | after.keys()):
        for command in _of_port(before.get(name), after.get(name)):
            commands[command] = None
    return [list(command) for command in commands]


def _of_port(old: ServicePortView | None, new: ServicePortView | None) -> Iterator[tuple[str, ...]]:
    """The commands for one service port that was `old` and is `new`."""
    if old is not None and (new is None or new.cluster_ip != old.cluster_ip):
        yield "conntrack", "-D", "--orig-dst", str(old.cluster_ip), "-p", "udp"
    if new is None:
        return
    if new.backends and (old is None or not old.backends):
        yield "conntrack", "-D", "--orig-dst", str(new.cluster_ip), "-p", "udp"
    kept = {(backend.ip, backend.port) for backend in new.backends}
    for backend in old.backends if old is not None else ():
        if (backend.ip, backend.port) not in kept:
            yield "conntrack", "-D", "--orig-dst", str(new.cluster_ip), "--dst-nat", str(backend.ip), "-p", "udp"
    if new.port.node_port and (old is None or old.port.node_port != new.port.node_port):
        yield "conntrack", "-D", "-p", "udp", "--dport", str(new.port.node_port)
