"""OpenAPI documents, v2 and v3, and what follows from the same data: the refusal of unknown fields. Pure.

kubectl reads v3 as JSON: for `explain`, and to see that the server itself refuses unknown fields (the parameter fieldValidation).
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any

from lab.master.api.lenient import obj, objs
from lab.master.resources import RESOURCES, Resource, served
from lab.model.apifields import TYPES, fields_of

Object = dict[str, Any]
_PLAIN: dict[str, Object] = {
    "s": {"type": "string"},
    "i": {"type": "integer", "format": "int32"},
    "b": {"type": "boolean"},
    "m": {"type": "object", "additionalProperties": {"type": "string"}},
    "is": {"type": "string", "format": "int-or-string"},
    "o": {"type": "object"},
}


def unknown_fields(item: Any, kind: str) -> list[str]:
    """Paths of fields that no object of the kind has: `spec.replcas`, `spec.ports[0].prt`."""
    return _unknown(item, kind, "") if kind in TYPES else []


def strict_error(item: Any, kind: str, api_version: str) -> str:
    """The refusal of unknown fields as the apiserver says it; empty when there are none."""
    found = unknown_fields(item, kind)
    if not found:
        return ""
    version = api_version.rpartition("/")[2]
    said = ", ".join(f'unknown field "{one}"' for one in found)
    return f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {said}'


def type_error(item: Any, kind: str, api_version: str, known: Any = None) -> str:
    """The refusal of a field whose value is of the wrong type as the apiserver says it; empty when there is none. It names the first.

    known   an object of the kind without errors: what the item shares with it is not looked at again
    """
    if kind not in TYPES or (isinstance(item, dict) and _is_typed(item, kind, known)):
        return ""
    found = _mistyped(item, kind, "")
    version = api_version.rpartition("/")[2]
    return f'{kind} in version "{version}" cannot be handled as a {kind}: json: cannot unmarshal {found}' if found else ""


_BYTES = {"Secret": "data", "ConfigMap": "binaryData"}


def base64_error(item: Any, kind: str, api_version: str) -> str:
    """The refusal of bytes that are no base64 as the apiserver says it; empty when there are none."""
    for value in obj(item, _BYTES.get(kind, "")).values():
        place = _broken_at(value) if isinstance(value, str) else -1
        if place >= 0:
            version = api_version.rpartition("/")[2]
            return f'{kind} in version "{version}" cannot be handled as a {kind}: illegal base64 data at input byte {place}'
    return ""


_SPECS = {"Pod": ("spec",), "Deployment": ("spec", "template", "spec"), "ReplicaSet": ("spec", "template", "spec")}
_QUANTITY = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_WHOLE = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]?|[eE][+-]?[0-9]+)"


def quantity_error(item: Any, kind: str, api_version: str) -> str:
    """The refusal of a resource's quantity that is none as the apiserver says it; empty when all are."""
    pod = obj(item, *_SPECS.get(kind, ("no such field",)))
    for container in [*objs(pod, "initContainers"), *objs(pod, "containers")]:
        for group in ("limits", "requests"):
            for value in obj(container, "resources", group).values():
                if said := _no_quantity(str(value)):
                    version = api_version.rpartition("/")[2]
                    return f'{kind} in version "{version}" cannot be handled as a {kind}: {said}'
    return ""


def _no_quantity(text: str) -> str:
    if re.fullmatch(_WHOLE, text, re.ASCII):
        return ""
    if not re.fullmatch(_QUANTITY.strip("^$"), text, re.ASCII):
        return f"quantities must match the regular expression '{_QUANTITY}'"
    return "unable to parse quantity's suffix"


def _broken_at(text: str) -> int:
    """Where base64 goes wrong, as Go counts it: the first foreign character, or the end of what breaks off; -1: nowhere."""
    plain = text.replace("\r", "").replace("\n", "")
    found = re.match(r"[A-Za-z0-9+/]*", plain)
    good = len(found[0]) if found else 0
    padding = -good % 4
    if plain[good:] == "=" * padding and padding < 3:
        return -1
    return good if good < len(plain) else good - good % 4


@functools.cache
def _plan(name: str) -> dict[str, tuple[str, bool]]:
    """Field -> its type, or that of its entries, and whether it is a list, of an object type."""
    return {field: (kind.removeprefix("[]"), kind.startswith("[]")) for field, kind in fields_of(name).items()}


def _is_typed(item: Object, name: str, known: Any) -> bool:
    """Whether `_mistyped` would find nothing; it says no in some cases of doubt. Asked for every object that comes or goes."""
    plan = _plan(name)
    old = known if isinstance(known, dict) else {}
    for key, value in item.items():
        if key not in plan or value is None or (known is not None and value is old.get(key)):
            continue
        kind, is_list = plan[key]
        if is_list:
            if not isinstance(value, list):
                return False
            if not all(one is None or _is_one(one, kind, None) for one in value):
                return False
        elif not _is_one(value, kind, old.get(key)):
            return False
    return True


def _is_one(value: Any, kind: str, known: Any) -> bool:
    if kind == "s":
        return isinstance(value, str)
    if kind in TYPES:
        return isinstance(value, dict) and _is_typed(value, kind, known)
    return _fits(value, kind)


