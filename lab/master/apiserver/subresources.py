"""scale, binding, eviction and server-side apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.master.api import ages, status
from lab.master.api import apply as applying
from lab.master.api.lenient import at, is_int, obj, text, texts
from lab.master.api.status import Fault
from lab.master.apiserver import bodies
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.registry import Registry, now
from lab.master.apiserver.tokens import HOUR, ISSUER, LONGEST
from lab.master.apiserver.watchers import Object
from lab.master.resources import by_kind


def scale_of(item: Object) -> Object:
    """The Scale of a Deployment or ReplicaSet."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in item["metadata"]}
    spec, state = item.get("spec") or {}, item.get("status") or {}
    pairs = (spec.get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(pairs.items()))
    found = {"replicas": state.get("replicas", 0), "selector": selector}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": spec.get("replicas", 0)}, "status": found}


def scaling(target: Target, of: Callable[[Object], Any]) -> tuple[Callable[[Object], Object], str]:
    """What `of` makes of an object's Scale, as a change of the object itself."""

    def change(old: Object) -> Object:
        scale = of(scale_of(old))
        metadata, spec = (scale.get("metadata") or {}, scale.get("spec") or {}) if isinstance(scale, dict) else (None, None)
        if not isinstance(metadata, dict) or not isinstance(spec, dict):
            raise Refused(status.bad_request("the object provided is unrecognized (must be of type Scale)"))
        if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise Refused(status.conflict(target.resource.plural, target.name, target.resource.group))
        wanted = spec.get("replicas", 0)
        if type(wanted) is not int or not 0 <= wanted < 1 << 31:
            fault = Fault("spec.replicas", "FieldValueInvalid", "must be greater than or equal to 0", wanted)
            raise Refused(status.invalid("Scale", target.name, [fault], "autoscaling"))
        return old | {"spec": (old.get("spec") or {}) | {"replicas": wanted}}

    return change, ""


async def act(registry: Registry, target: Target, document: Object, dry: bool) -> tuple[int, Object]:
    """A POST to a pod's binding or eviction, or for a service account's token. Raises Refused."""
    if target.subresource == "token":
        return 201, _token(registry, target, document)
    if target.subresource == "binding":
        await _bind(registry, target, document, dry)
    elif target.subresource == "eviction":
        options = document.get("deleteOptions") or {}
        if not isinstance(options, dict):
            raise Refused(status.bad_request("deleteOptions is no object"))
        await registry.delete(target.resource, target.name, target.namespace, options, dry)
    else:
        raise Refused(status.method_not_allowed())
    return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


SHORTEST = 600
"""Seconds that a token is good at least."""


def _token(registry: Registry, target: Target, document: Object) -> Object:
    """A TokenRequest with its answer."""
    account, tokens = registry.get(target.resource, target.name, target.namespace), registry.tokens
    if tokens is None:
        why = "they come with HTTPS" if registry.has_https else "there are none without HTTPS, and --secure-port is 0"
        raise Refused(status.unavailable(f"no tokens are issued yet: {why}"))
    seconds = at(document, "spec", "expirationSeconds")
    seconds = HOUR if seconds is None else seconds
    why = "" if is_int(seconds) and seconds >= SHORTEST else "may not specify a duration less than 10 minutes"
    why = why or ("may not specify a duration larger than 2^32 seconds" if seconds > LONGEST else "")
    if why:
        fault = Fault("spec.expirationSeconds", "FieldValueInvalid", why, seconds)
        raise Refused(status.invalid("TokenRequest", "", [fault], "authentication.k8s.io"))
    wanted = obj(document, "spec", "boundObjectRef")
    token, until = tokens.issue(account, texts(document, "spec", "audiences"), seconds, _bound(registry, target, wanted) if wanted else None)
    spec = {"audiences": [ISSUER], "expirationSeconds": seconds} | {key: value for key, value in obj(document, "spec").items() if value}
    answer = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": target.name, "namespace": target.namespace}}
    return answer | {"spec": spec, "status": {"token": token, "expirationTimestamp": ages.timestamp(until)}}


def _bound(registry: Registry, target: Target, wanted: Object) -> Object:
    """The object that a token shall end with. Raises Refused when it is none that a token can be bound to."""
    kind, name, uid = text(wanted, "kind"), text(wanted, "name"), text(wanted, "uid")
    if kind not in ("Pod", "Secret"):
        raise Refused(status.bad_request(f"cannot bind token to object of type v1, Kind={kind:.100}"))
    found = registry.get(by_kind(kind), name, target.namespace)
    if uid and uid != found["metadata"]["uid"]:
        plural = by_kind(kind).plural
        why = f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        raise Refused(status.conflict(plural, name, "", why))
    return found


async def _bind(registry: Registry, target: Target, document: Object, dry: bool) -> None:
    wanted = document.get("target")
    node = wanted.get("name") if isinstance(wanted, dict) else None
    if not isinstance(node, str) or not node:
        raise Refused(status.invalid("Binding", target.name, [Fault("target.name", "FieldValueRequired")], ""))

    def change(old: Object) -> Object:
        spec, metadata = old.get("spec") or {}, old["metadata"]
        why = ""
        if "deletionTimestamp" in metadata:
            why = f"pod {target.name} is being deleted, cannot be assigned to a host"
        elif spec.get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{spec["nodeName"]}"'
        if why:
            raise Refused(status.conflict("pods/binding", target.name, "", why))
        state = old.get("status") or {}
        conditions = [one for one in state.get("conditions") or [] if one.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        return old | {"spec": spec | {"nodeName": node}, "status": state | {"conditions": [*conditions, scheduled]}}

    await registry.change(target.resource, target.name, target.namespace, change, "binding", "", dry)


async def apply(registry: Registry, target: Target, document: Any, query: dict[str, str], dry: bool) -> tuple[int, Object]:
    """Server-side apply: create the object, or change what this manager owns of it. Raises Refused."""
    manager, force = query.get("fieldManager", ""), query.get("force") == "true"
    if not manager:
        fault = Fault("fieldManager", "FieldValueRequired", "is required for apply patch")
        raise Refused(status.invalid("PatchOptions", "", [fault], "meta.k8s.io"))
    item = bodies.item_of(document, target.resource, target.version)
    bodies.check(item, target.resource.kind, target.version, query.get("fieldValidation", ""))
    metadata = item["metadata"]
    if metadata.get("managedFields"):
        raise Refused(status.bad_request("metadata.managedFields must be nil"))
    if metadata.get("name") not in (None, "", target.name):
        raise Refused(status.bad_request("the name of the object does not match the name on the URL"))
    item = item | {"metadata": metadata | {"name": target.name}}
    sent = registry.received(target.resource, item, target.namespace, target.version)

    def change(old: Object | None) -> Object:
        try:
            return applying.apply(old, sent, manager, force, now())
        except applying.ApplyConflict as conflict:
            raise Refused(status.apply_conflict([(str(field), str(why)) for field, why in conflict.causes])) from None

    if registry.cache.get(target.resource.key(target.name, target.namespace)) is None and not target.subresource:
        try:
            return 201, await registry.create(target.resource, change(None), target.namespace, target.resource.api_version, dry)
        except Refused as error:
            if error.code != 409:
                raise
    return 200, await registry.change(target.resource, target.name, target.namespace, change, target.subresource, "", dry)


