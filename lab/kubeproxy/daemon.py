"""kube-proxy: watches services and endpoints at the apiserver and brings its node to them. A partitioned node keeps its last rules."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from lab.errors import CommandError
from lab.fabric import process, signals
from lab.flannel.log import told
from lab.kubeproxy import beta, leftovers, modes, sysctls, web
from lab.kubeproxy.answering import Server
from lab.kubeproxy.flags import Flags, parse
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.pace import Pace
from lab.master.client import ApiClient
from lab.master.informer import Digest, Informer, Key, key_of, only_metadata
from lab.model import fromapi

COMMAND_TIMEOUT = 120.0
YOUNG = 20_000
"""New objects between two looks of Python's garbage collector: at its 700 it takes half of the time of ten thousand services' first sync."""

RETRY = 1.0
"""Seconds after a sync that failed until the next try."""

REST = 10
"""Looking at everything, which a full sync does, is put off until this many times as long has passed as the last one took."""

NOT_YET = "Not syncing iptables until Services and Endpoints have been received from master"
NO_CIDR = "clusterCIDR not specified, unable to distinguish between internal and external traffic"
_TEARING_DOWN = {"iptables": "Tearing down userspace rules.", "userspace": "Tearing down pure-iptables proxy rules."}
"""What v1.7 says at the start of a mode; nftables mode is silent about it."""

Inbox = queue.SimpleQueue[signal.Signals | None]


def main(argv: Sequence[str]) -> int:
    """Run kube-proxy with these flags until SIGTERM or SIGINT, from the main thread; returns the exit status. Rules stay."""
    return told("lab.kubeproxy", lambda log: _serve(parse(argv), log))


def run(flags: Flags) -> int:
    """What `main` does with flags that it has understood."""
    return told("lab.kubeproxy", lambda log: _serve(flags, log))


def _serve(flags: Flags, log: logging.Logger) -> int:
    if flags.cleanup:
        leftovers.remove(run_command)
        return 0
    inbox: Inbox = queue.SimpleQueue()
    with signals.into(inbox.put):
        return Daemon(flags, log, inbox).run()


class Kept:
    """The objects of one resource as the lab's data; one that has not changed stays the same object, which modes rely on."""

    def __init__(self, convert: Callable[[Any], Any], changed: Callable[[], None], log: logging.Logger) -> None:
        self._convert, self._changed, self._log = convert, changed, log
        self._items: dict[Key, Any] = {}
        self._versions: dict[Key, str] = {}
        self._digest = Digest()
        self._lock = threading.Lock()
        self.digest = ""

    def handle(self, what: str, item: dict[str, Any]) -> None:
        """An informer's handler."""
        key = key_of(item)
        with self._lock:
            if key in self._versions:
                self._digest.remove(key, self._versions.pop(key))
            if what == "DELETED":
                self._items.pop(key, None)
            else:
                self._keep(item)
                self._versions[key] = item["metadata"].get("resourceVersion", "")
                self._digest.add(key, self._versions[key])
        self._changed()

    def _keep(self, item: dict[str, Any]) -> None:
        try:
            self._items[key_of(item)] = self._convert(item)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._log.error("object %s makes no sense: %s", "/".join(key_of(item)), error)

    def all(self) -> list[Any]:
        """What there is now; `digest` stands for exactly that from now on."""
        with self._lock:
            self.digest = str(self._digest)
            return list(self._items.values())


