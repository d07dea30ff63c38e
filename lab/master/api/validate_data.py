"""What is wrong with a ConfigMap or a Secret, in the apiserver's words. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any

from lab.master.api import names
from lab.master.api.accounts import ACCOUNT_NAME, TOKEN_SECRET
from lab.master.api.lenient import at, obj
from lab.master.api.status import Fault

Object = dict[str, Any]

MOST_BYTES = 1 << 20
"""Of all values of a Secret or a ConfigMap."""

_REQUIRED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
"""Type of a Secret -> the keys that it must have."""


def configmap(item: Object, old: Object | None) -> list[Fault]:
    """All that is wrong with a ConfigMap; old: what it replaces."""
    keys = [*obj(item, "data"), *obj(item, "binaryData")]
    found = [_invalid(f"data[{key}]", key, says) for key in keys for says in names.config_key_faults(key)]
    size = sum(len(str(value)) for value in obj(item, "data").values()) + sum(map(_size, obj(item, "binaryData").values()))
    return [*found, *_too_long(size, ""), *_changed(item, old, ("data", "binaryData"))]


def secret(item: Object, old: Object | None) -> list[Fault]:
    """All that is wrong with a Secret; old: what it replaces."""
    data, kind = obj(item, "data"), item.get("type")
    found = [_invalid(f"data[{key}]", key, says) for key in data for says in names.config_key_faults(key)]
    found += _too_long(sum(map(_size, data.values())), "data")
    if kind == TOKEN_SECRET and not obj(item, "metadata", "annotations").get(ACCOUNT_NAME):
        found.append(_required(f"metadata.annotations[{ACCOUNT_NAME}]"))
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        found += [_required("data[username]"), _required("data[password]")]
    for key in _REQUIRED.get(str(kind), ()):
        if key not in data:
            found.append(_required(f"data[{key}]"))
        elif key.startswith(".docker"):
            found += _json(key, data[key])
    if old and at(old, "type") != kind:
        found.append(_invalid("type", kind, "field is immutable"))
    return found + _changed(item, old, ("data",))


def _json(key: str, value: Any) -> list[Fault]:
    try:
        json.loads(base64.b64decode(value))
    except ValueError as error:
        return [_invalid(f"data[{key}]", "<secret contents redacted>", str(error))]
    return []


def _changed(item: Object, old: Object | None, fields: tuple[str, ...]) -> list[Fault]:
    if not old or old.get("immutable") is not True:
        return []
    why = "field is immutable when `immutable` is set"
    changed = ["immutable"] if item.get("immutable") is not True else []
    changed += [field for field in fields if (item.get(field) or {}) != (old.get(field) or {})]
    return [Fault(field, "FieldValueForbidden", why) for field in changed]


def _too_long(size: int, field: str) -> list[Fault]:
    return [Fault(field, "FieldValueTooLong", f"may not be more than {MOST_BYTES} bytes")] if size > MOST_BYTES else []


def _size(value: Any) -> int:
    return len(value) * 3 // 4 if isinstance(value, str) else 0


def _required(field: str) -> Fault:
    return Fault(field, "FieldValueRequired", "", "")


def _invalid(field: str, value: Any, detail: str) -> Fault:
    return Fault(field, "FieldValueInvalid", detail, value)
