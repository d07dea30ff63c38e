"""The Node object of this kubelet: registers it, and says every few seconds that the node lives."""

from __future__ import annotations

import fcntl
import functools
import os
import platform
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from lab import __version__
from lab.errors import BootError
from lab.kubelet.flags import Flags
from lab.kubelet.status import time_text
from lab.master.client import ApiClient, ApiError

Json = dict[str, Any]

_GET_ADDRESS, _GET_NETMASK, _GET_MTU = 0x8915, 0x891B, 0x8921
"""SIOCGIFADDR, SIOCGIFNETMASK and SIOCGIFMTU of netdevice(7)."""

FIRST_PAUSE = 0.05
_NOT_FOUND, _CONFLICT = 404, 409
_TRIES = 3
"""Looks at the node within one beat, while others write to it: as with the real one, which tries five times."""


def bridge(name: str) -> tuple[IPv4Interface, int]:
    """Address and MTU of the pod bridge, in bytes. Raises BootError while it is not there or has none."""
    request = struct.pack("256s", name[:15].encode())
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            address, mask = (fcntl.ioctl(probe, number, request)[20:24] for number in (_GET_ADDRESS, _GET_NETMASK))
            (mtu,) = struct.unpack_from("i", fcntl.ioctl(probe, _GET_MTU, request), 16)
    except OSError as error:
        raise BootError(f"network plugin is not ready: the pod bridge {name} has no address yet ({error.strerror})") from error
    return IPv4Interface((address, bin(int.from_bytes(mask, "big")).count("1"))), mtu


def node_object(flags: Flags) -> Json:
    """What the node is registered as. Pure."""
    labels = {"kubernetes.io/hostname": flags.name, "beta.kubernetes.io/os": "linux", "kubernetes.io/os": "linux"}
    labels |= {f"{prefix}kubernetes.io/arch": architecture() for prefix in ("", "beta.")} | dict(flags.labels)
    spec: Json = {"podCIDR": flags.pod_cidr} if flags.pod_cidr else {}
    if flags.taints:
        spec["taints"] = [{"key": key, "effect": effect} | ({"value": value} if value else {}) for key, value, effect in flags.taints]
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": flags.name, "labels": labels}, "spec": spec}


def architecture() -> str:
    """The machine's, as Go calls it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def conditions(trouble: str, old: list[Mapping[str, Any]], now: float) -> list[Json]:
    """The node's conditions. `trouble`: why it is not ready, empty when it is; those that others keep stay. Pure."""
    ready = ("Ready", "False", "KubeletNotReady", trouble) if trouble else ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    wanted = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ready,
    ]
    before = {one.get("type"): one for one in old}
    found = []
    for kind, state, reason, message in wanted:
        same = before.get(kind, {}).get("status") == state
        since = before[kind].get("lastTransitionTime") if same else None
        item = {"type": kind, "status": state, "reason": reason, "message": message}
        found.append(item | {"lastHeartbeatTime": time_text(now), "lastTransitionTime": since or time_text(now)})
    return [*(dict(one) for one in old if one.get("type") not in {kind for kind, *_ in wanted}), *found]


def status(flags: Flags, trouble: str, old: Mapping[str, Any], now: float) -> Json:
    """The node's status as it is now."""
    room = {"cpu": str(os.cpu_count() or 1), "memory": f"{_memory()}Ki", "pods": str(flags.max_pods)}
    return {
        "addresses": [{"type": "InternalIP", "address": flags.node_ip}, {"type": "Hostname", "address": flags.name}],
        "capacity": room,
        "allocatable": room,
        "conditions": conditions(trouble, list(old.get("conditions") or ()), now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": flags.port}},
        "nodeInfo": _info(flags.version),
    }


@functools.cache
def _info(version: str) -> Json:
    """What stays as it is while the kubelet lives."""
    return {
        "machineID": _line("/etc/machine-id"),
        "systemUUID": _line("/etc/machine-id"),
        "bootID": _line("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": _os_name(),
        "containerRuntimeVersion": f"lab://{__version__}",
        "kubeletVersion": version,
        "kubeProxyVersion": version,
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _os_name() -> str:
    for line in _line("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return "Linux"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def beat(node: Json, status: Json) -> Json:
    """The merge patch that makes this the status of a node that is still as it was seen last: with a 409 if it is not. Pure."""
    old = node.get("status") or {}
    return {
        "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
        "status": {key: value for key, value in status.items() if old.get(key) != value},
    }


class Heartbeat:
    """Registers the node and keeps its status fresh. `trouble` says why the node is not ready, or nothing.

    A beat is one request: the answer to the last one says how the node was, and the next one holds only if it still is so. Whoever has
    written to the node meanwhile makes the kubelet look first.
    """

    def __init__(self, client: ApiClient, flags: Flags, trouble: Callable[[], str], log: Callable[[str], None]) -> None:
        self._client, self._flags, self._trouble, self._log = client, flags, trouble, log
        self._node: Json | None = None

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        pause, lost = FIRST_PAUSE, False
        while True:
            try:
                trouble = self._beat()
                if lost:
                    self._log("the apiserver answers again")
                pause, lost = FIRST_PAUSE, False
                wait = self._flags.heartbeat if not trouble else min(self._flags.heartbeat, 0.2)
            except ApiError as error:
                if not lost:
                    self._log(f"cannot say that this node lives: {error}")
                lost, wait = True, pause
                pause = min(2 * pause, self._flags.heartbeat)
            time.sleep(wait)

    def _beat(self) -> str:
        trouble = self._trouble()
        for _ in range(_TRIES):
            node = self._node or self._found()
            now = status(self._flags, trouble, node.get("status") or {}, time.time())
            try:
                self._node = self._client.patch("nodes", self._flags.name, "", beat(node, now), subresource="status")
                break
            except ApiError as error:
                self._node = None
                if error.code not in (_NOT_FOUND, _CONFLICT):
                    raise
        return trouble

    def _found(self) -> Json:
        """The node as the apiserver has it, registered if it is not there."""
        name = self._flags.name
        node = self._client.find("nodes", name)
        if node is None:
            try:
                node = self._client.create(node_object(self._flags))
            except ApiError as error:
                if error.code != _CONFLICT:
                    raise
                node = self._client.get("nodes", name)
            self._log(f"Successfully registered node {name}")
        if self._flags.pod_cidr and not (node.get("spec") or {}).get("podCIDR"):
            node = self._client.patch("nodes", name, "", {"spec": {"podCIDR": self._flags.pod_cidr}})
        return node
