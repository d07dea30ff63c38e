"""What is wrong with an object, field by field, in the apiserver's words. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from lab.master.api import names, validate_data, validate_pod
from lab.master.api.faults import NEGATIVE, invalid, label_faults, one_of, port_faults, required
from lab.master.api.lenient import at, obj, objs, text
from lab.master.api.selectors import matches_selector
from lab.master.api.status import Fault

Object = dict[str, Any]
IMMUTABLE = "field is immutable"


def faults(item: Object, kind: str, old: Object | None = None) -> list[Fault]:
    """All that is wrong with an object (defaults already filled in); old: what it replaces, for fields that must not change."""
    found = _metadata(item, kind, old)
    check = _CHECKS.get(kind)
    return found + (check(item, old) if check else [])


def _metadata(item: Object, kind: str, old: Object | None) -> list[Fault]:
    meta, found = obj(item, "metadata"), []
    name, rule = meta.get("name"), names.NAME_RULES.get(kind, names.subdomain_faults)
    if not isinstance(name, str) or not name:
        found.append(required("metadata.name", "name or generateName is required"))
    else:
        found += [invalid("metadata.name", name, says) for says in rule(name)]
    for key, value in obj(meta, "labels").items():
        found += [invalid("metadata.labels", key, says) for says in names.label_key_faults(key)]
        bad = names.label_value_faults(value) if isinstance(value, str) else ["must be a string"]
        found += [invalid("metadata.labels", value, says) for says in bad]
    for key in obj(meta, "annotations"):
        found += [invalid("metadata.annotations", key, says) for says in names.label_key_faults(key.lower())]
    before, added = at(old, "metadata", "finalizers") or [], meta.get("finalizers") or []
    if old and at(old, "metadata", "deletionTimestamp") and (more := [one for one in added if one not in before]):
        quoted = ", ".join(f'"{one}"' for one in more)
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{quoted}}}"
        found.append(Fault("metadata.finalizers", "FieldValueForbidden", why))
    for field in ("name", "namespace", "uid", "creationTimestamp") if old else ():
        before = at(old, "metadata", field)
        if before and meta.get(field) and meta[field] != before:
            found.append(invalid(f"metadata.{field}", meta[field], IMMUTABLE))
    return found


def _service(item: Object, old: Object | None) -> list[Fault]:
    spec = obj(item, "spec")
    kind, cluster, found = text(spec, "type"), text(spec, "clusterIP"), []
    found += one_of("spec.type", kind, ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"))
    found += one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    ports = objs(spec, "ports")
    if not ports and cluster != "None" and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind == "ExternalName" and not text(spec, "externalName"):
        found.append(required("spec.externalName"))
    if kind in ("NodePort", "LoadBalancer") and cluster == "None":
        found.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if cluster not in ("", "None") and not _is_ip(cluster):
        found.append(invalid("spec.clusterIPs[0]", cluster, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
    if old and text(old, "spec", "type") != "ExternalName" != kind and text(old, "spec", "clusterIP") not in ("", cluster):
        found.append(invalid("spec.clusterIPs[0]", [cluster], "may not change once set"))
    seen: set[tuple[Any, Any]] = set()
    called: set[str] = set()
    for number, port in enumerate(ports):
        found += _service_port(port, f"spec.ports[{number}]", len(ports) > 1, called)
        both = (port.get("port"), port.get("protocol"))
        if both in seen:
            found.append(Fault(f"spec.ports[{number}]", "FieldValueDuplicate", "", {"port": both[0], "protocol": both[1]}))
        seen.add(both) if all(isinstance(one, (int, str)) for one in both) else None
    for number, address in enumerate(spec["externalIPs"] if isinstance(spec.get("externalIPs"), list) else []):
        if not _is_ip(address):
            found.append(invalid(f"spec.externalIPs[{number}]", address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
    return found + label_faults(obj(spec, "selector"), "spec.selector")


def _service_port(port: Object, field: str, several: bool, called: set[str]) -> list[Fault]:
    found, name = [], text(port, "name")
    if several and not name:
        found.append(required(f"{field}.name"))
    elif name:
        found += [invalid(f"{field}.name", name, says) for says in names.label_faults(name)]
        if name in called:
            found.append(Fault(f"{field}.name", "FieldValueDuplicate", "", name))
        called.add(name)
    found += port_faults(f"{field}.port", port.get("port"))
    found += one_of(f"{field}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    target = port.get("targetPort")
    if isinstance(target, str):
        return found + [invalid(f"{field}.targetPort", target, says) for says in names.port_name_faults(target)]
    return found + (port_faults(f"{field}.targetPort", target) if target is not None else [])


def _is_ip(value: Any) -> bool:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _pod(item: Object, old: Object | None) -> list[Fault]:
    found = validate_pod.spec(obj(item, "spec"), "spec")
    if old is None:
        return found
    if _fixed(item) != _fixed(old):
        may = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
        more = " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        found.append(Fault("spec", "FieldValueForbidden", f"pod updates may not change fields other than {may}{more}"))
    return found


def _fixed(pod: Object) -> Object:
    loose = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName")
    spec = {key: value for key, value in obj(pod, "spec").items() if key not in loose}
    for field in ("containers", "initContainers"):
        spec[field] = [{key: value for key, value in one.items() if key != "image"} for one in objs(pod, "spec", field)]
    return spec


def _workload(item: Object, old: Object | None) -> list[Fault]:
    spec, found = obj(item, "spec"), []
    selector, replicas = spec.get("selector"), spec.get("replicas")
    labels = obj(spec, "template", "metadata", "labels")
    if isinstance(replicas, int) and replicas < 0:
        found.append(invalid("spec.replicas", replicas, NEGATIVE))
    if selector is None:
        found.append(required("spec.selector"))
    if selector is not None and not obj(selector, "matchLabels") and not objs(selector, "matchExpressions"):
        found.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    elif selector is None or not matches_selector(selector, labels):
        found.append(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    if old and at(old, "spec", "selector") not in (None, selector):
        found.append(invalid("spec.selector", selector, IMMUTABLE))
    found += label_faults(labels, "spec.template.labels")
    found += validate_pod.spec(obj(spec, "template", "spec"), "spec.template.spec")
    if text(spec, "template", "spec", "restartPolicy") in ("Never", "OnFailure"):
        found += one_of("spec.template.spec.restartPolicy", text(spec, "template", "spec", "restartPolicy"), ("Always",))
    return found


def _endpoints(item: Object, old: Object | None) -> list[Fault]:
    found = []
    for number, subset in enumerate(objs(item, "subsets")):
        field = f"subsets[{number}]"
        if not objs(subset, "addresses") and not objs(subset, "notReadyAddresses"):
            found.append(required(field, "must specify `addresses` or `notReadyAddresses`"))
        for group in ("addresses", "notReadyAddresses"):
            for place, one in enumerate(objs(subset, group)):
                if not _is_ip(one.get("ip")):
                    says = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                    found.append(invalid(f"{field}.{group}[{place}].ip", one.get("ip"), says))
        for place, port in enumerate(objs(subset, "ports")):
            found += port_faults(f"{field}.ports[{place}].port", port.get("port"))
    return found


_CHECKS: dict[str, Callable[[Object, Object | None], list[Fault]]] = {
    "Service": _service,
    "Pod": _pod,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "Endpoints": _endpoints,
    "ConfigMap": validate_data.configmap,
    "Secret": validate_data.secret,
}
