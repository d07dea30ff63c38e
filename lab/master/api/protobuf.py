"""Bodies in application/vnd.kubernetes.protobuf, as kubectl's `create` commands send them, read into the JSON that they stand for. Pure.

A body is four bytes of magic and an `Unknown`: apiVersion, kind, and the bytes of the object. The tables hold the fields that those commands
send and those next to them. What is in no table is refused, so that nothing that somebody wrote gets lost without a word.
"""

from __future__ import annotations

import base64
import functools
from datetime import datetime, timezone
from typing import Any

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

_TEXT = {
    "Unknown": "1 typeMeta TypeMeta, 2 raw y*, 3 contentEncoding s, 4 contentType s",
    "TypeMeta": "1 apiVersion s, 2 kind s",
    "ObjectMeta": """1 name s, 2 generateName s, 3 namespace s, 4 selfLink s, 5 uid s, 6 resourceVersion s, 7 generation i, 8 creationTimestamp t,
        9 deletionTimestamp t, 10 deletionGracePeriodSeconds i*, 11 labels m, 12 annotations m, 13 ownerReferences []OwnerReference,
        14 finalizers []s""",
    "OwnerReference": "1 kind s, 3 name s, 4 uid s, 5 apiVersion s, 6 controller b*, 7 blockOwnerDeletion b*",
    "ConfigMap": "1 metadata ObjectMeta, 2 data m, 3 binaryData my, 4 immutable b*",
    "Secret": "1 metadata ObjectMeta, 2 data my, 3 type s, 4 stringData m, 5 immutable b*",
    "TokenRequest": "1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status TokenRequestStatus",
    "TokenRequestSpec": "1 audiences []s, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds i*",
    "TokenRequestStatus": "1 token s, 2 expirationTimestamp t",
    "BoundObjectReference": "1 kind s, 2 apiVersion s, 3 name s, 4 uid s",
    "Namespace": "1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus",
    "NamespaceSpec": "1 finalizers []s",
    "NamespaceStatus": "1 phase s",
    "ServiceAccount": "1 metadata ObjectMeta, 3 imagePullSecrets []LocalObjectReference, 4 automountServiceAccountToken b*",
    "LocalObjectReference": "1 name s",
    "Service": "1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status ServiceStatus",
    "ServiceSpec": """1 ports []ServicePort, 2 selector m, 3 clusterIP s, 4 type s, 5 externalIPs []s, 7 sessionAffinity s, 8 loadBalancerIP s,
        9 loadBalancerSourceRanges []s, 10 externalName s, 11 externalTrafficPolicy s, 12 healthCheckNodePort i, 13 publishNotReadyAddresses b,
        17 ipFamilyPolicy s*, 18 clusterIPs []s, 19 ipFamilies []s, 20 allocateLoadBalancerNodePorts b*, 21 loadBalancerClass s*,
        22 internalTrafficPolicy s*""",
    "ServicePort": "1 name s, 2 protocol s, 3 port i, 4 targetPort is, 5 nodePort i, 6 appProtocol s*",
    "ServiceStatus": "1 loadBalancer LoadBalancerStatus",
    "LoadBalancerStatus": "",
    "Deployment": "1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status DeploymentStatus",
    "DeploymentSpec": """1 replicas i*, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, 5 minReadySeconds i,
        6 revisionHistoryLimit i*, 7 paused b, 9 progressDeadlineSeconds i*""",
    "DeploymentStrategy": "1 type s, 2 rollingUpdate RollingUpdateDeployment",
    "RollingUpdateDeployment": "1 maxUnavailable is*, 2 maxSurge is*",
    "DeploymentStatus": """1 observedGeneration i, 2 replicas i, 3 updatedReplicas i, 4 availableReplicas i, 5 unavailableReplicas i,
        7 readyReplicas i""",
    "LabelSelector": "1 matchLabels m, 2 matchExpressions []LabelSelectorRequirement",
    "LabelSelectorRequirement": "1 key s, 2 operator s, 3 values []s",
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "PodSpec": """2 containers []Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds i*, 5 activeDeadlineSeconds i*, 6 dnsPolicy s,
        7 nodeSelector m, 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s, 11 hostNetwork b, 12 hostPID b, 13 hostIPC b, 16 hostname s,
        17 subdomain s, 19 schedulerName s, 20 initContainers []Container, 21 automountServiceAccountToken b*, 24 priorityClassName s,
        25 priority i*""",
    "Container": """1 name s, 2 image s, 3 command []s, 4 args []s, 5 workingDir s, 6 ports []ContainerPort, 7 env []EnvVar, 8 resources Resources,
        13 terminationMessagePath s, 14 imagePullPolicy s, 16 stdin b, 17 stdinOnce b, 18 tty b, 20 terminationMessagePolicy s""",
    "ContainerPort": "1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s",
    "EnvVar": "1 name s, 2 value s",
    "Resources": "",
    "Eviction": "1 metadata ObjectMeta, 2 deleteOptions DeleteOptions",
    "DeleteOptions": "1 gracePeriodSeconds i*, 2 preconditions Preconditions, 3 orphanDependents b*, 4 propagationPolicy s*, 5 dryRun []s",
    "Preconditions": "1 uid s*, 2 resourceVersion s*",
    "IntOrString": "1 type i, 2 intVal i, 3 strVal s",
    "Time": "1 seconds i, 2 nanos i",
    "Pair": "1 key s, 2 value s",
    "Bytes": "1 key s, 2 value y",
}
"""Message -> its fields: number, name in JSON, type. A type is `s` string, `i` integer, `b` boolean, `y` bytes, `t` time, `m` map of strings, `my`
map of bytes, `is` integer or string, or a message; `[]` before it is a list. Go writes a field that is empty as well; behind an asterisk are
those that it leaves out, so that an empty value there was meant."""

