"""What several controllers ask of Kubernetes JSON: owners, labels, conditions, times. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from lab.master.client import Object

if TYPE_CHECKING:  # the world asks this module about the pods that it sorts
    from lab.master.controllers.world import World

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so no words; nothing that looks like another."""

_LONGEST_BASE = 58
"""Letters of a name before the five generated ones."""


def stamp(now: float) -> str:
    """A time as objects have it: 2017-08-05T12:00:00Z."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str | None) -> float:
    """An object's time as seconds since 1970; 0 for none, or nonsense."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def generated(base: str, dice: random.Random) -> str:
    """A name made of a base, such as `web-`, and five letters."""
    return base[:_LONGEST_BASE] + "".join(dice.choice(ALPHABET) for _ in range(5))


def labels_of(item: Object) -> dict[str, str]:
    """The object's labels."""
    return _texts(item, "labels")


def annotations_of(item: Object) -> dict[str, str]:
    """The object's annotations."""
    return _texts(item, "annotations")


def _texts(item: Object, name: str) -> dict[str, str]:
    found = item["metadata"].get(name)
    return found if isinstance(found, dict) else {}


def controller_of(item: Object) -> Object | None:
    """The owner reference of the controller that manages the object."""
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            found: Object = owner
            return found
    return None


def owner_reference(owner: Object) -> Object:
    """What a controller writes into the objects it makes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned(item: Object, owner: Object) -> bool:
    """Whether `owner` is the object's controller."""
    reference = controller_of(item)
    return reference is not None and reference.get("uid") == owner["metadata"].get("uid")


def going(item: Object) -> bool:
    """Whether the object is being deleted."""
    return bool(item["metadata"].get("deletionTimestamp"))


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector with matchLabels and matchExpressions chooses these labels; an empty one chooses nothing."""
    chosen = selector or {}
    pairs, expressions = chosen.get("matchLabels") or {}, chosen.get("matchExpressions") or ()
    if not pairs and not expressions:
        return False
    return all(labels.get(key) == value for key, value in pairs.items()) and all(holds(one, labels) for one in expressions)


def holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil one expression with In, NotIn, Exists, DoesNotExist, Gt or Lt; an unknown operator chooses nothing."""
    key, values = expression.get("key", ""), expression.get("values") or ()
    there = labels.get(key)
    judged = {
        "In": there is not None and there in values,
        "NotIn": there is None or there not in values,
        "Exists": there is not None,
        "DoesNotExist": there is None,
    }
    operator = str(expression.get("operator"))
    if operator in ("Gt", "Lt"):
        try:
            have, limit = int(there or ""), int(next(iter(values), ""))
        except ValueError:
            return False
        return have > limit if operator == "Gt" else have < limit
    return judged.get(operator, False)


def condition(item: Object, kind: str) -> Object | None:
    """The status condition of this type."""
    return next((one for one in (item.get("status") or {}).get("conditions") or () if one.get("type") == kind), None)


def is_true(item: Object, kind: str) -> bool:
    """Whether the status condition of this type says True."""
    return (condition(item, kind) or {}).get("status") == "True"


def with_condition(item: Object, new: Object, now: float, touch: str = "") -> list[Object]:
    """The status conditions with one of them set; its lastTransitionTime moves only when its status does.

    touch   name of a further time to set, such as lastUpdateTime
    """
    old = condition(item, new["type"])
    since = old.get("lastTransitionTime") if old and old.get("status") == new["status"] else None
    complete = {**new, "lastTransitionTime": since or stamp(now)} | ({touch: stamp(now)} if touch else {})
    conditions = list((item.get("status") or {}).get("conditions") or ())
    if old is None:
        return [*conditions, complete]
    return [complete if one is old else one for one in conditions]


def has_ended(pod: Object) -> bool:
    """Whether a pod has done its work, or failed at it: it takes no place on its node."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether a pod counts as a replica: it has not ended and is not being deleted."""
    return not has_ended(pod) and not going(pod)


def available_in(pod: Object, min_ready: int, now: float) -> float | None:
    """Seconds until the pod has been ready for `min_ready` seconds; 0 when it has, None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    return max(0.0, seconds(ready.get("lastTransitionTime")) + min_ready - now) if min_ready else 0.0


def pods_of(owner: Object, world: World) -> list[Object]:
    """The pods whose controller is `owner`."""
    return world.pods.of(owner["metadata"].get("uid", ""), owner["metadata"].get("namespace", ""))


def changed(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str] = ()) -> Object:
    """The merge patch from one mapping to another: what is new or different, and None for what of `names` is no longer there."""
    patch = {name: value for name, value in new.items() if old.get(name) != value}
    return patch | {name: None for name in names if name in old and name not in new}


def canonical(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, nulls left out."""
    return json.dumps(_without_nulls(value), sort_keys=True, separators=(",", ":"))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
