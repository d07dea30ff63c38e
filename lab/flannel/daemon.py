"""flanneld: gets the node a subnet, starts the backend, and keeps both up to date until told to stop.

Three threads: the main one starts everything and then renews the lease and takes signals; one follows the leases; one runs the
backend. The two report to the main thread through a queue, and whatever ends one of them ends the daemon.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lab import __version__
from lab.errors import BootError, LabError
from lab.fabric import signals
from lab.flannel import interface, links, masquerade, subnetfile
from lab.flannel.backends import base
from lab.flannel.config import Config
from lab.flannel.flags import Flags, parse
from lab.flannel.lease import TTL, Attrs, Lease, LeaseEvent
from lab.flannel.log import told
from lab.flannel.manager import Manager, SubnetManager
from lab.flannel.registry import ConfigMissing, Registry, Stop
from lab.master.client import Unreachable
from lab.master.etcdclient import EtcdClient, EtcdError, EtcdUnreachable

_RETRY = (0.05, 1.0)
"""Seconds between looks at etcd while it has no configuration: flannel waits 1 s each time; a short first wait lets a lab boot fast."""

_RENEW_RETRY = 60.0
_SYNC_LOOK = 0.01
"""Seconds between two looks whether the apiserver has told of the nodes."""

_GOODBYE = 2.0
"""Seconds that each thread gets to end."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

Message = signal.Signals | LeaseEvent | Exception
Result = TypeVar("Result")


class _Stopped(Exception):
    """SIGTERM or SIGINT came during the start."""


def main(argv: Sequence[str]) -> int:
    """Run flanneld with these flags until SIGTERM, SIGINT or the loss of its lease; must be called from the main thread.

    Returns the exit status: 0 after a stop or a revoked lease (as flannel v0.8), 1 for trouble, 2 for wrong flags or a wrong network
    config, 3 when the machine refuses. Writes its log to stderr. It takes nothing from sys.argv and leaves no handler behind, so that a
    process forked from a running program can call it.
    """
    return told("flanneld", lambda log: _serve(parse(argv, os.environ), log))


def run(flags: Flags) -> int:
    """What `main` does with flags that it has understood."""
    return told("flanneld", lambda log: _serve(flags, log))


def _serve(flags: Flags, log: logging.Logger) -> int:
    if flags.version:
        print(f"v0.8.0 (lab {__version__})", file=sys.stderr)  # noqa: T201 (not a log line)
        return 0
    if flags.verbosity:
        log.setLevel(logging.DEBUG)
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    with signals.into(inbox.put, _SIGNALS):
        return Daemon(flags, log, inbox).run()