_KINDS = ("ConfigMap", "Namespace", "ServiceAccount", "Service", "Deployment", "Eviction", "DeleteOptions", "Secret", "TokenRequest")
_HINT = "send JSON or YAML, as `kubectl apply -f FILE` does"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """The body cannot be read. `foreign` tells a well-formed body that holds more than the tables from one that is broken."""

    def __init__(self, message: str, foreign: bool = False) -> None:
        self.foreign = foreign
        super().__init__(message)


def decode(raw: bytes) -> dict[str, Any]:
    """The object of a body as JSON. Raises ProtobufError."""
    if not raw.startswith(MAGIC):
        raise ProtobufError("the body does not begin as Kubernetes' protobuf does")
    envelope = _message("Unknown", raw[len(MAGIC) :])
    kind = envelope.get("typeMeta", {}).get("kind", "")
    if kind not in _KINDS:
        raise ProtobufError(f"objects of kind {kind[:100]!r} are not read in protobuf; {_HINT}", True)
    if envelope.get("contentEncoding"):
        raise ProtobufError(f"an encoded object is not read in protobuf; {_HINT}", True)
    made = _message(kind, base64.b64decode(envelope.get("raw", "")))
    return {**envelope["typeMeta"], **made}


@functools.cache
def _fields(name: str) -> dict[int, tuple[str, str]]:
    parts = (one.split() for one in _TEXT[name].split(",") if one.strip())
    return {int(number): (field, kind) for number, field, kind in parts}


def _message(name: str, raw: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    place = 0
    while place < len(raw):
        tag, place = _varint(raw, place)
        number, wire = tag >> 3, tag & 7
        value, place = _value(raw, place, wire)
        if number not in _fields(name):
            raise ProtobufError(f"the field of number {number} in {name} is not read in protobuf; {_HINT}", True)
        field, kind = _fields(name)[number]
        read = _read(kind.removeprefix("[]").removesuffix("*"), value, f"{name}.{field}")
        if kind.startswith("[]"):
            made.setdefault(field, []).append(read)
        elif kind in ("m", "my"):
            made.setdefault(field, {}).update(read)
        elif kind.endswith("*") or kind in _TEXT or read:
            made[field] = read
    return made


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(raw):
            break
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place
    raise ProtobufError("a number in the body breaks off or does not end")


def _value(raw: bytes, place: int, wire: int) -> tuple[int | bytes, int]:
    """What stands at a place: a number, or bytes; and the place behind it."""
    if wire == _VARINT:
        return _varint(raw, place)
    if wire == _BYTES:
        size, place = _varint(raw, place)
    elif wire in (_FIXED32, _FIXED64):
        size = 4 if wire == _FIXED32 else 8
    else:
        raise ProtobufError(f"there is no wire type {wire}")
    if size > len(raw) - place:
        raise ProtobufError("the body breaks off")
    return raw[place : place + size], place + size


def _read(kind: str, value: int | bytes, where: str) -> Any:
    """A value as JSON. Raises ProtobufError for one of another wire type."""
    if isinstance(value, int):
        if kind == "b":
            return value != 0
        if kind == "i":
            return value - (1 << 64) if value >> 63 else value
        raise ProtobufError(f"{where} is no number")
    if kind in ("b", "i"):
        raise ProtobufError(f"{where} has to be a number")
    if kind == "s":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ProtobufError(f"{where} is not UTF-8") from None
    if kind == "y":
        return base64.b64encode(value).decode()
    if kind in ("m", "my"):
        pair = _message("Pair" if kind == "m" else "Bytes", value)
        return {pair.get("key", ""): pair.get("value", "")}
    if kind == "is":
        either = _message("IntOrString", value)
        return either.get("strVal", "") if either.get("type") else either.get("intVal", 0)
    return _time(value, where) if kind == "t" else _message(kind, value)


def _time(value: bytes, where: str) -> str:
    seconds = _message("Time", value).get("seconds", 0)
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
    except (ValueError, OverflowError, OSError):
        raise ProtobufError(f"{where} is no time") from None
