"""meta.k8s.io Tables: what `kubectl get` prints, in today's columns or in those of v1.7. Pure.

kubectl prints the columns' names in upper case and shows those with a priority above 0 only for `-o wide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lab.master.api import ages
from lab.master.api.lenient import obj, text
from lab.master.api.rows import ROWS, Printing, by_name

Object = dict[str, Any]

OLD, TODAY = "1.7", "today"
"""The sets of columns."""

AGE_ANNOTATION = "lab.network/age"
"""Overrides an object's age in tables, so that an old article's tables come out."""

_COLUMNS: dict[str, tuple[str, str]] = {
    "Pod": (
        "Name Ready Status Restarts Age | IP Node",
        "Name Ready Status Restarts Age | IP Node Nominated_Node Readiness_Gates",
    ),
    "Node": (
        "Name Status Age Version | External-IP OS-Image Kernel-Version",
        "Name Status Roles Age Version | Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
    ),
    "Service": (
        "Name Cluster-IP External-IP Port(s) Age | Selector",
        "Name Type Cluster-IP External-IP Port(s) Age | Selector",
    ),
    "Deployment": (
        "Name Desired Current Up-to-date Available Age | Container(s) Image(s) Selector",
        "Name Ready Up-to-date Available Age | Containers Images Selector",
    ),
    "ReplicaSet": (
        "Name Desired Current Ready Age | Container(s) Image(s) Selector",
        "Name Desired Current Ready Age | Containers Images Selector",
    ),
    "Endpoints": ("Name Endpoints Age", "Name Endpoints Age"),
    "EndpointSlice": ("Name AddressType Ports Endpoints Age", "Name AddressType Ports Endpoints Age"),
    "ConfigMap": ("Name Data Age", "Name Data Age"),
    "Namespace": ("Name Status Age", "Name Status Age"),
    "Secret": ("Name Type Data Age", "Name Type Data Age"),
    "ServiceAccount": ("Name Secrets Age", "Name Secrets Age"),
    "Lease": ("Name Holder Age", "Name Holder Age"),
    "Event": (
        "LastSeen FirstSeen Count Name Kind Subobject Type Reason Source Message",
        "Last_Seen Type Reason Object | Subobject Source . Message | First_Seen Count Name",
    ),
}
"""Columns of v1.7 and of today; after `|` those of -o wide, after `.` again ordinary ones; `_` stands for a blank."""

_OTHER = "Name Created_At"
_INTEGERS = {"Desired", "Current", "Up-to-date", "Available", "Data", "Secrets", "Count"}
_SAID = {
    "Name": "Name must be unique within a namespace, and is what the object is called in URLs and commands.",
    "Age": "The time since the object was created.",
    "Ready": "How many of the parts are ready to serve.",
    "Status": "How the object is doing, in one word.",
    "Restarts": "How often containers were restarted, and when that last happened.",
    "Created At": "When the object was created, by the clock of the server.",
}


@dataclass(frozen=True)
class _Column:
    name: str
    wide: bool

    def json(self) -> Object:
        kind = "integer" if self.name in _INTEGERS else "string"
        shape = "name" if self.name == "Name" else ""
        said = _SAID.get(self.name, self.name)
        return {"name": self.name, "type": kind, "format": shape, "description": said, "priority": int(self.wide)}


def _columns(kind: str, columns: str) -> list[_Column]:
    old, today = _COLUMNS.get(kind, (_OTHER, _OTHER))
    found, wide = [], False
    for word in (old if columns == OLD else today).split():
        if word in "|.":
            wide = word == "|"
        else:
            found.append(_Column(word.replace("_", " "), wide))
    return found


def table(
    kind: str,
    objects: Iterable[Object],
    columns: str = TODAY,
    now: float = 0.0,
    include: str = "Metadata",
    api_version: str = "meta.k8s.io/v1",
    metadata: Object | None = None,
    headers: bool = True,
) -> Object:
    """A Table of objects of one kind.

    columns      OLD or TODAY
    now          seconds since 1970, for ages
    include      what each row carries of its object: None, Metadata or Object (the includeObject parameter)
    api_version  meta.k8s.io/v1 or v1beta1
    metadata     of the list: resourceVersion, continue
    headers      False leaves out the column definitions, as in all but the first event of a watch
    """
    shown = _columns(kind, columns)
    rows = [_row(kind, item, shown, columns, now, include, api_version) for item in objects]
    made: Object = {"kind": "Table", "apiVersion": api_version, "metadata": metadata or {}}
    return made | {"columnDefinitions": [column.json() for column in shown] if headers else [], "rows": rows}


def _row(kind: str, item: Object, shown: list[_Column], columns: str, now: float, include: str, api_version: str) -> Object:
    old = columns == OLD
    fixed = text(item, "metadata", "annotations", AGE_ANNOTATION)
    age = fixed or ages.age(text(item, "metadata", "creationTimestamp"), now, old)
    row: Callable[[Object, Printing], list[Any]] = ROWS.get(kind, by_name)
    made: Object = {"cells": row(item, Printing(old, now, age))[: len(shown)]}
    if kind == "Pod" and text(item, "status", "phase") in _ENDED:
        made["conditions"] = [_ENDED[text(item, "status", "phase")]]
    if include == "Object":
        made["object"] = item
    elif include == "Metadata":
        made["object"] = partial(item, api_version)
    return made


_ENDED = {
    "Succeeded": {"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."},
    "Failed": {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."},
}


def partial(item: Object, api_version: str = "meta.k8s.io/v1") -> Object:
    """PartialObjectMetadata: an object reduced to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj(item, "metadata")}


def partial_list(items: Iterable[Object], metadata: Object | None = None, api_version: str = "meta.k8s.io/v1") -> Object:
    """PartialObjectMetadataList: what clients get that ask for metadata only."""
    head: Object = {"kind": "PartialObjectMetadataList", "apiVersion": api_version, "metadata": metadata or {}}
    return head | {"items": [partial(item, api_version) for item in items]}
