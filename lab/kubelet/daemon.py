"""The kubelet of a node: follows the pods that the apiserver gives to it, and has the runtime run them.

Threads: the loop, which alone decides; the informer, the runtime's events, status, events, heartbeat; probes; and the HTTP server. The main
thread waits for signals. When the kubelet ends its pods run on; the next one finds them at the runtime.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from lab.errors import BootError, LabError, UsageError
from lab.fabric import signals
from lab.flannel.log import told
from lab.kubelet import loop, node, server, servicelinks
from lab.kubelet.flags import Flags, parse
from lab.kubelet.reports import Events, Reporter
from lab.kubelet.runtimeclient import RuntimeClient
from lab.kubelet.sources import PodSources
from lab.kubelet.tended import Tools
from lab.kubelet.variables import Network
from lab.kubelet.volumefiles import VolumeFiles
from lab.master.client import ApiClient
from lab.master.informer import Informer
from lab.plan.allocate import HostLocal
from lab.plan.files import RESOLV_CONF

Ending = queue.SimpleQueue[str]
"""Why the kubelet has to end: nothing for a signal, else the trouble."""


def main(argv: Sequence[str]) -> int:
    """Run the kubelet in the namespaces of the calling process until SIGTERM; must be called from the main thread.

    Returns the exit status: 0 after a signal, 1 when the runtime has gone, 2 for wrong flags. Writes its log to stderr.
    """
    return told("kubelet", lambda log: _serve(parse(argv), log))


def run(flags: Flags) -> int:
    """What `main` does with flags that it has understood."""
    return told("kubelet", lambda log: _serve(flags, log))


def _serve(flags: Flags, log: logging.Logger) -> int:
    ending: Ending = queue.SimpleQueue()
    with signals.into(lambda _: ending.put("")):
        return Kubelet(flags, log, ending).run()


class Addresses:
    """The node's pod addresses, as soon as the bridge is there. Used by the loop's thread alone."""

    def __init__(self) -> None:
        self.free: HostLocal | None = None

    def take(self, wanted: IPv4Address | None, pod: str) -> IPv4Address:
        """One that nobody has. Raises UsageError."""
        if self.free is None:
            raise BootError("the node has no pod bridge yet")
        return self.free.take(wanted, pod)

    def release(self, address: IPv4Address) -> None:
        """Free one."""
        if self.free is not None:
            self.free.release(address)


def _resolver() -> str:
    """The node's resolv.conf: what pods get whose dnsPolicy is Default."""
    with contextlib.suppress(OSError):
        return Path(RESOLV_CONF).read_text(encoding="utf-8", errors="replace")
    return ""


class Kubelet:
    """One kubelet."""

    def __init__(self, flags: Flags, log: logging.Logger, ending: Ending) -> None:
        self._flags, self._log, self._ending = flags, log, ending
        self._client = ApiClient(flags.api_server, agent=f"kubelet/{flags.version}")
        self._addresses = Addresses()
        self._network: Network | None = None
        self._lock = threading.Lock()
        self._runtime = RuntimeClient(None, flags.runtime)
        self._events = Events(self._client, flags.name, log.warning)
        self._reporter = Reporter(self._client, log.warning)
        self._pods = Informer(self._client, "pods", self._pod_event, self._synced, fields=f"spec.nodeName={flags.name}", log=log.warning)
        # A container is told of the services that are there when it starts, so pods are listed after services.
        self._services = Informer(self._client, "services", on_sync=self._start_pods, log=log.warning, brief=servicelinks.brief)
        sources = PodSources(self._client)
        tools = Tools(
            self._runtime,
            self._events,
            self._reporter.put,
            self._addresses,
            self.network,
            sources.data,
            VolumeFiles(sources.data, sources.token, loop.clock),
            lambda pod: servicelinks.variables(pod, self._services.items),
            loop.clock,
            flags.node_ip,
            log.warning,
        )
        self.loop = loop.Loop(tools)

    def run(self) -> int:
        """Work until told to end."""
        flags, log = self._flags, self._log
        listening = server.listen(flags.node_ip, flags.port)
        events = self._runtime.events()
        next(events)
        self.loop.records = {one.sandbox.uid: one for one in self._runtime.pods()}
        self._take_over()
        threading.Thread(target=self._hear, args=(events,), name="runtime", daemon=True).start()
        heartbeat = node.Heartbeat(self._client, flags, self._trouble, log.info)
        for part in (heartbeat, self._events, self._reporter):
            part.start()
        self._services.start()
        self._thread("loop", self.loop.run)
        self._thread("server", lambda: server.serve(listening, server.Back(self.loop, self.network, log.info)))
        log.info("Started kubelet %s for node %s, pods at %s", flags.version, flags.name, flags.bridge)
        self._events.about_node("Starting", "Starting kubelet.")
        why = self._ending.get()
        if why:
            log.error("%s", why)
        self.loop.end()
        return 1 if why else 0

    def _start_pods(self) -> None:
        self._pods.start()

    def _pod_event(self, what: str, item: dict[str, Any]) -> None:
        self.loop.pod_event(what, item)

    def _synced(self) -> None:
        self.loop.synced()

    def network(self) -> Network:
        """What every pod gets. Raises BootError while there is no bridge."""
        with self._lock:
            if self._network is None:
                flags = self._flags
                gateway, mtu = node.bridge(flags.bridge)
                self._addresses.free = HostLocal(gateway)
                self._network = Network(
                    flags.name, flags.node_ip, flags.bridge, gateway, mtu, flags.gso, flags.routes, flags.dns, flags.domain, _resolver(),
                    flags.neighbours,
                )  # fmt: skip
            return self._network

    def _take_over(self) -> None:
        """Addresses of pods that ran before this kubelet did are taken."""
        for record in self.loop.records.values():
            if record.sandbox.address and not record.stopped:
                self.network()
                try:
                    self._addresses.take(IPv4Address(record.sandbox.address.split("/")[0]), record.sandbox.name)
                except UsageError as error:  # the node has another subnet by now: the pod lives on with what it has
                    self._log.warning("%s", error)
        if self.loop.records:
            self._log.info("Found %d pods at the runtime", len(self.loop.records))

    def _trouble(self) -> str:
        try:
            self.network()
        except LabError as error:
            return str(error)
        return ""

    def _hear(self, events: Iterator[dict[str, object]]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for message in events:
                self.loop.runtime_event(message)
        self._ending.put("the container runtime has gone")

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # the main thread ends the kubelet, and its log says why
                self._log.error("A part of the kubelet failed: %s", error, exc_info=error)
                self._ending.put(f"{name} failed: {error}")

        threading.Thread(target=guarded, name=name, daemon=True).start()
