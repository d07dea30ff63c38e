"""Discovery: what the apiserver serves, as it tells clients at /api, /apis, /apis/GROUP/VERSION and /version. Pure.

Today's kubectl asks for the aggregated form (one document at /api and one at /apis); older clients ask group by group.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from lab.master.resources import RESOURCES, VERBS, Resource, group_of, served

Object = dict[str, Any]

AGGREGATED = ("v2", "v2beta1")
"""The versions of apidiscovery.k8s.io that aggregated() can write, the preferred one first."""

_SUBVERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "binding": ("create",),
    "eviction": ("create",),
    "finalize": ("update",),
    "token": ("create",),
    "log": ("get",),
    "exec": ("create", "get"),
    "attach": ("create", "get"),
    "portforward": ("create", "get"),
}
_SUBKINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
}


def api_versions(address: str = "127.0.0.1:8080") -> Object:
    """APIVersions, at /api. address: where the apiserver is to be reached."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def groups() -> dict[str, list[str]]:
    """Every API version that is served, by group; the preferred one of each group first. The core group is the empty name."""
    found: dict[str, list[str]] = {}
    for version, _ in served():
        versions = found.setdefault(group_of(version), [])
        if version not in versions:
            versions.append(version)
    return found


def group(name: str) -> Object | None:
    """APIGroup, at /apis/GROUP; None for one that is not served."""
    versions = [{"groupVersion": one, "version": one.rpartition("/")[2]} for one in groups().get(name, [])] if name else []
    if not versions:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}


def group_list() -> Object:
    """APIGroupList, at /apis."""
    found = [group(name) for name in groups() if name]
    bare = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found if one]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": bare}


def resource_list(api_version: str) -> Object | None:
    """APIResourceList, at /api/v1 and /apis/GROUP/VERSION; None for one that is not served."""
    resources = [resource for version, resource in served() if version == api_version]
    if not resources:
        return None
    rows: list[Object] = []
    for resource in resources:
        rows += [_row(resource, api_version), *[_subrow(resource, name) for name in subresources(resource)]]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": sorted(rows, key=lambda row: str(row["name"]))}


def subresources(resource: Resource) -> tuple[str, ...]:
    """The subresources that discovery speaks of."""
    return tuple(name for name in resource.subresources if name in _SUBVERBS)


def short_names(resource: Resource, api_version: str) -> list[str]:
    """Those of a resource in an API version: none but where it is stored, for kubectl warns of a short name that means two resources."""
    return list(resource.short) if api_version == resource.api_version else []


def _row(resource: Resource, api_version: str) -> Object:
    row: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(VERBS),
        "storageVersionHash": storage_hash(resource),
    }
    if short := short_names(resource, api_version):
        row["shortNames"] = short
    if resource.categories:
        row["categories"] = list(resource.categories)
    return row


def _subrow(resource: Resource, name: str) -> Object:
    row: Object = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if name in _SUBKINDS:
        group_name, version, kind = _SUBKINDS[name]
        other = {"group": group_name, "version": version} if group_name else {}
        return row | other | {"kind": kind, "verbs": list(_SUBVERBS[name])}
    return row | {"kind": resource.kind, "verbs": list(_SUBVERBS[name])}


def storage_hash(resource: Resource) -> str:
    """Tells clients in which version an object is stored, without telling them which."""
    version = resource.api_version.rpartition("/")[2]
    digest = hashlib.sha256(f"{resource.group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def aggregated(core: bool, version: str = "v2") -> Object:
    """APIGroupDiscoveryList: everything of /api (core) or of /apis in one document. version: one of AGGREGATED."""
    names = [name for name in groups() if bool(name) != core]
    items = [{"metadata": {"name": name, "creationTimestamp": None}, "versions": [_aggregated(one) for one in groups()[name]]} for name in names]
    if core:
        items[0]["metadata"] = {"creationTimestamp": None}
    return {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def _aggregated(api_version: str) -> Object:
    name = group_of(api_version)
    version = api_version.rpartition("/")[2]
    rows = []
    for resource in sorted((one for served_in, one in served() if served_in == api_version), key=lambda one: one.plural):
        row: Object = {
            "resource": resource.plural,
            "responseKind": {"group": name, "version": version, "kind": resource.kind},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": list(VERBS),
        }
        optional = {"shortNames": short_names(resource, api_version), "categories": list(resource.categories)}
        optional["subresources"] = [_aggregated_sub(name, version, resource, sub) for sub in subresources(resource)]
        rows.append(row | {key: value for key, value in optional.items() if value})
    return {"version": version, "resources": rows, "freshness": "Current"}


def _aggregated_sub(group_name: str, version: str, resource: Resource, name: str) -> Any:
    own = _SUBKINDS.get(name, (group_name, version, resource.kind))
    kind = dict(zip(("group", "version", "kind"), own, strict=True))
    return {"subresource": name, "responseKind": kind, "verbs": list(_SUBVERBS[name])}


def etag(core: bool, version: str = "v2") -> str:
    """The entity tag of an aggregated document; a client that has it need not read it again."""
    known = repr((core, version, RESOURCES, VERBS))
    return f'"{hashlib.sha512(known.encode()).hexdigest().upper()}"'


def version(text: str = "v1.7.3") -> Object:
    """What /version says. text: a version as `kubectl version` prints it."""
    found = re.match(r"v(\d+)\.(\d+)", text)
    major, minor = (found[1], found[2]) if found else ("1", "")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": text,
        "gitCommit": hashlib.sha1(text.encode()).hexdigest(),
        "gitTreeState": "clean",
        "buildDate": "2017-08-03T06:43:48Z",
        "goVersion": "go1.8.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def paths() -> Object:
    """Every path that is worth a look, at /."""
    found = {"/api", "/apis", "/healthz", "/livez", "/readyz", "/openapi/v2", "/openapi/v3", "/version"}
    for name, versions in groups().items():
        found |= {f"/apis/{name}", *[f"/apis/{one}" for one in versions]} if name else {"/api/v1"}
    return {"paths": sorted(found)}
