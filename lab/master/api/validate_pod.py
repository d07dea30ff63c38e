"""What is wrong with a pod's spec, of a Pod or of a template, in the apiserver's words. Pure."""

from __future__ import annotations

from typing import Any

from lab.master.api import names
from lab.master.api.faults import NEGATIVE, forbidden, invalid, one_of, port_faults, required
from lab.master.api.lenient import is_int, number, obj, objs, text
from lab.master.api.status import Fault
from lab.master.scheduler.quantities import amount

Object = dict[str, Any]

_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_RESTART = ("Always", "OnFailure", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_NAMED = {"configMap": "name", "secret": "secretName", "hostPath": "path", "persistentVolumeClaim": "claimName"}
"""What a volume of a kind has to name."""


def spec(item: Object, field: str) -> list[Fault]:
    """All that is wrong with a pod's spec, defaults already filled in."""
    found: list[Fault] = []
    seen: set[str] = set()
    volumes = _volumes(item, f"{field}.volumes", found)
    if not objs(item, "containers"):
        found.append(required(f"{field}.containers"))
    for group in ("initContainers", "containers"):
        for place, one in enumerate(objs(item, group)):
            found += _container(one, f"{field}.{group}[{place}]", seen, volumes)
            if group == "initContainers" and one.get("restartPolicy") != "Always":
                not_there = [name for name in ("lifecycle", *_PROBES) if one.get(name)]
                why = "may not be set for init containers without restartPolicy=Always"
                found += [forbidden(f"{field}.initContainers[{place}].{name}", why) for name in not_there]
    grace = number(item, "terminationGracePeriodSeconds")
    if grace < 0:
        found.append(invalid(f"{field}.terminationGracePeriodSeconds", grace, NEGATIVE))
    found += one_of(f"{field}.restartPolicy", item.get("restartPolicy"), _RESTART, False)
    return found + one_of(f"{field}.dnsPolicy", item.get("dnsPolicy"), _DNS, False)


def _volumes(item: Object, field: str, found: list[Fault]) -> set[str]:
    """The names of the volumes."""
    known: set[str] = set()
    for place, one in enumerate(objs(item, "volumes")):
        here, name = f"{field}[{place}]", text(one, "name")
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", name, says) for says in names.label_faults(name)]
            if name in known:
                found.append(Fault(f"{here}.name", "FieldValueDuplicate", "", name))
            known.add(name)
        kinds = [kind for kind in one if kind != "name" and one[kind] is not None]
        if not kinds:
            found.append(required(here, "must specify a volume type"))
        found += [forbidden(f"{here}.{kind}", "may not specify more than one volume type") for kind in kinds[1:]]
        for kind in kinds[:1]:
            if kind in _NAMED and not text(one, kind, _NAMED[kind]):
                found.append(required(f"{here}.{kind}.{_NAMED[kind]}"))
            mode = number(one, kind, "defaultMode")
            if not 0 <= mode <= 0o777:
                found.append(invalid(f"{here}.{kind}.defaultMode", mode, "must be a number between 0 and 0777 (octal), both inclusive"))
    return known


def _container(one: Object, field: str, seen: set[str], volumes: set[str]) -> list[Fault]:
    found, name = [], text(one, "name")
    if not name:
        found.append(required(f"{field}.name"))
    else:
        found += [invalid(f"{field}.name", name, says) for says in names.label_faults(name)]
        if name in seen:
            found.append(Fault(f"{field}.name", "FieldValueDuplicate", "", name))
        seen.add(name)
    if not text(one, "image"):
        found.append(required(f"{field}.image"))
    found += _ports(one, f"{field}.ports")
    found += _env(one, f"{field}.env")
    found += _mounts(one, f"{field}.volumeMounts", volumes)
    found += _resources(obj(one, "resources"), f"{field}.resources")
    for kind in _PROBES:
        if isinstance(one.get(kind), dict):
            found += _probe(one[kind], f"{field}.{kind}", kind)
    for kind, hook in obj(one, "lifecycle").items():
        if isinstance(hook, dict):
            found += _handler(hook, f"{field}.lifecycle.{kind}")
    return found + one_of(f"{field}.imagePullPolicy", one.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"))


def _ports(one: Object, field: str) -> list[Fault]:
    found: list[Fault] = []
    called: set[str] = set()
    for place, port in enumerate(objs(one, "ports")):
        here, name = f"{field}[{place}]", text(port, "name")
        if name:
            says = names.port_name_faults(name)
            found += [invalid(f"{here}.name", name, fault) for fault in says]
            if not says and name in called:
                found.append(Fault(f"{here}.name", "FieldValueDuplicate", "", name))
            called.add(name)
        if not port.get("containerPort"):
            found.append(required(f"{here}.containerPort"))
        else:
            found += port_faults(f"{here}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            found += port_faults(f"{here}.hostPort", port["hostPort"])
        found += one_of(f"{here}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    return found


def _env(one: Object, field: str) -> list[Fault]:
    found: list[Fault] = []
    for place, variable in enumerate(objs(one, "env")):
        called, here = text(variable, "name"), f"{field}[{place}]"
        if not called:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", called, says) for says in names.env_faults(called)]
        origin = variable.get("valueFrom")
        if isinstance(origin, dict):
            if not origin:
                kinds = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                found.append(invalid(f"{here}.valueFrom", "", f"must specify one of: {kinds}"))
            elif variable.get("value"):
                found.append(invalid(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
            elif len(origin) > 1:
                found.append(invalid(f"{here}.valueFrom", "", "may not have more than one field specified at a time"))
    return found


def _mounts(one: Object, field: str, volumes: set[str]) -> list[Fault]:
    found: list[Fault] = []
    paths: set[str] = set()
    for place, mount in enumerate(objs(one, "volumeMounts")):
        here, name, path = f"{field}[{place}]", text(mount, "name"), text(mount, "mountPath")
        if not name:
            found.append(required(f"{here}.name"))
        elif name not in volumes:
            found.append(Fault(f"{here}.name", "FieldValueNotFound", "", name))
        if not path:
            found.append(required(f"{here}.mountPath"))
        elif path in paths:
            found.append(invalid(f"{here}.mountPath", path, "must be unique"))
        paths.add(path)
        sub = text(mount, "subPath")
        if sub.startswith("/"):
            found.append(invalid(f"{here}.subPath", sub, "must be a relative path"))
        if ".." in sub.split("/"):
            found.append(invalid(f"{here}.subPath", sub, "must not contain '..'"))
    return found


def _resources(resources: Object, field: str) -> list[Fault]:
    limits, found = obj(resources, "limits"), []
    for group in ("limits", "requests"):
        for name, value in obj(resources, group).items():
            here = f"{field}.{group}[{name}]"
            if "/" not in name and name not in _RESOURCES and not name.startswith("hugepages-"):
                found.append(invalid(here, name, "must be a standard resource type or fully qualified"))
                found.append(invalid(here, name, "must be a standard resource for containers"))
            if str(value).startswith("-"):
                found.append(invalid(here, str(value), NEGATIVE))
            elif group == "requests" and name in limits and amount(value) > amount(limits[name]):
                found.append(invalid(f"{field}.requests", str(value), f"must be less than or equal to {name} limit of {limits[name]}"))
    return found


def _probe(probe: Object, field: str, kind: str) -> list[Fault]:
    found = _handler(probe, field)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if is_int(probe.get(name)) and probe[name] < 0:
            found.append(invalid(f"{field}.{name}", probe[name], NEGATIVE))
    if kind != "readinessProbe" and probe.get("successThreshold") not in (None, 1):
        found.append(invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _handler(item: Object, field: str) -> list[Fault]:
    kinds = [kind for kind in _HANDLERS if item.get(kind) is not None]
    if not kinds:
        return [required(field, "must specify a handler type")]
    found = [forbidden(f"{field}.{kind}", "may not specify more than 1 handler type") for kind in kinds[1:]]
    action = obj(item, kinds[0])
    if kinds[0] == "exec" and not action.get("command"):
        found.append(required(f"{field}.exec.command"))
    if kinds[0] in ("httpGet", "tcpSocket"):
        port = action.get("port")
        if isinstance(port, str):
            found += [invalid(f"{field}.{kinds[0]}.port", port, says) for says in names.port_name_faults(port)]
        else:
            found += port_faults(f"{field}.{kinds[0]}.port", port)
    return found
