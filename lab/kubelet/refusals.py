"""What a pod may ask for and does not get here: refused by the name of the field, and never ignored. Pure.

Fields that change nothing in the lab are accepted and shown; docs/kubelet.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lab.errors import UsageError

Json = Mapping[str, Any]

VOLUMES = ("configMap", "downwardAPI", "emptyDir", "hostPath", "projected", "secret")
SOURCES = ("configMap", "downwardAPI", "secret", "serviceAccountToken")
_POD = ("activeDeadlineSeconds", "ephemeralContainers", "readinessGates", "resourceClaims", "runtimeClassName", "setHostnameAsFQDN")
_CONTAINER = ("volumeDevices",)
_HOOKS = ("exec", "httpGet", "sleep", "tcpSocket")


def check(pod: Json, container: Json) -> None:
    """Raises UsageError with every field of the pod, or of this container, that asks for what the lab does not do."""
    said = [*of_pod(pod), *of_container(container)]
    if said:
        raise UsageError("the lab does not do this: " + "; ".join(said))


def of_pod(pod: Json) -> Iterator[str]:
    """What of the pod itself is refused."""
    spec = pod.get("spec") or {}
    yield from (f"spec.{name}" for name in _POD if spec.get(name))
    if ((spec.get("os") or {}).get("name") or "linux") != "linux":
        yield f"spec.os.name: {spec['os']['name']}"
    for number, volume in enumerate(spec.get("volumes") or ()):
        yield from of_volume(volume, f"spec.volumes[{number}]")


def of_volume(volume: Json, where: str) -> Iterator[str]:
    """What of a volume is refused."""
    for kind in volume.keys() - {"name", *VOLUMES}:
        yield f"{where}.{kind}: there are {', '.join(VOLUMES)}"
    host = volume.get("hostPath")
    if host is not None and not _is_the_nodes_own(str(host.get("path"))):
        yield f"{where}.hostPath.path: {host.get('path')}: only /run is the node's own; everything else is this machine's"
    for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        for kind in source.keys() - set(SOURCES):
            yield f"{where}.projected.sources[{number}].{kind}: there are {', '.join(SOURCES)}"


def _is_the_nodes_own(path: str) -> bool:
    plain = path.removeprefix("/var") if path.startswith("/var/run") else path
    return (plain == "/run" or plain.startswith("/run/")) and ".." not in path.split("/")


def of_container(container: Json) -> Iterator[str]:
    """What of a container is refused."""
    where = f"container {container.get('name')}"
    yield from (f"{where}: {name}" for name in _CONTAINER if container.get(name))
    if (container.get("resources") or {}).get("claims"):
        yield f"{where}: resources.claims"
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if (container.get(kind) or {}).get("grpc"):
            yield f"{where}: {kind}.grpc: there are exec, httpGet and tcpSocket"
    for name, hook in (container.get("lifecycle") or {}).items():
        if name not in ("postStart", "preStop"):
            yield f"{where}: lifecycle.{name}"
        else:
            yield from (f"{where}: lifecycle.{name}.{one}: there are {', '.join(_HOOKS)}" for one in (hook or {}).keys() - set(_HOOKS))
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("mountPropagation") not in (None, "", "None"):
            yield f"{where}: volumeMounts[{number}].mountPropagation: {mount['mountPropagation']}"
