"""Whether something in etcd is an object as the apiserver would have written it. Pure.

Whoever reaches etcd can write what they like there. kube-apiserver decodes what it reads into its types and fails on what does not fit; here
such a thing is no object: it is left out, and reported. So nobody behind the apiserver, neither controllers nor kubelets, which make folders
of these names, meets what no client could have created.
"""

from __future__ import annotations

import re
from typing import Any

from lab.errors import UsageError
from lab.master.api import names
from lab.master.api.openapi import type_error
from lab.master.resources import by_kind

_UID = re.compile(r"[A-Za-z0-9-]{0,64}\Z")


def trouble(key: str, item: Any) -> str:
    """Why the value at an etcd key is no object; empty when it is one."""
    if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict) or not isinstance(item.get("kind"), str):
        return "no object with a kind and metadata"
    kind, metadata, version = item["kind"], item["metadata"], item.get("apiVersion")
    try:
        resource = by_kind(kind)
    except UsageError:
        return f"of the unknown kind {kind!r}"
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    if not isinstance(name, str) or not isinstance(namespace, str) or not isinstance(version, str) or resource.key(name, namespace) != key:
        return "not what the key says"
    if names.NAME_RULES.get(kind, names.subdomain_faults)(name) or "/" in name or name in (".", ".."):
        return f"named {name!r}, which no {kind} can be"
    if not isinstance(metadata.get("uid", ""), str) or not _UID.match(metadata.get("uid", "")):
        return "with a uid that is none"
    return type_error(item, kind, version)