def _mistyped(item: Any, name: str, path: str) -> str:
    if not isinstance(item, dict):
        return f"{_json_type(item)} into Go value of type {name}"
    known = fields_of(name)
    for key, value in item.items():
        kind, here = known.get(key), f"{path}.{key}" if path else key
        if kind is None or value is None:
            continue
        inner = kind.removeprefix("[]")
        values = value if inner != kind and isinstance(value, list) else [value]
        if (inner != kind) != isinstance(value, list) and kind != "o":
            return f"{_json_type(value)} into Go struct field {name}.{here} of type {_GO.get(kind, kind)}"
        for one in values:
            if one is not None and not _fits(one, inner):
                return f"{_json_type(one)} into Go struct field {name}.{here} of type {_GO.get(inner, inner)}"
            if inner in TYPES and isinstance(one, dict) and (found := _mistyped(one, inner, here)):
                return found
    return ""


_GO = {"s": "string", "i": "int32", "b": "bool", "m": "map[string]string", "is": "intstr.IntOrString", "[]s": "[]string"}


def _fits(value: Any, kind: str) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    checks = {"s": isinstance(value, str), "i": whole, "b": isinstance(value, bool), "is": whole or isinstance(value, str), "o": True}
    if kind == "m":
        return isinstance(value, dict) and all(one is None or isinstance(one, str) for one in value.values())
    return checks.get(kind, isinstance(value, dict))


def _json_type(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _unknown(item: Any, name: str, path: str) -> list[str]:
    found: list[str] = []
    if not isinstance(item, dict):
        return found
    known = fields_of(name)
    for key, value in item.items():
        here = f"{path}.{key}" if path else key
        kind = known.get(key)
        if kind is None:
            found.append(here)
        elif kind.startswith("[]") and kind[2:] in TYPES and isinstance(value, list):
            for number, one in enumerate(value):
                found += _unknown(one, kind[2:], f"{here}[{number}]")
        elif kind in TYPES:
            found += _unknown(value, kind, here)
    return found


def v3_root() -> Object:
    """What /openapi/v3 says: where the document of each API version is."""
    versions = dict.fromkeys(version for version, _ in served())
    return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={_hash(place)}"} for place in map(_place, versions)}}


def _place(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _hash(place: str) -> str:
    return hashlib.sha512(repr((place, [(name, fields_of(name)) for name in TYPES])).encode()).hexdigest().upper()[:32]


def v3(place: str) -> Object | None:
    """The document at /openapi/v3/PLACE (`api/v1`, `apis/apps/v1`); None where nothing is served."""
    for version in dict.fromkeys(version for version, _ in served()):
        if _place(version) == place:
            schemas = _schemas([version], "#/components/schemas/")
            paths = _paths([version], lambda one: {"schema": {"type": one}})
            return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}}
    return None


_INFO = {"title": "Kubernetes", "version": "unversioned"}


def v2() -> Object:
    """The document at /openapi/v2."""
    versions = list(dict.fromkeys(version for version, _ in served()))
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": _paths(versions, lambda one: {"type": one}),
        "definitions": _schemas(versions, "#/definitions/"),
    }


def _name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}.{kind}"


def _schemas(versions: list[str], base: str) -> Object:
    kinds = {one.kind for one in RESOURCES}
    made = {_type_name(name): _schema(name, base) for name in TYPES if name not in kinds}
    for version, resource in served():
        if version in versions:
            gvk = _gvk(version, resource)
            made[_name(version, resource.kind)] = _schema(resource.kind, base) | {"x-kubernetes-group-version-kind": [gvk]}
    return made


def _type_name(name: str) -> str:
    return f"io.k8s.api.core.v1.{name}"


def _schema(name: str, base: str) -> Object:
    fields = fields_of(name)
    properties = {field: _property(kind, base) | {"description": _said(field, kind)} for field, kind in fields.items()}
    return {"type": "object", "description": f"{name} has the fields {', '.join(fields)}.", "properties": properties}


def _said(field: str, kind: str) -> str:
    return f"The field {field}, a list of entries." if kind.startswith("[]") else f"The field {field}."


def _property(kind: str, base: str) -> Object:
    if kind.startswith("[]"):
        return {"type": "array", "items": _property(kind[2:], base)}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    reference = {"$ref": base + _type_name(kind)}
    return {"allOf": [reference]} if "components" in base else reference


def _gvk(api_version: str, resource: Resource) -> Object:
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": resource.kind}


def _paths(versions: list[str], typed: Any) -> Object:
    made: Object = {}
    for version, resource in served():
        if version not in versions:
            continue
        gvk = _gvk(version, resource)
        one = resource.path("NAME", "NAMESPACE", "", version).replace("NAME", "{name}", 1) if not resource.namespaced else ""
        if resource.namespaced:
            head = resource.path("", "", "", version).rpartition("/")[0]
            one = f"{head}/namespaces/{{namespace}}/{resource.plural}/{{name}}"
        many = one.rpartition("/")[0]
        query = [{"name": name, "in": "query", "description": name} | typed("string") for name in ("dryRun", "fieldManager", "fieldValidation")]
        made[one] = {verb: _operation(action, gvk, query) for verb, action in _ONE.items()}
        made[many] = {verb: _operation(action, gvk, query) for verb, action in {"get": "list", "post": "post"}.items()}
    return made


_ONE = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}


def _operation(action: str, gvk: Object, query: list[Object]) -> Object:
    writes = query if action in ("put", "patch", "post") else []
    return {
        "operationId": f"{action}{gvk['kind']}",
        "parameters": writes,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
