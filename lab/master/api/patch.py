"""The three ways to change an object by a patch: JSON patch (RFC 6902), merge patch (RFC 7396), strategic merge patch. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from lab.errors import UsageError
from lab.master.api.lenient import copied
from lab.master.api.mergekeys import Schema, schema_of

Object = dict[str, Any]

MAX_OPERATIONS = 10_000
"""What the apiserver takes in one JSON patch."""


class PatchError(UsageError):
    """A patch that cannot be understood or does not fit the object; the message is for the Status. Nothing has changed."""


def json_patch(item: Any, operations: Any) -> Any:
    """What a JSON patch makes of an object. Raises PatchError."""
    if not isinstance(operations, list):
        raise PatchError("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    made = copied(item)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchError("json: cannot unmarshal a patch operation that is no object")
        made = _operate(made, operation)
    return made


def _operate(item: Any, operation: Object) -> Any:
    name = operation.get("op")
    path = _pointer(operation, "path")
    if name == "add":
        return _add(item, path, copied(_value(operation)))
    if name == "remove":
        return _remove(item, path)
    if name == "replace":
        _get(item, path)
        if path and isinstance(_get(item, path[:-1]), list):
            _get(item, path[:-1])[_index(path[-1], path, len(_get(item, path[:-1])) - 1)] = copied(_value(operation))
            return item
        return _add(item, path, copied(_value(operation)))
    if name == "test":
        if not _equal(_get(item, path), _value(operation)):
            raise PatchError(f"testing value {operation['path']} failed: test failed")
        return item
    if name in ("move", "copy"):
        source = _pointer(operation, "from")
        if name == "move" and len(path) > len(source) and path[: len(source)] == source:
            raise PatchError(f"cannot move {operation['from']} into itself")
        moved = copied(_get(item, source))
        return _add(_remove(item, source) if name == "move" else item, path, moved)
    raise PatchError(f"Unexpected kind: {name if isinstance(name, str) else json.dumps(name)}")


def _value(operation: Object) -> Any:
    if "value" not in operation:
        raise PatchError(f"{operation['op']} operation needs a value: {operation['path']}")
    return operation["value"]


def _pointer(operation: Object, name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"{operation.get('op')} operation has no usable {name}: {json.dumps(text)}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _missing(path: list[str]) -> PatchError:
    return PatchError(f"the path does not exist: /{'/'.join(path)}: missing value")


def _get(item: Any, path: list[str]) -> Any:
    for depth, step in enumerate(path):
        if isinstance(item, dict):
            if step not in item:
                raise _missing(path[: depth + 1])
            item = item[step]
        elif isinstance(item, list):
            item = item[_index(step, path, len(item) - 1)]
        else:
            raise _missing(path[: depth + 1])
    return item


def _index(step: str, path: list[str], last: int) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", step, re.ASCII) or int(step) > last:
        raise PatchError(f"invalid index referenced: /{'/'.join(path)}: Unable to access invalid index: {step}")
    return int(step)


def _add(item: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(item, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], path, len(parent)), value)
    else:
        raise _missing(path)
    return item


def _remove(item: Any, path: list[str]) -> Any:
    if not path:
        return None
    _get(item, path)
    parent = _get(item, path[:-1])
    if isinstance(parent, dict):
        del parent[path[-1]]
    else:
        del parent[_index(path[-1], path, len(parent) - 1)]
    return item


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_equal(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def merge_patch(item: Any, patch: Any) -> Any:
    """What a merge patch makes of an object: null deletes, objects merge, everything else replaces.

    What the patch does not name is the object's own, not a copy of it: whoever compares the two finds that nothing has changed there.
    """
    if not isinstance(patch, dict):
        return patch
    made = dict(item) if isinstance(item, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value)
    return made


def strategic_merge_patch(item: Object, patch: Any, kind: str) -> Object:
    """What a strategic merge patch makes of an object of a kind: like a merge patch, but lists with a merge key merge too.

    Understood: `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`, `$retainKeys`. Raises PatchError.
    """
    if not isinstance(patch, dict):
        raise PatchError("json: cannot unmarshal the patch: it is no object")
    made: Object = _merge(item, patch, schema_of(kind))
    return made


def _merge(item: Any, patch: Object, schema: Schema) -> Object:
    directive = patch.get("$patch", "merge")
    if directive == "replace":
        replaced: Object = _clean(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive != "merge":
        raise PatchError(f"Unknown patch type found: {json.dumps(directive)}")
    made = copied(item) if isinstance(item, dict) else {}
    if "$retainKeys" in patch:
        _retain(made, patch)
    orders: Object = {}
    for key, value in patch.items():
        if key.startswith("$setElementOrder/"):
            orders[key.partition("/")[2]] = _listed(value, key)
        elif key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            gone = _listed(value, key)
            if isinstance(made.get(field), list):
                made[field] = [one for one in made[field] if not any(_equal(one, other) for other in gone)]
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(made, key, value, schema)
    for field, order in orders.items():
        if isinstance(made.get(field), list):
            made[field] = _ordered(made[field], order, schema.merge_key(field), patch.get(field))
    return made


def _retain(made: Object, patch: Object) -> None:
    kept = _listed(patch["$retainKeys"], "$retainKeys")
    for key in patch:
        if not key.startswith("$") and patch[key] is not None and key not in kept:
            raise PatchError("the patch contains a key that is not in $retainKeys list")
    for key in [key for key in made if key not in kept]:
        del made[key]


def _merge_field(made: Object, key: str, value: Any, schema: Schema) -> None:
    if value is None:
        made.pop(key, None)
    elif isinstance(value, dict):
        if value.get("$patch") == "delete":
            made.pop(key, None)
        else:
            made[key] = _merge(made.get(key), value, schema.child(key))
    elif isinstance(value, list):
        made[key] = _merge_list(made.get(key), value, schema.merge_key(key), schema.child(key), key)
    else:
        made[key] = value


def _merge_list(items: Any, patch: list[Any], merge_key: str | None, schema: Schema, field: str) -> list[Any]:
    plain = [one for one in patch if not (isinstance(one, dict) and one.get("$patch") == "replace")]
    if merge_key is None or len(plain) < len(patch):
        return [_clean(one) for one in plain]
    made: list[Any] = copied(items) if isinstance(items, list) else []
    if merge_key == "":
        return made + [one for number, one in enumerate(patch) if not _among(one, made) and not _among(one, patch[:number])]
    for one in patch:
        if not isinstance(one, dict) or one.get(merge_key) is None:
            raise PatchError(f"map: {json.dumps(one)} does not contain declared merge key: {merge_key}")
        places = [place for place, old in enumerate(made) if isinstance(old, dict) and _equal(old.get(merge_key), one[merge_key])]
        if one.get("$patch") == "delete":
            made = [old for place, old in enumerate(made) if place not in places]
        elif places:
            made[places[0]] = _merge(made[places[0]], one, schema)
        else:
            made.append(_merge({}, one, schema))
    return made


def _among(value: Any, values: list[Any]) -> bool:
    return any(_equal(value, other) for other in values)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items() if not key.startswith("$") and one is not None}
    return [_clean(one) for one in value] if isinstance(value, list) else copied(value)


def _listed(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PatchError(f"{name} must be a list")
    return value


def _ordered(items: list[Any], order: list[Any], merge_key: str | None, patch: Any) -> list[Any]:
    """Entries the order names come in its order; one it does not name (the server added it) keeps the place after its old neighbour."""

    def ident(one: Any) -> Any:
        return one.get(merge_key) if merge_key and isinstance(one, dict) else one

    wanted = [ident(one) for one in order]
    ranks = [next((rank for rank, name in enumerate(wanted) if _equal(name, ident(one))), None) for one in items]
    ranked = sorted((pair for pair in zip(ranks, items, strict=True) if pair[0] is not None), key=lambda pair: pair[0] or 0)
    made = [one for _, one in ranked]
    for place, (rank, one) in enumerate(zip(ranks, items, strict=True)):
        if rank is None:
            before = items[place - 1] if place else None
            made.insert(next((at + 1 for at, other in enumerate(made) if other is before), 0) if place else 0, one)
    return made
