"""Server-side apply: each manager says the fields it wants, the server remembers who said which (managedFields). Pure."""

from __future__ import annotations

import json
from typing import Any

from lab.errors import LabError
from lab.master.api.lenient import copied, obj
from lab.master.api.mergekeys import Schema, schema_of

Object = dict[str, Any]
_Path = tuple[str, ...]
_UNOWNED = (
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {("f:metadata", f"f:{name}") for name in ("name", "namespace", "uid")}
    | {("f:metadata", f"f:{name}") for name in ("resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")}
)


class ApplyConflict(LabError):
    """Fields that another manager owns would change. causes: (`.spec.replicas`, `conflict with "kubectl"`)."""

    def __init__(self, causes: list[tuple[str, str]]) -> None:
        self.causes = causes
        super().__init__(f"Apply failed with {len(causes)} conflict(s)")


def apply(live: Object | None, applied: Object, manager: str, force: bool, now: str) -> Object:
    """The object that a manager's configuration makes of the live one (None: there is none yet). Raises ApplyConflict unless forced.

    Fields that this manager applied earlier and now leaves out are removed where nobody else owns them.
    """
    base: Object = live or {}
    schema = schema_of(str(applied.get("kind", "")))
    wanted = {path: value for path, value in _leaves(applied, schema, ()).items() if path not in _UNOWNED and path[:2] not in _UNOWNED}
    entries = [one for one in _entries(base) if isinstance(one.get("manager"), str)]
    others = [one for one in entries if not _is_mine(one, manager)]
    current = _leaves(base, schema, ())
    taken = [(one, path) for one in others for path in _owned(one) & wanted.keys() if current.get(path, _GONE) != wanted[path]]
    if taken and not force:
        raise ApplyConflict(sorted({(_shown(path), f"conflict with {_named(one)}") for one, path in taken}))
    mine = {path for one in entries if _is_mine(one, manager) for path in _owned(one)}
    kept = {path for one in others for path in _owned(one)}
    made = copied({key: value for key, value in base.items()})
    made = _merge(made, applied, schema)
    for path in sorted(mine - wanted.keys() - kept, key=lambda one: (one[-1] != ".", -len(one))):
        if path[-1] != "." or not any(other[: len(path) - 1] == path[:-1] for other in kept):
            _drop(made, path)
    lost: dict[int, set[_Path]] = {}
    for one, path in taken:
        lost.setdefault(id(one), set()).add(path)
    rest = [one | {"fieldsV1": _tree(_owned(one) - lost[id(one)])} if id(one) in lost else one for one in others]
    entry = {"manager": manager, "operation": "Apply", "apiVersion": applied.get("apiVersion"), "time": now, "fieldsType": "FieldsV1"}
    made["metadata"] = {**obj(made, "metadata"), "managedFields": [*rest, entry | {"fieldsV1": _tree(set(wanted))}]}
    return made


def recorded(before: Object | None, after: Object, manager: str, now: str, subresource: str = "") -> Object:
    """What an update made of an object, with the fields that it set or changed noted as the manager's. Those that others had, they lose.

    before: the object as it was, None for a new one. An update never conflicts; only what it changed becomes the manager's.
    """
    schema = schema_of(str(after.get("kind", "")))
    old, new = (_ownable(one, schema) if one else {} for one in (before, after))
    changed = {path for path, value in new.items() if old.get(path, _GONE) != value}
    if not changed and len(old) == len(new):
        return after
    rest, mine = [], set(changed)
    for entry in [one for one in _entries(after) if isinstance(one.get("manager"), str)]:
        owned = {path for path in _owned(entry) if path in new or path[-1] == "." and any(one[: len(path)] == path for one in new)}
        if (entry["manager"], entry.get("operation"), entry.get("subresource", "")) == (manager, "Update", subresource):
            mine |= owned
        elif left := owned - changed:
            rest.append(entry | {"fieldsV1": _tree(left)} if left != _owned(entry) else entry)
    made = {"manager": manager, "operation": "Update", "apiVersion": after.get("apiVersion"), "time": now, "fieldsType": "FieldsV1"}
    made |= {"fieldsV1": _tree(mine)} | ({"subresource": subresource} if subresource else {})
    return after | {"metadata": {**obj(after, "metadata"), "managedFields": [*rest, made] if mine else rest}}


