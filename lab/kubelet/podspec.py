"""From a pod's spec to what the runtime is asked for: its files, its programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from lab.errors import UsageError
from lab.kubelet import refusals, variables
from lab.kubelet.records import Program, Sandbox
from lab.kubelet.variables import Network
from lab.model.fromapi import container_of, pod_of
from lab.model.objects import Pod
from lab.plan.files import HOSTNAME, HOSTS, RESOLV_CONF
from lab.workloads import images

Json = Mapping[str, Any]
PIN = "lab.network/pod-ip"
"""The annotation by which a pod asks for an address."""

_LOCAL = "127.0.0.1\tlocalhost\n"
_LOCAL_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)


def uses_host_network(pod: Json) -> bool:
    """Whether the pod lives in its node's network."""
    return bool((pod.get("spec") or {}).get("hostNetwork"))


def pinned(pod: Json) -> IPv4Address | None:
    """The address that a pod asks for. Raises UsageError for one that is none."""
    text = (pod["metadata"].get("annotations") or {}).get(PIN)
    if not text:
        return None
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise UsageError(f"annotation {PIN}: {text!r} is not an IPv4 address") from error


def hostname(pod: Json, network: Network) -> str:
    """What the pod calls itself."""
    if uses_host_network(pod):
        return network.node
    return str((pod.get("spec") or {}).get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def sandbox(pod: Json, network: Network, address: str) -> Sandbox:
    """The pod without its containers."""
    metadata = pod["metadata"]
    own = hostname(pod, network)
    base = Sandbox(metadata["uid"], metadata["namespace"], metadata["name"], own, files=_files(pod, network, own, address))
    if uses_host_network(pod) or network.gateway is None:
        return base
    return replace(
        base,
        bridge=network.bridge,
        address=f"{address}/{network.gateway.network.prefixlen}",
        gateway=str(network.gateway.ip),
        mtu=network.mtu,
        gso=network.gso,
        routes=network.routes,
        neighbours=network.neighbours,
    )


def _files(pod: Json, network: Network, own: str, address: str) -> tuple[tuple[str, str], ...]:
    files = []
    if not uses_host_network(pod):
        aliases = (pod.get("spec") or {}).get("hostAliases") or ()
        more = "".join(f"{one['ip']}\t{' '.join(one.get('hostnames') or ())}\n" for one in aliases if one.get("ip"))
        files = [(HOSTS, f"# Kubernetes-managed hosts file.\n{_LOCAL}{_LOCAL_IPV6}{address}\t{own}\n{more}"), (HOSTNAME, f"{own}\n")]
    resolver = resolv_conf(pod, network)
    return (*files, (RESOLV_CONF, resolver)) if resolver else tuple(files)


def resolv_conf(pod: Json, network: Network) -> str:
    """The text of the pod's resolv.conf by its dnsPolicy and dnsConfig. What comes from the node is its text; empty: the pod sees its node's file."""
    spec = pod.get("spec") or {}
    policy, config = spec.get("dnsPolicy") or "ClusterFirst", spec.get("dnsConfig") or {}
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    inside = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not uses_host_network(pod))
    if inside and network.dns:
        servers = list(network.dns)
        search = [f"{pod['metadata']['namespace']}.svc.{network.domain}", f"svc.{network.domain}", network.domain]
        options = ["ndots:5"]
    begin = network.resolver if policy != "None" and not servers else ""
    servers += config.get("nameservers") or []
    search += config.get("searches") or []
    options += [f"{one['name']}:{one['value']}" if one.get("value") else one["name"] for one in config.get("options") or ()]
    lines = [f"nameserver {one}" for one in servers]
    lines += [f"search {' '.join(search)}"] if search else []
    lines += [f"options {' '.join(options)}"] if options else []
    return begin + "".join(f"{line}\n" for line in lines)


def image_trouble(container: Json) -> str:
    """Why a container cannot run here; empty when it can."""
    one = container_of(container)
    if images.is_known(one):
        return ""
    known = ", ".join(images.KNOWN_IMAGES)
    return f"the lab has no images and does not know {one.image!r}; it knows {known}, and runs any container that has a `command`"


def served_port(pod: Json, container: Json) -> int:
    """The TCP port that a container answers on once it is ready, where its image tells; 0: none is known."""
    one = container_of(container)
    return images.workload(pod_of(pod), one).port if images.is_known(one) else 0


def program(
    pod: Json,
    container: Json,
    attempt: int,
    network: Network,
    address: str,
    values: Mapping[str, str],
    mounts: Sequence[tuple[str, str, bool]] = (),
) -> Program:
    """What the runtime is to run. `values`: the container's variables. Raises UsageError for what the lab does not do."""
    refusals.check(pod, container)
    model = _with_address(pod_of(pod), address, network.node)
    one = container_of(container)
    command, args = (tuple(variables.expand(word, values) for word in words) for words in (one.command, one.args))
    expanded = replace(one, command=command, args=args)
    work = images.workload(model, expanded)
    return Program(
        container["name"],
        attempt,
        work.argv,
        tuple(surroundings(pod, network, values, bool(container.get("tty"))).items()),
        variables.expand(container.get("workingDir") or "", values),
        work.files,
        (images.NGINX_LOGS,) if work.argv[:1] == ("nginx",) else (),
        work.echo,
        bool(container.get("stdin")),
        bool(container.get("tty")),
        tuple(mounts),
    )


def surroundings(pod: Json, network: Network, values: Mapping[str, str], terminal: bool) -> dict[str, str]:
    """A process's variables beside PATH and HOME: those of its container, and what every container has."""
    return {"HOSTNAME": hostname(pod, network)} | ({"TERM": "xterm"} if terminal else {}) | dict(values)


def _with_address(pod: Pod, address: str, node: str) -> Pod:
    return replace(pod, pod_ip=IPv4Address(address) if address else None, node_name=node)
