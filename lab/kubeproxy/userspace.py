"""The userspace mode of kube-proxy v1.7 on one node: it accepts the connections to services itself and dials a back end for each.

One process: the relaying runs in a thread with an asyncio loop, so that a sync, which waits for iptables, never stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, TypeVar

from lab.errors import UsageError
from lab.kubeproxy import entries, portals, tables
from lab.kubeproxy.apply import RESTORE, SAVE, Runner
from lab.kubeproxy.backends import Backend, ServicePortView, view
from lab.kubeproxy.balancer import RoundRobin
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.portals import ANY, Key
from lab.kubeproxy.ports import HeldPorts, LocalPort
from lab.kubeproxy.relay import DatagramProxy, StreamProxy
from lab.model.objects import Endpoints, Service

OPEN_FILES = 64000
NODE_PORT = "nodePort"
CALL_TIMEOUT = 120.0
"""Seconds that the relaying thread has for opening or closing sockets: finding ten thousand free ports takes the kernel six."""

T = TypeVar("T")


@dataclass
class _Proxy:
    """A service port that is served. `wanted`: what it was made for; another means another socket, as in v1.7."""

    wanted: tuple[object, ...]
    port: int
    relay: StreamProxy | DatagramProxy
    claims: frozenset[LocalPort]


class UserspaceProxy:
    """A mode of kube-proxy: see lab.kubeproxy.modes.Proxier.

    run                runs a command on the node
    config             its first node IP is where local clients' connections are sent
    bind               the address to listen on; not 127.0.0.1, where no portal could lead
    udp_idle           seconds without a datagram after which a client's socket is closed: --udp-timeout
    port_range         the ports to listen on, first and last; None: any that are free
    enter              called first in the relaying thread; moves it to the node where the process is elsewhere
    log                takes an error for people
    """

    def __init__(
        self,
        run: Runner,
        config: ProxyConfig,
        bind: IPv4Address = ANY,
        udp_idle: float = 0.25,
        port_range: tuple[int, int] | None = None,
        dice: random.Random | None = None,
        enter: Callable[[], None] | None = None,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        if bind.is_loopback:
            raise UsageError("cannot proxy on localhost: connections that portals lead to it would come from elsewhere; give another --bind-address")
        if bind == ANY and not config.node_ips:
            raise UsageError("userspace mode sends the node's own connections to an address of the node, and none is known; give one")
        self.run, self.config, self.bind, self.udp_idle = run, config, bind, udp_idle
        self.port_range, self.dice, self.log = port_range, dice or random.Random(), log
        self._balancer: RoundRobin[Key, Backend] = RoundRobin(self.dice.shuffle)
        self._proxies: dict[Key, _Proxy] = {}
        self._held = HeldPorts(log)
        self._written: tuple[tables.Table, tables.Table] | None = None
        self._closing: list[tuple[Key, _Proxy]] = []
        with contextlib.suppress(ValueError, OSError):  # an ordinary user may not raise it above the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, max(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._relay, args=(enter,), name="userspace proxy", daemon=True)
        self._thread.start()
        self._call(asyncio.sleep(0))

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Serve these services. Raises CommandError when iptables fails; sockets are then open already and the next sync goes on."""
        views = view(services, endpoints)
        self._call(self._open(views))
        wanted = self._tables(views)
        if wanted != self._written:
            self._written = None
            saved = tables.parse_saved(self.run(SAVE, ""))
            if not portals.in_place(wanted, saved):
                self.run(RESTORE, tables.restore_text(portals.with_appended(wanted, saved), saved, ()))
            self._written = wanted
        entries.delete(self.run, self._call(self._close_old()))

    def refresh(self) -> None:
        """The next sync looks at what the kernel has, and puts right what differs."""
        self._written = None

    def close(self) -> None:
        """End every connection and the thread. The portals stay, and lead nowhere: who dials a service is refused."""
        if self._thread.is_alive():
            self._call(self._abort())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()

    def ports(self) -> dict[Key, int]:
        """Service port -> the port on which the proxy listens for it."""
        return {key: proxy.port for key, proxy in self._proxies.items()}

    def _relay(self, enter: Callable[[], None] | None) -> None:
        if enter is not None:
            enter()
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT)

    def _tables(self, views: Sequence[ServicePortView]) -> tuple[tables.Table, tables.Table]:
        claimed = {(port.port, port.protocol) for port in self._held.held if port.what == NODE_PORT}
        host = self.config.node_ips[0] if self.config.node_ips else self.bind
        return portals.generate(views, self.ports(), host, self.bind, claimed)

    async def _open(self, views: Sequence[ServicePortView]) -> None:
        """Sockets for what is new, and the balancer's new state; what is no longer wanted is closed after the portals have gone."""
        now = self._loop.time()
        wanted = {(one.name, one.protocol): one for one in views}
        for key in [key for key, proxy in self._proxies.items() if key not in wanted or proxy.wanted != _wanted(wanted[key])]:
            proxy = self._proxies.pop(key)
            self._held.release(proxy.claims)  # the next owner of a port needs it at once; the portal still leads to the relay
            self._closing.append((key, proxy))
        for key, one in wanted.items():
            self._balancer.set_service(key, one.service.affinity_seconds if one.service.session_affinity == "ClientIP" else 0)
            self._balancer.set_ends(key, [Backend(backend.ip, backend.port) for backend in one.backends])
            if key not in self._proxies:
                await self._start(key, one)
        self._held.take(port for proxy in self._proxies.values() for port in proxy.claims)
        self._balancer.forget_idle_clients(now)

    async def _start(self, key: Key, one: ServicePortView) -> None:
        def choose(client: str, again: bool) -> Backend | None:
            return self._balancer.next(key, client, self._loop.time(), again)

        try:
            listener = self._listener(one.protocol)
        except OSError as error:
            self.log(f"failed to allocate proxy port for service {one.name}: {error}")
            return
        relay = StreamProxy(one.name, choose, self.log) if one.protocol == "tcp" else DatagramProxy(one.name, choose, self.udp_idle, self.log)
        await relay.open(listener)
        self._proxies[key] = _Proxy(_wanted(one), listener.getsockname()[1], relay, _claims(one))

    def _listener(self, protocol: str) -> socket.socket:
        """A bound socket on a free port. Raises OSError when there is none."""
        if self.port_range is None:
            return _bound(protocol, self.bind, 0)
        first, last = self.port_range
        chosen = self.dice.randint(first, last)
        error = OSError("the range of proxy ports is empty")
        for port in (*range(chosen, last + 1), *range(first, chosen)):
            try:
                return _bound(protocol, self.bind, port)
            except OSError as taken:
                error = taken
        raise error

    async def _close_old(self) -> list[list[str]]:
        """Stop listening for what no portal leads to any more; connections of such a service go on until they end.

        Returns the conntrack commands that take away what the kernel remembers of UDP clients.
        """
        stale: list[list[str]] = []
        while self._closing:
            key, proxy = self._closing.pop()
            proxy.relay.close()
            if key[1] == "udp":
                stale.append(["conntrack", "-D", "--orig-dst", str(proxy.wanted[0]), "-p", "udp"])
        self._balancer.forget(self._proxies)
        return stale

    async def _abort(self) -> None:
        for proxy in (*self._proxies.values(), *(proxy for _, proxy in self._closing)):
            proxy.relay.abort()
        self._held.close()
        self._proxies, self._closing = {}, []
        await asyncio.sleep(0)


def _wanted(one: ServicePortView) -> tuple[object, ...]:
    """What a service port's socket and portals depend on."""
    service = one.service
    return one.cluster_ip, one.port.port, one.port.node_port, service.external_ips, service.load_balancer_ips, service.session_affinity


def _claims(one: ServicePortView) -> frozenset[LocalPort]:
    """Ports that other programs of the node must not take: the node port, and the port of every outside address that is the node's own."""
    outside = (*one.service.external_ips, *one.service.load_balancer_ips)
    ports = [LocalPort("externalIP", one.name, str(ip), one.port.port, one.protocol) for ip in outside]
    if one.port.node_port:
        ports.append(LocalPort(NODE_PORT, one.name, "", one.port.node_port, one.protocol))
    return frozenset(ports)


def _bound(protocol: str, ip: IPv4Address, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if protocol == "tcp":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(ip), port))
    except OSError:
        made.close()
        raise
    return made