def _ownable(item: Object, schema: Schema) -> dict[_Path, Any]:
    plain = {key: value for key, value in item.items() if key != "status"}
    return {path: value for path, value in _leaves(plain, schema, ()).items() if path not in _UNOWNED and path[:2] not in _UNOWNED}


def _named(entry: Object) -> str:
    """A manager as conflicts name it."""
    named = json.dumps(entry["manager"])
    if entry.get("subresource"):
        named += f" with subresource {json.dumps(entry['subresource'])}"
    return f"{named} using {entry.get('apiVersion')}" if entry.get("operation") == "Update" else named


_GONE = object()


def _entries(item: Object) -> list[Object]:
    metadata = item.get("metadata")
    found = metadata.get("managedFields") if isinstance(metadata, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is_mine(entry: Object, manager: str) -> bool:
    return entry["manager"] == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _key_of(one: Any, key: str) -> str:
    return "k:" + json.dumps({key: one.get(key)}, separators=(",", ":"), sort_keys=True)


def _keyed(value: Any, key: str | None) -> bool:
    return bool(key) and isinstance(value, list) and all(isinstance(one, dict) and key in one for one in value)


def _leaves(item: Any, schema: Schema, path: _Path) -> dict[_Path, Any]:
    found: dict[_Path, Any] = {}
    for name, value in item.items():
        here, key = (*path, f"f:{name}"), schema.merge_key(name)
        if isinstance(value, dict) and value:
            found |= _leaves(value, schema.child(name), here)
        elif key and value and _keyed(value, key):
            for one in value:
                place = (*here, _key_of(one, key))
                owned_entry = (*place, ".")
                found[owned_entry] = True
                found |= _leaves(one, schema.child(name), place)
        else:
            found[here] = value
    return found


def _merge(made: Object, applied: Object, schema: Schema) -> Object:
    for name, value in applied.items():
        key, old = schema.merge_key(name), made.get(name)
        if isinstance(value, dict):
            made[name] = _merge(old if isinstance(old, dict) else {}, value, schema.child(name))
        elif key and _keyed(value, key) and _keyed(old, key):
            places = {_key_of(one, key): number for number, one in enumerate(old or [])}
            entries = list(old or [])
            for one in value:
                number = places.get(_key_of(one, key))
                if number is None:
                    entries.append(copied(one))
                else:
                    entries[number] = _merge(entries[number], one, schema.child(name))
            made[name] = entries
        else:
            made[name] = copied(value)
    return made


def _owned(entry: Object) -> set[_Path]:
    found: set[_Path] = set()

    def walk(tree: Any, path: _Path) -> None:
        if not isinstance(tree, dict) or not tree:
            if path:
                found.add(path)
            return
        for step, below in tree.items():
            walk(below, (*path, step))

    walk(entry.get("fieldsV1"), ())
    return found


def _tree(paths: set[_Path]) -> Object:
    made: Object = {}
    for path in sorted(paths):
        place = made
        for step in path:
            place = place.setdefault(step, {})
    return made


def _drop(item: Any, path: _Path) -> None:
    entry = path[-1] == "."
    path = path[:-1] if entry else path
    for step in path[:-1]:
        item = _step(item, step)
    gone = _step(item, path[-1]) if path else None
    if isinstance(item, list):
        item[:] = [one for one in item if one is not gone]
    elif isinstance(item, dict) and not entry:
        item.pop(path[-1][2:], None)


def _step(item: Any, step: str) -> Any:
    if step.startswith("f:"):
        return item.get(step[2:]) if isinstance(item, dict) else None
    if step.startswith("k:") and isinstance(item, list):
        wanted = _pairs(step)
        return next((one for one in item if isinstance(one, dict) and wanted.items() <= one.items()), None)
    return None


def _shown(path: _Path) -> str:
    text = ""
    for step in path:
        if step.startswith("k:"):
            pairs = _pairs(step)
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in pairs.items()) + "]"
        elif step != ".":
            text += f".{step[2:]}"
    return text


def _pairs(step: str) -> Object:
    try:
        found = json.loads(step[2:])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
