"""The merge keys of lists in Kubernetes objects: by which field two entries of `containers` are the same. Pure data and a look-up.

The patch strategies are those of the API's Go types; fields that are not listed are atomic lists or plain objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True)
class Schema:
    """What strategic merge has to know of an object.

    lists     field -> merge key, empty for lists of plain values that merge as sets
    children  field -> the Schema below it
    """

    lists: dict[str, str] = field(default_factory=dict)
    children: dict[str, Schema] = field(default_factory=dict)

    def merge_key(self, name: str) -> str | None:
        """The merge key of a list; empty for a set, None for a list that is replaced as a whole."""
        return self.lists.get(name)

    def child(self, name: str) -> Schema:
        """What is known of the objects in a field."""
        return self.children.get(name, PLAIN)


PLAIN = Schema()

_META = Schema({"ownerReferences": "uid", "finalizers": ""})
_CONTAINER = Schema(
    {"ports": "containerPort", "env": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath"}, {"resources": Schema({"claims": "name"})}
)
_POD_SPEC = Schema(
    {
        "volumes": "name",
        "containers": "name",
        "initContainers": "name",
        "ephemeralContainers": "name",
        "imagePullSecrets": "name",
        "hostAliases": "ip",
        "topologySpreadConstraints": "topologyKey",
        "resourceClaims": "name",
        "schedulingGates": "name",
    },
    {"containers": _CONTAINER, "initContainers": _CONTAINER, "ephemeralContainers": _CONTAINER},
)
_STATUS = Schema({"conditions": "type", "podIPs": "ip", "hostIPs": "ip", "addresses": "type"})
_TEMPLATE = Schema({}, {"metadata": _META, "spec": _POD_SPEC})
_WORKLOAD = Schema({}, {"metadata": _META, "spec": Schema({}, {"template": _TEMPLATE}), "status": Schema({"conditions": "type"})})
_SCHEMAS = {
    "Pod": Schema({}, {"metadata": _META, "spec": _POD_SPEC, "status": _STATUS}),
    "Deployment": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
    "Service": Schema({}, {"metadata": _META, "spec": Schema({"ports": "port"}), "status": Schema({"conditions": "type"})}),
    "Node": Schema({}, {"metadata": _META, "spec": Schema({"podCIDRs": ""}), "status": _STATUS}),
    "ServiceAccount": Schema({"secrets": "name"}, {"metadata": _META}),
    "Namespace": Schema({}, {"metadata": _META, "status": Schema({"conditions": "type"})}),
}


@lru_cache(maxsize=64)
def schema_of(kind: str) -> Schema:
    """What strategic merge has to know of a kind; of an unknown one that its metadata is metadata."""
    return _SCHEMAS.get(kind, Schema({}, {"metadata": _META}))
