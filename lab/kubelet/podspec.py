"""From a pod's spec to what the runtime is asked for: its files, its environment, its programs. Pure, but for looking up ConfigMaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from lab.errors import UsageError
from lab.kubelet.records import Program, Sandbox
from lab.model.fromapi import container_of, pod_of
from lab.model.objects import Pod
from lab.plan.files import HOSTNAME, HOSTS, RESOLV_CONF
from lab.workloads import images

Json = Mapping[str, Any]
Lookup = Callable[[str], Mapping[str, str] | None]
"""The data of a ConfigMap of the pod's namespace, None when there is none of that name."""

PIN = "lab.network/pod-ip"
"""The annotation by which a pod asks for an address."""

_LOCAL = "127.0.0.1\tlocalhost\n"
_LOCAL_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True)
class Network:
    """What every pod of a node gets: the bridge's own address and MTU (bytes), the cluster's DNS servers, the text of the node's resolv.conf."""

    node: str
    node_ip: str
    bridge: str = ""
    gateway: IPv4Interface | None = None
    mtu: int = 0
    gso: int = 0
    routes: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domain: str = "cluster.local"
    resolver: str = ""


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
    pod: Json, container: Json, attempt: int, network: Network, address: str, lookup: Lookup, links: Mapping[str, str] | None = None
) -> Program:
    """What the runtime is to run. Raises UsageError for a ConfigMap or field that is not there."""
    values = environment(pod, container, network, address, lookup, links)
    model = _with_address(pod_of(pod), address, network.node)
    one = container_of(container)
    expanded = replace(one, command=tuple(expand(word, values) for word in one.command), args=tuple(expand(word, values) for word in one.args))
    work = images.workload(model, expanded)
    return Program(
        container["name"],
        attempt,
        work.argv,
        tuple(({"HOSTNAME": hostname(pod, network)} | values).items()),
        container.get("workingDir") or "",
        work.files,
        (images.NGINX_LOGS,) if work.argv[:1] == ("nginx",) else (),
        work.echo,
        bool(container.get("stdin")),
        bool(container.get("tty")),
    )


def _with_address(pod: Pod, address: str, node: str) -> Pod:
    return replace(pod, pod_ip=IPv4Address(address) if address else None, node_name=node)


def environment(pod: Json, container: Json, network: Network, address: str, lookup: Lookup, links: Mapping[str, str] | None = None) -> dict[str, str]:
    """A container's variables, in order; a later one may refer to an earlier one as $(NAME). `links`: those of services, which come first."""
    values: dict[str, str] = dict(links or {})
    for source in container.get("envFrom") or ():
        reference = source.get("configMapRef") or {}
        if reference:
            data = lookup(str(reference.get("name"))) or {} if reference.get("optional") else _found(lookup, str(reference.get("name")))
            values |= {f"{source.get('prefix') or ''}{key}": value for key, value in data.items()}
    for item in container.get("env") or ():
        origin = item.get("valueFrom") or {}
        if "fieldRef" in origin:
            values[item["name"]] = _field(pod, str(origin["fieldRef"].get("fieldPath")), network, address)
        elif "configMapKeyRef" in origin:
            reference = origin["configMapKeyRef"]
            data = lookup(str(reference.get("name"))) or {} if reference.get("optional") else _found(lookup, str(reference.get("name")))
            if reference.get("key") in data:
                values[item["name"]] = data[reference["key"]]
            elif not reference.get("optional"):
                raise UsageError(f"couldn't find key {reference.get('key')} in ConfigMap {pod['metadata']['namespace']}/{reference.get('name')}")
        elif not origin:
            values[item["name"]] = expand(str(item.get("value") or ""), values)
    return values


def _found(lookup: Lookup, name: str) -> Mapping[str, str]:
    data = lookup(name)
    if data is None:
        raise UsageError(f'configmap "{name}" not found')
    return data


def _field(pod: Json, path: str, network: Network, address: str) -> str:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    plain = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": network.node,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": network.node_ip,
        "status.podIP": address,
    }
    if path in plain:
        return str(plain[path])
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if found:
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    raise UsageError(f"unsupported fieldPath: {path}")


def expand(text: str, values: Mapping[str, str]) -> str:
    """References $(NAME) to known variables replaced; $$ stands for one dollar sign, unknown names stay."""
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else values.get(found[1], found[0]), text)
