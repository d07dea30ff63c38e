"""The same object in another API version: extensions/v1beta1 next to apps/v1, events.k8s.io/v1 next to v1. Pure."""

from __future__ import annotations

import base64
from typing import Any

from lab.master.api.lenient import copied, obj, text

Object = dict[str, Any]
_EVENT = {"regarding": "involvedObject", "note": "message", "deprecatedCount": "count", "deprecatedSource": "source"} | {
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "reportingController": "reportingComponent",
}


def stored(item: Object, version: str, target: str) -> Object:
    """An object that came in an API version, in the one it is stored in; extensions/v1beta1 has defaults of its own, filled in here.

    A Secret's stringData becomes part of its data. What is the same in both is not copied.
    """
    made = item | {"apiVersion": target}
    if version == "events.k8s.io/v1":
        return {_EVENT.get(key, key): value for key, value in made.items()}
    if made.get("kind") == "Secret" and "stringData" in made:
        plain = {key: base64.b64encode(value.encode()).decode() for key, value in obj(made, "stringData").items() if isinstance(value, str)}
        del made["stringData"]
        return made | {"data": obj(made, "data") | plain}
    if version == "extensions/v1beta1" and isinstance(made.get("spec"), dict):
        spec = made["spec"] = copied(made["spec"])
        labels = obj(spec, "template", "metadata", "labels")
        if spec.get("selector") is None and labels:
            spec["selector"] = {"matchLabels": dict(labels)}
        if text(made, "kind") == "Deployment":
            spec.pop("rollbackTo", None)
            strategy = spec.get("strategy") or {}
            if isinstance(strategy, dict) and strategy.get("type") in (None, "RollingUpdate"):
                rolling = {"maxSurge": 1, "maxUnavailable": 1} | {k: v for k, v in obj(strategy, "rollingUpdate").items() if v is not None}
                spec["strategy"] = strategy | {"type": "RollingUpdate", "rollingUpdate": rolling}
            for field, value in (("revisionHistoryLimit", 2147483647), ("progressDeadlineSeconds", 2147483647)):
                spec[field] = value if spec.get(field) is None else spec[field]
    return made


def served(item: Object, version: str) -> Object:
    """A stored object in an API version that serves it."""
    if item.get("apiVersion") == version:
        return item
    made = item | {"apiVersion": version}
    if version == "events.k8s.io/v1":
        back = {value: key for key, value in _EVENT.items()}
        return {back.get(key, key): value for key, value in made.items()}
    return made
