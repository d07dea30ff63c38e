"""kube-proxy's modes: what each of them is able to do, and the one that a name stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from lab.errors import MachineError, UsageError
from lab.kubeproxy.apply import Runner
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.model.objects import Endpoints, Service

MODES = ("iptables", "userspace", "nftables", "ipvs")
RULES_VERSIONS = ("1.7", "1.33")
NO_IPVS = f"the lab does not offer kube-proxy's ipvs mode; use {', '.join(MODES[:2])} or {MODES[2]}"
NO_IPVS_HERE = f"this kernel has no ip_vs, which kube-proxy's ipvs mode needs (CONFIG_IP_VS), and {NO_IPVS}"


class Proxier(Protocol):
    """A mode at work on one node."""

    def sync(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Bring the node to this state. An object that is the same one as at the last sync has not changed. Raises CommandError."""

    def refresh(self) -> None:
        """The next sync looks at everything, not only at what changed: other programs may have deleted rules."""

    def close(self) -> None:
        """Let sockets and threads go; rules stay."""


@dataclass(frozen=True)
class ModeConfig:
    """What a mode is told, as kube-proxy's flags, and beyond them:

    log            takes an error for people
    service_cidr   the service network, if known
    has_ipvs       whether the kernel has ip_vs
    """

    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    rules_version: str = "1.7"
    hold_ports: bool = True
    bind_address: IPv4Address = IPv4Address("0.0.0.0")
    udp_timeout: float = 0.25
    port_range: tuple[int, int] | None = None
    log: Callable[[str], None] = lambda text: None
    service_cidr: IPv4Network | None = None
    has_ipvs: bool = False


def make(mode: str, run: Runner, config: ModeConfig) -> Proxier:
    """The mode of this name. Raises UsageError for an unknown one, MachineError for one that the machine cannot have."""
    if mode == "iptables":
        from lab.kubeproxy.iptables import IptablesProxy

        return IptablesProxy(run, config)
    if mode == "userspace":
        from lab.kubeproxy.userspace import UserspaceProxy

        return UserspaceProxy(run, config.proxy, config.bind_address, config.udp_timeout, config.port_range, log=config.log)
    if mode == "nftables":
        from lab.kubeproxy.nftables import NftablesProxy

        return NftablesProxy(run, config.proxy, config.service_cidr)
    if mode == "ipvs":
        raise UsageError(NO_IPVS) if config.has_ipvs else MachineError(NO_IPVS_HERE)
    raise UsageError(f"there is no proxy mode {mode!r}; --proxy-mode takes {', '.join(MODES[:-1])}")