class Daemon:
    """One kube-proxy. inbox: brings signals, and None when something changed."""

    def __init__(self, flags: Flags, log: logging.Logger, inbox: Inbox) -> None:
        self._flags, self._log, self._inbox = flags, log, inbox
        self._told = False
        self._changed = 0.0
        self._hostname = flags.hostname_override or socket.gethostname()
        self._mode = _mode(flags, log)
        self._state = web.State(flags.proxy_mode, 2 * flags.sync_period, flags.modern)
        self._health = web.ServiceHealth(log.error)
        read = fromapi.service_of if flags.modern else partial(beta.service_of, log=log.error)
        self._services = Kept(read, self._change, log)
        self._endpoints = Kept(fromapi.endpoints_of, self._change, log)

    def run(self) -> int:
        """Until a signal comes."""
        gc.set_threshold(YOUNG)
        _prepare(self._flags, self._log)
        for (host, port), answer in ((self._flags.healthz, self._state.healthz), (self._flags.metrics, self._state.metrics)):
            if port:
                try:
                    Server(host, port, answer)
                except OSError as error:
                    self._log.error("cannot serve on %s:%d: %s", host, port, error.strerror)
        client = ApiClient(self._flags.master, agent="kube-proxy")
        kept = (("services", self._services), ("endpoints", self._endpoints))
        informers = [Informer(client, name, one.handle, self._change, log=self._log.warning, brief=only_metadata).start() for name, one in kept]
        try:
            self._follow(informers)
        finally:
            for informer in informers:
                informer.stop()
            self._health.close()
            self._mode.close()
        return 0

    def _change(self) -> None:
        """Told by the informers' threads. The main thread is woken for the first change only: it will see the others, too, when it syncs."""
        self._changed = time.monotonic()
        if not self._told:
            self._told = True
            self._inbox.put(None)

    def _follow(self, informers: Sequence[Informer]) -> None:
        flags, said = self._flags, False
        pace = Pace(flags.min_sync_period, flags.sync_period, time.monotonic(), quiet=flags.quiet_period)
        retry: float | None = None
        rested = 0.0
        while True:
            now = time.monotonic()
            pause = pace.wait(now) if retry is None else max(0.0, retry - now)
            with contextlib.suppress(queue.Empty):
                while True:
                    message = self._inbox.get(timeout=pause) if pause > 0 else self._inbox.get_nowait()
                    if message is not None:
                        return
                    pause, retry = 0.0, None
            now = time.monotonic()
            if self._told:
                pace.want(self._changed)
            if pace.wait(now) > 0 and (retry is None or now < retry):
                continue
            self._told = False  # before looking at anything: what changes from here on asks for another look
            if not all(informer.synced.is_set() for informer in informers):
                if not said:
                    self._log.info(NOT_YET)
                said = True
                pace.ran(now)
                continue
            everything = pace.overdue(now) and now >= rested
            if everything:
                self._mode.refresh()
            pace.ran(now)
            retry = None if self._sync() else time.monotonic() + RETRY
            if everything:
                rested = now + REST * (time.monotonic() - now)

    def _sync(self) -> bool:
        """One sync; whether it succeeded."""
        services, endpoints = self._services.all(), self._endpoints.all()
        checked = [one for one in services if one.health_check_node_port]
        self._health.sync(web.local_ends(checked, endpoints if checked else (), self._hostname))
        begun = time.monotonic()
        try:
            self._mode.sync(services, endpoints)
        except CommandError as error:
            self._state.failures += 1
            self._log.error("Failed to execute iptables-restore: %s", error)
            return False
        if not self._state.last:
            gc.freeze()  # what is there now is there to stay: looking through all of it would take a tenth of a second now and then
        self._state.synced(time.monotonic() - begun, {"services": self._services.digest, "endpoints": self._endpoints.digest})
        return True


def _mode(flags: Flags, log: logging.Logger) -> modes.Proxier:
    proxy = ProxyConfig(
        flags.cluster_cidr,
        flags.masquerade_all,
        flags.masquerade_bit,
        _node_ips(flags),
        flags.hostname_override or socket.gethostname(),
    )
    config = modes.ModeConfig(
        proxy=proxy,
        rules_version=flags.rules_version,
        bind_address=flags.bind_address,
        udp_timeout=flags.udp_timeout,
        port_range=flags.port_range,
        log=log.error,
        service_cidr=flags.service_cidr,
        has_ipvs=sysctls.has_ipvs(),
    )
    return modes.make(flags.proxy_mode, run_command, config)


def _node_ips(flags: Flags) -> tuple[IPv4Address, ...]:
    """The address by which the node reaches the apiserver, as far as it can be found out without sending anything."""
    if not flags.master.startswith("http://"):
        return ()
    host = flags.master.removeprefix("http://").partition(":")[0].partition("/")[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return ()
        return (IPv4Address(probe.getsockname()[0]),)


def _prepare(flags: Flags, log: logging.Logger) -> None:
    """The sysctls and warnings of a start."""
    log.info("Using %s Proxier.", flags.proxy_mode)
    try:
        if flags.proxy_mode in _TEARING_DOWN:
            log.info(_TEARING_DOWN[flags.proxy_mode])
        leftovers.remove(run_command, flags.proxy_mode)
    except CommandError as error:
        log.error("rules of another mode stay: %s", error)
    if flags.cluster_cidr is None:
        log.warning(NO_CIDR)
    sysctls.route_localnet(log)
    sysctls.conntrack(flags.conntrack, len(os.sched_getaffinity(0)), log, flags.modern)


def run_command(argv: Sequence[str], stdin: str) -> str:
    """Run a program on this node; its standard output. Raises CommandError."""
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, errors="replace", timeout=COMMAND_TIMEOUT, env=process.environment()
        )
    except OSError as error:
        raise CommandError(f"cannot run {argv[0]}: {error.strerror}; `lab doctor` tells how to get it") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{argv[0]} did not end within {COMMAND_TIMEOUT:g} s and was killed") from error
    if done.returncode:
        raise CommandError(f"{' '.join(argv)} failed with status {done.returncode}: {done.stdout}{done.stderr}".strip())
    return done.stdout
