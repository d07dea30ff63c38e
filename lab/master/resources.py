"""The kinds of objects that the apiserver serves, and where each has its place in URLs and in etcd. Pure.

Kubernetes calls the pair of group and version of a resource its API version: `v1` for the core group, `apps/v1` for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from lab.errors import UsageError

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What can be done with an object, as discovery says it."""


@dataclass(frozen=True)
class Resource:
    """One resource of the API.

    prefix        where its objects are in etcd, below /registry; kubernetes' own places, so `minions` for nodes
    subresources  `status`, `scale`, `log` …
    more          other API versions under which the same objects are served, such as the article's extensions/v1beta1
    """

    kind: str
    plural: str
    api_version: str
    prefix: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        """`pod` for `pods`."""
        return self.kind.lower()

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return group_of(self.api_version)

    @property
    def api_versions(self) -> tuple[str, ...]:
        """Every API version that serves it, the one it is stored in first."""
        return (self.api_version, *self.more)

    def key(self, name: str = "", namespace: str = "") -> str:
        """Its place in etcd; without a name that of all of its namespace, ending in a slash, and without both that of all there are."""
        parts = ["/registry", self.prefix]
        if self.namespaced and namespace:
            parts.append(namespace)
        return "/".join([*parts, name])

    def path(self, name: str = "", namespace: str = "", subresource: str = "", api_version: str = "") -> str:
        """The path of its URL; without a namespace that of all namespaces."""
        version = api_version or self.api_version
        parts = ["/apis" if "/" in version else "/api", version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


RESOURCES = (
    Resource("Namespace", "namespaces", "v1", "namespaces", False, ("ns",), ("status", "finalize")),
    Resource("Node", "nodes", "v1", "minions", False, ("no",), ("status",)),
    Resource("Pod", "pods", "v1", "pods", True, ("po",), ("status", "binding", "eviction", "log", "exec", "attach", "portforward"), ("all",)),
    Resource("Service", "services", "v1", "services/specs", True, ("svc",), ("status",), ("all",)),
    Resource("Endpoints", "endpoints", "v1", "services/endpoints", True, ("ep",)),
    Resource("ConfigMap", "configmaps", "v1", "configmaps", True, ("cm",)),
    Resource("Secret", "secrets", "v1", "secrets", True),
    Resource("Event", "events", "v1", "events", True, ("ev",), more=("events.k8s.io/v1",)),
    Resource("ServiceAccount", "serviceaccounts", "v1", "serviceaccounts", True, ("sa",), ("token",)),
    Resource("Deployment", "deployments", "apps/v1", "deployments", True, ("deploy",), ("status", "scale"), ("all",), ("extensions/v1beta1",)),
    Resource("ReplicaSet", "replicasets", "apps/v1", "replicasets", True, ("rs",), ("status", "scale"), ("all",), ("extensions/v1beta1",)),
    Resource("EndpointSlice", "endpointslices", "discovery.k8s.io/v1", "endpointslices"),
    Resource("Lease", "leases", "coordination.k8s.io/v1", "leases"),
)
"""Everything that can be stored. Leases of coordination.k8s.io are the heartbeats of today's kubelets."""

_BY_PLURAL = {resource.plural: resource for resource in RESOURCES}
_BY_KIND = {resource.kind: resource for resource in RESOURCES}


def group_of(api_version: str) -> str:
    """`apps` for `apps/v1`, nothing for `v1`."""
    return api_version.rpartition("/")[0]


def by_plural(plural: str) -> Resource:
    """The resource that URLs call `plural`. Raises UsageError with the ones there are."""
    if plural not in _BY_PLURAL:
        raise UsageError(f"there is no resource {plural!r}; there are {', '.join(sorted(_BY_PLURAL))}")
    return _BY_PLURAL[plural]


def by_kind(kind: str) -> Resource:
    """The resource whose objects say they are a `kind`. Raises UsageError with the ones there are."""
    if kind not in _BY_KIND:
        raise UsageError(f"there is no kind {kind!r}; there are {', '.join(sorted(_BY_KIND))}")
    return _BY_KIND[kind]


def by_word(word: str) -> Resource:
    """The resource that people call `word`: its plural, singular or a short name, as in `kubectl get svc`. Raises UsageError."""
    for resource in RESOURCES:
        if word.lower() in (resource.plural, resource.singular, *resource.short):
            return resource
    return by_plural(word)


def served() -> Iterator[tuple[str, Resource]]:
    """Every pair of an API version and a resource that it serves."""
    for resource in RESOURCES:
        for version in resource.api_versions:
            yield version, resource
