"""What the benches of size share: a made-up cluster of any size, and what the processes of a sandbox have used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from lab.model.manifests import Objects
from lab.model.objects import Container, ContainerPort, Deployment, Service, ServicePort
from lab.model.topology import Backend, Flannel, KubeProxy, Networks, Node, Topology

REPLICAS = 5
"""Pods that one deployment has, and one service at least."""

NETWORK = IPv4Network("172.20.0.0/16")
TICK = os.sysconf("SC_CLK_TCK")


def topology(nodes: int, backend: str, mode: str) -> Topology:
    """One master and so many nodes for pods, all on one switch."""
    machines = [Node(name="master", role="master", address=IPv4Interface(f"{NETWORK[11]}/{NETWORK.prefixlen}"))]
    machines += [Node(name=f"node{number}", address=IPv4Interface(f"{NETWORK[11 + number]}/{NETWORK.prefixlen}")) for number in range(1, nodes + 1)]
    flannel = Flannel(backend=Backend(type=backend))
    networks = Networks(pod=IPv4Network("10.128.0.0/9"), service=IPv4Network("10.96.0.0/12"))
    return Topology(name="scale", nodes=tuple(machines), networks=networks, flannel=flannel, kube_proxy=KubeProxy(mode=mode))


def deployments(pods: int) -> Objects:
    """So many pods, in deployments of REPLICAS each and one with what is left. Each pod waits; none serves anything."""
    full, rest = divmod(pods, REPLICAS)
    sizes = [REPLICAS] * full + ([rest] if rest else [])
    return Objects(deployments=tuple(_deployment(number, size) for number, size in enumerate(sizes)))


def services(count: int, pods: int) -> Objects:
    """So many services, spread over the deployments of so many pods."""
    groups = max(1, -(-pods // REPLICAS))
    port = ServicePort(80, target_port=80)
    return Objects(services=tuple(Service(f"service{one}", "default", (port,), None, (("app", f"app{one % groups}"),)) for one in range(count)))


def _deployment(number: int, replicas: int) -> Deployment:
    labels = (("app", f"app{number}"),)
    return Deployment(f"app{number}", "default", replicas, labels, labels, (Container("main", "ubuntu", ports=(ContainerPort(80),)),))


@dataclass(frozen=True)
class Used:
    """What the processes of one name have used. cpu: seconds, with their ended children's; pss: bytes."""

    processes: int
    cpu: float
    pss: int = 0


def used(with_memory: bool = False) -> dict[str, Used]:
    """By name, what every process that /proc shows has used; init and the children of the dead are in none."""
    found: dict[str, Used] = {}
    for name, cpu, pss in _processes(with_memory):
        before = found.get(name, Used(0, 0.0))
        found[name] = Used(before.processes + 1, before.cpu + cpu, before.pss + pss)
    return found


def _processes(with_memory: bool) -> Iterator[tuple[str, float, int]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            head, _, tail = (entry / "stat").read_text().rpartition(")")
            fields = tail.split()
            pss = _pss(entry) if with_memory else 0
        except (OSError, IndexError):
            continue  # it has ended meanwhile
        yield head.partition("(")[2], sum(map(int, fields[11:15])) / TICK, pss


def _pss(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


