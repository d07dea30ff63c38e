"""The annotations by which a service of v1.7 may say what has fields of its own since then. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from lab.model import fromapi
from lab.model.objects import Service

EXTERNAL_TRAFFIC = "service.beta.kubernetes.io/external-traffic"
HEALTH_CHECK = "service.beta.kubernetes.io/healthcheck-nodeport"
POLICIES: dict[str, Literal["Cluster", "Local"]] = {"OnlyLocal": "Local", "Global": "Cluster"}


def service_of(item: dict[str, Any], log: Callable[[str], None]) -> Service:
    """A Service object as v1.7's kube-proxy reads it: an annotation comes before the field; one that makes no sense is said and passed over.

    log   takes an error for people. Raises KeyError, TypeError, ValueError and AttributeError for an object that makes no sense, as fromapi.
    """
    service = fromapi.service_of(item)
    noted = item["metadata"].get("annotations") or {}
    if service.type not in ("NodePort", "LoadBalancer"):
        return service
    policy = noted.get(EXTERNAL_TRAFFIC)
    if policy in POLICIES:
        service = replace(service, external_traffic_policy=POLICIES[policy])
    elif policy is not None:
        log(f"Invalid value for annotation {EXTERNAL_TRAFFIC}: {policy}")
    port = noted.get(HEALTH_CHECK)
    if port is not None and (not port.isdecimal() or not 0 < int(port) <= 65535):
        log(f"Failed to parse annotation {HEALTH_CHECK}: {port}")
    elif port is not None:
        service = replace(service, health_check_node_port=int(port))
    return service
