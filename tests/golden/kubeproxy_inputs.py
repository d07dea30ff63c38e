"""Reads kubeproxy/*.yaml: services as manifests, Endpoints as the API has them, and kube-proxy's flags."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from lab.kubeproxy import iptables_v17, iptables_v133, kubelet, rules, tables
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.model.manifests import load_manifests
from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service

FOLDER = Path(__file__).parent / "kubeproxy"
FILES = sorted(FOLDER.glob("*.yaml"))
assert FILES, f"{FOLDER} holds no .yaml file"


@dataclass(frozen=True)
class Inputs:
    """What a node's kube-proxy is told."""

    services: tuple[Service, ...]
    endpoints: tuple[Endpoints, ...]
    config: ProxyConfig

    def tables(self) -> tuple[tables.Table, ...]:
        """kube-proxy's and kubelet's rules for it."""
        return tables.joined(kubelet.tables(), iptables_v17.generate(self.services, self.endpoints, self.config))

    def todays_tables(self) -> tuple[tables.Table, ...]:
        """The rules of today's kube-proxy (v1.33) for it."""
        return iptables_v133.generate(self.services, self.endpoints, self.config)


def read(path: Path) -> Inputs:
    """The inputs in one file."""
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    services = [one for one in documents if one["kind"] == "Service"]
    flags = next((one for one in documents if one["kind"] == "KubeProxy"), {})
    return Inputs(
        load_manifests(yaml.safe_dump_all(services), path.name).services,
        tuple(_endpoints(one) for one in documents if one["kind"] == "Endpoints"),
        _config(flags),
    )


def _config(flags: dict[str, Any]) -> ProxyConfig:
    cidr = flags.get("clusterCIDR", "10.244.0.0/16")
    return ProxyConfig(
        cluster_cidr=IPv4Network(cidr) if cidr else None,
        masquerade_all=flags.get("masqueradeAll", False),
        masquerade_bit=flags.get("masqueradeBit", 14),
        node_ips=(IPv4Address("10.229.53.146"),),
        hostname="zenlinnode1",
    )


def _endpoints(document: dict[str, Any]) -> Endpoints:
    subsets = tuple(
        EndpointSubset(
            tuple(EndpointAddress(IPv4Address(one["ip"]), one.get("nodeName", "")) for one in subset["addresses"]),
            tuple(EndpointPort(one["port"], one.get("name", ""), one.get("protocol", "TCP")) for one in subset["ports"]),
        )
        for subset in document.get("subsets", ())
    )
    return Endpoints(document["metadata"]["name"], document["metadata"].get("namespace", "default"), subsets)


def saved_rules(table: tables.Table) -> list[str]:
    """The rules of a table as iptables-save is to print them once the kernel has them, without order."""
    return [jump.saved for jump in table.jumps] + [rules.saved(rules.parse(line)) for line in (*table.rules, *table.last)]