class Daemon:
    """One flanneld.

    inbox   brings signals, events of the own lease, and the exception that ended a thread
    """

    def __init__(self, flags: Flags, log: logging.Logger, inbox: queue.SimpleQueue[Message]) -> None:
        self._flags = flags
        self._log = log
        self._inbox = inbox
        self._network: base.Network | None = None
        self._renew_at: float | None = None

    def run(self) -> int:
        """Start, work, stop; returns the exit status. Raises LabError when the start fails."""
        try:
            manager, network = self._start()
        except _Stopped:
            return self._exit(0)
        stop = Stop()
        threads = [
            self._thread("backend", network.run),
            self._thread("leases", lambda: self._follow(manager, network, stop)),
        ]
        self._log.info("Finished starting backend.")
        try:
            status = self._monitor(manager, network)
        finally:
            stop.request()
            network.stop()
            for thread in threads:
                thread.join(_GOODBYE)
        if not any(thread.is_alive() for thread in threads):
            network.close()
        return self._exit(status)

    def _exit(self, status: int) -> int:
        self._log.info("Waiting for cancel to propagate...")
        self._log.info("Exiting...")
        return status

    def _start(self) -> tuple[Manager, base.Network]:
        """Everything up to the point where pods can be started; the subnet file is written last."""
        flags, log = self._flags, self._log
        external = interface.choose(
            links.links(), links.default_route_link(), flags.iface, flags.iface_regex, flags.public_ip, log.info
        )
        manager = self._kube_manager() if flags.kube_subnet_mgr else self._etcd_manager()
        log.info("Created subnet manager: %s", manager)
        if flags.healthz_port:
            self._serve_health()
        config = self._wait_for_config(manager)
        self._network = network = self._register(config, external, manager)
        if flags.ip_masq:
            self._masquerade(config, network.lease)
        self._write_subnet_file(config, network)
        return manager, network

    def _etcd_manager(self) -> Manager:
        flags = self._flags
        registry = Registry(EtcdClient(flags.etcd_endpoints), flags.etcd_prefix, TTL, self._log.warning)
        return SubnetManager(registry, subnetfile.read_previous(flags.subnet_file), self._log.info)

    def _kube_manager(self) -> Manager:
        """The manager over Node objects, once it knows them. Raises BootError when it does not for too long."""
        from lab.flannel import kubemanager

        manager = kubemanager.connect(self._flags.kube_api_url, self._flags.net_config_path, self._log.info, self._log.warning)
        manager.start()
        self._log.info("Waiting %d s for node controller to sync", kubemanager.SYNC_TIMEOUT)
        deadline = time.monotonic() + kubemanager.SYNC_TIMEOUT
        while not manager.synced:
            if self._signalled(_SYNC_LOOK):
                manager.close()
                raise _Stopped
            if time.monotonic() > deadline:
                raise BootError(
                    "Failed to create SubnetManager: error waiting for nodeController to sync state: timed out waiting for the condition; "
                    f"is {self._flags.kube_api_url} reachable from this node?"
                )
        self._log.info("Node controller sync successful")
        return manager

    def _wait_for_config(self, manager: Manager) -> Config:
        def fetch() -> Config | None:
            try:
                return manager.config()
            except (EtcdError, ConfigMissing) as error:
                self._log.error("Couldn't fetch network config: %s", error)
                return None

        config = self._until(fetch)
        self._log.info("Found network config - Backend type: %s", config.backend_type)
        return config

    def _register(self, config: Config, external: interface.External, manager: Manager) -> base.Network:
        def acquire(config: Config, attrs: Attrs) -> Lease:
            return self._until(lambda: attempt(config, attrs))

        def attempt(config: Config, attrs: Attrs) -> Lease | None:
            try:
                return manager.acquire(config, attrs)
            except (EtcdUnreachable, Unreachable) as error:
                self._log.error("Couldn't acquire a subnet: %s", error)
                return None

        try:
            options: dict[str, dict[str, Any]] = {
                "udp": {"datapath": self._flags.datapath},
                "host-gw": {"check_seconds": self._flags.route_check},
            }
            backend = base.maker(config.backend_type)(external, acquire, self._log.info, **options.get(config.backend_type, {}))
        except LabError:
            self._log.error("Error fetching backend:")
            raise
        try:
            return backend.register_network(config)
        except LabError:
            self._log.error("Error registering network:")
            raise

    def _until(self, attempt: Callable[[], Result | None]) -> Result:
        """Try until there is a result, more and more slowly. Raises _Stopped when a signal ends the daemon first."""
        delay = _RETRY[0]
        while True:
            result = attempt()
            if result is not None:
                return result
            if self._signalled(delay):
                self._log.info("Starting shutdown...")
                raise _Stopped
            print("timed out", flush=True)  # noqa: T201 (flannel says so on stdout)
            delay = min(2 * delay, _RETRY[1])

    def _signalled(self, seconds: float) -> bool:
        """Wait, and tell whether a signal asked for the end in this time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return False
            if message in (signal.SIGTERM, signal.SIGINT):
                return True

    def _masquerade(self, config: Config, lease: Lease) -> None:
        try:
            masquerade.ensure(config.network, lease.subnet, self._log.info)
        except LabError as error:
            self._log.error("Failed to set up IP Masquerade: %s", error)

    def _write_subnet_file(self, config: Config, network: base.Network) -> None:
        path = self._flags.subnet_file
        content = subnetfile.SubnetFile.of(config.network, network.lease.subnet, network.mtu, self._flags.ip_masq)
        try:
            subnetfile.write(path, content)
        except OSError as error:
            self._log.warning("Failed to write subnet file: %s", error)
        else:
            self._log.info("Wrote subnet file to %s", path)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # the main thread logs it and ends the daemon
                self._inbox.put(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _follow(self, manager: Manager, network: base.Network, stop: Stop) -> None:
        """Pass every change on: the own lease's to the main thread, the others' to the backend."""
        self._log.info("Watching for new subnet leases")
        for events in manager.watch(stop):
            network.handle([event for event in events if event.lease.subnet != network.lease.subnet])
            for event in events:
                if event.lease.subnet == network.lease.subnet:
                    self._inbox.put(event)

    def _monitor(self, manager: Manager, network: base.Network) -> int:
        """Renew the lease in time and answer messages, until one of them is the end."""
        own = network.lease
        self._schedule(own, TTL)
        while True:
            try:
                wait = None if self._renew_at is None else max(0.0, self._renew_at - time.monotonic())
                message = self._inbox.get(timeout=wait)
            except queue.Empty:
                self._renew(manager, own)
                continue
            if message == signal.SIGUSR1:
                self._log.info("stats: %s", network.stats())
            elif isinstance(message, signal.Signals):
                self._log.info("Starting shutdown...")
                return 0
            elif isinstance(message, Exception):
                self._log.error(
                    "A part of flanneld failed: %s", message, exc_info=None if isinstance(message, OSError) else message
                )
                return 1
            elif message.kind == "removed" or message.lease.attrs.public_ip != own.attrs.public_ip:
                # Another node has the subnet: the lease ran out while this one heard nothing, and somebody else was given it.
                self._log.error("Lease has been revoked. Shutting down daemon.")
                return 0
            elif message.lease.etcd_lease != own.etcd_lease:
                own = message.lease
                self._schedule(own, TTL)

    def _schedule(self, own: Lease, seconds: float) -> None:
        """Renew when the margin is reached; a reservation is never renewed."""
        margin = self._flags.subnet_lease_renew_margin * 60
        self._renew_at = None if own.reserved else time.monotonic() + seconds - margin
        if self._renew_at is not None:
            self._log.debug("Waiting for %d s to renew lease", seconds - margin)

    def _renew(self, manager: Manager, own: Lease) -> None:
        try:
            seconds = manager.renew(own)
        except EtcdError as error:
            seconds = 0
            trouble = str(error)
        else:
            trouble = f"etcd no longer has the lease of {own.subnet}"
        if seconds:
            self._log.info("Lease renewed, new expiration: %s", time.strftime("%F %T %z", time.localtime(time.time() + seconds)))
            self._schedule(own, seconds)
        else:
            self._log.error("Error renewing lease (trying again in 1 min): %s", trouble)
            self._renew_at = time.monotonic() + _RENEW_RETRY

    def _serve_health(self) -> None:
        from lab.flannel import healthz

        address = f"{self._flags.healthz_ip}:{self._flags.healthz_port}"
        self._log.info("Start healthz server on %s", address)
        try:
            server = healthz.start(self._flags.healthz_ip, self._flags.healthz_port)
        except OSError as error:
            raise BootError(f"Start healthz server error. {address}: {error.strerror}") from error
        self._thread("healthz", server.serve_forever)
