"""What kube-proxy answers over HTTP: its own health, its metrics, and the health of services with externalTrafficPolicy Local."""

from __future__ import annotations

import bisect
import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone

from lab.kubeproxy.answering import Answer, Server
from lab.model.objects import Endpoints, Service

BUCKETS = tuple(0.001 * 2**power for power in range(15))
_TEXT = "text/plain; version=0.0.4"


class State:
    """How the syncs went; safe to read from any thread.

    timeout   seconds without a sync after which the proxy counts as ill
    modern    metrics and answers of today's kube-proxy (v1.33), not of v1.7
    """

    def __init__(self, mode: str, timeout: float, modern: bool = False) -> None:
        self.mode, self.timeout, self.modern = mode, timeout, modern
        self._asked = {200: 0, 503: 0}
        self.last = 0.0
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0
        self.failures = 0
        self.digests: dict[str, str] = {}

    def synced(self, seconds: float, digests: dict[str, str]) -> None:
        """A sync succeeded and took so long. digests: of what it wrote rules for, by resource (lab.master.informer.digest)."""
        self.digests = digests
        self._counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds
        self.last = time.time()

    def healthz(self, path: str) -> Answer:
        """GET /healthz: 503 when no sync has succeeded for too long."""
        if path != "/healthz":
            return 404, "text/plain", "404 page not found\n"
        now = time.time()
        status = 503 if self.last and now > self.last + self.timeout else 200
        self._asked[status] += 1
        told = {"lastUpdated": _time(self.last), "currentTime": _time(now)} | ({"nodeEligible": True} if self.modern else {})
        return status, "application/json", json.dumps(told, separators=(",", ": "))

    def metrics(self, path: str) -> Answer:
        """GET /metrics, in Prometheus' text format, and /proxyMode."""
        if path == "/proxyMode":
            return 200, "text/plain", self.mode
        if path == "/healthz":
            return 200, "text/plain", "ok"
        if path == "/synced":  # the lab's own: by this it waits for rules instead of hoping
            return 200, "application/json", json.dumps(self.digests)
        if path != "/metrics":
            return 404, "text/plain", "404 page not found\n"
        return 200, _TEXT, "".join(f"{line}\n" for line in (self._todays() if self.modern else self._of_2017()))

    def _of_2017(self) -> list[str]:
        """v1.7 has one metric of its own, and that in iptables mode only."""
        if self.mode != "iptables":
            return []
        return self._durations("sync_proxy_rules_latency_microseconds", "SyncProxyRules latency", 1_000_000)

    def _todays(self) -> list[str]:
        """Those of v1.33 that mean something here: durations, the last sync, failures, and how often health was asked for."""
        lines = self._durations("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", 1)
        lines += _metric("sync_proxy_rules_last_timestamp_seconds", "The last time proxy rules were successfully synced", "gauge", {"": self.last})
        failures = "nftables_sync_failures" if self.mode == "nftables" else "iptables_restore_failures"
        lines += _metric(f"sync_proxy_rules_{failures}_total", f"Cumulative proxy {failures.replace('_', ' ')}", "counter", {"": self.failures})
        asked = {f'{{code="{status}"}}': count for status, count in self._asked.items() if count}
        return lines + _metric("proxy_healthz_total", "Cumulative proxy healthz HTTP status", "counter", asked)

    def _durations(self, name: str, help: str, unit: int) -> list[str]:
        """The histogram of the syncs' durations. unit: parts of a second."""
        found, total = {}, 0
        for bound, count in zip((*BUCKETS, float("inf")), self._counts, strict=True):
            total += count
            found[f'_bucket{{le="{"+Inf" if bound == float("inf") else f"{bound * unit:g}"}"}}'] = float(total)
        return _metric(name, help, "histogram", found | {"_sum": self._sum * unit, "_count": total})


def _metric(name: str, help: str, kind: str, values: Mapping[str, float]) -> list[str]:
    """A metric in Prometheus' text format. values: by what follows the name, labels for one."""
    whole = f"kubeproxy_{name}"
    return [f"# HELP {whole} {help}", f"# TYPE {whole} {kind}", *(f"{whole}{rest} {value:.17g}" for rest, value in values.items())]


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")


def local_ends(services: Iterable[Service], endpoints: Iterable[Endpoints], hostname: str) -> dict[int, tuple[str, str, int]]:
    """Health check port -> namespace, name, and number of back ends on this node, of the services that have such a port. Pure."""
    by_name = {(one.namespace, one.name): one for one in endpoints}
    found = {}
    for service in services:
        if service.health_check_node_port and service.type == "LoadBalancer" and service.external_traffic_policy == "Local":
            ends = by_name.get((service.namespace, service.name))
            ips = {one.ip for subset in (ends.subsets if ends else ()) for one in subset.addresses if one.node_name == hostname}
            found[service.health_check_node_port] = (service.namespace, service.name, len(ips))
    return found


class ServiceHealth:
    """One server for each health check port: 200 when this node has back ends of the service, else 503."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._counts: dict[int, tuple[str, str, int]] = {}
        self._servers: dict[int, Server] = {}

    def sync(self, wanted: Mapping[int, tuple[str, str, int]]) -> None:
        """Open and close servers until they are those of `wanted`."""
        self._counts = dict(wanted)
        for port in self._servers.keys() - wanted.keys():
            self._servers.pop(port).close()
        for port in sorted(wanted.keys() - self._servers.keys()):
            try:
                self._servers[port] = Server("0.0.0.0", port, lambda _, port=port: self._answer(port))  # type: ignore[misc]
            except OSError as error:
                self._log(f'Failed to start healthcheck for "{wanted[port][0]}/{wanted[port][1]}" on port {port}: {error.strerror}')

    def close(self) -> None:
        """Close all."""
        self.sync({})

    def _answer(self, port: int) -> Answer:
        namespace, name, count = self._counts.get(port, ("", "", 0))
        text = json.dumps({"service": {"namespace": namespace, "name": name}, "localEndpoints": count}, indent="\t")
        return 200 if count else 503, "application/json", text
