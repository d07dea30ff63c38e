"""What a cluster is told by its operator: objects go to the apiserver, and this waits until the cluster has made them real."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lab.cluster.facade import Cluster
from lab.errors import BootError, CommandError, UsageError
from lab.master.client import ApiError, Object, Unreachable
from lab.master.resources import by_kind
from lab.model import toapi
from lab.model.manifests import Objects
from lab.model.objects import Pod
from lab.model.pins import Pin
from lab.workloads import images

READY_TIMEOUT = 30.0
"""Seconds until all pods are ready; it takes less than one on an idle machine."""

KUBELET_PORT = 10250

_HOPELESS = frozenset({"ErrImagePull", "ImagePullBackOff", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
"""Why a container waits when waiting longer would change nothing that a learner wants to see at boot."""


class Pods:
    """Applies and deletes objects."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def apply(self, objects: Objects, pins: Sequence[Pin] = ()) -> None:
        """Create what the objects declare, or replace what is there, and wait until every pod of theirs is ready.

        Raises UsageError for what the apiserver refuses, BootError when a pod does not become ready.
        """
        for pod in objects.pods:
            images.require_known(f"pod {pod.name}", pod.containers)
        for deployment in objects.deployments:
            images.require_known(f"deployment {deployment.name}", deployment.containers)
        for document in toapi.documents(objects, pins):
            self._put(document)
        self._await([(pod.namespace, pod.name) for pod in objects.pods], {(one.namespace, one.name): one.replicas for one in objects.deployments})

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object, a pod without a grace period, and wait until it is gone. Raises UsageError when there is none."""
        client, plural = self.cluster.api, by_kind(kind).plural
        found = client.find(plural, name, namespace)
        if found is None:
            raise UsageError(f"there is no {kind} {name} in the namespace {namespace}")
        client.delete(plural, name, namespace, grace=0 if kind == "Pod" else None)
        deadline = time.monotonic() + READY_TIMEOUT
        while (left := client.find(plural, name, namespace)) and left["metadata"]["uid"] == found["metadata"]["uid"]:
            if time.monotonic() > deadline:
                raise BootError(f"the {kind} {name} is still there after {READY_TIMEOUT:g} s")
            time.sleep(0.005)

    def logs(self, item: Pod, container: str) -> str:
        """What a container of a pod has written, from its node's kubelet. Raises CommandError when that does not answer."""
        node = self.cluster.topology.node(item.node_name)
        connection = http.client.HTTPConnection(str(node.address.ip), KUBELET_PORT, timeout=10.0)
        path = f"/containerLogs/{item.namespace}/{item.name}/{container}"
        try:
            with self.cluster.node(node.name).namespace.entered():
                connection.connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{node.name}: the kubelet does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise CommandError(f"{node.name}: no log of {item.name}: {text.strip()}")
        return text

    def _put(self, document: Object) -> None:
        metadata = document["metadata"]
        resource = by_kind(document["kind"])
        path = resource.path("", metadata.get("namespace", ""), api_version=document["apiVersion"])
        try:
            self.cluster.api.request("POST", path, document)
        except ApiError as error:
            if error.reason != "AlreadyExists" or document["kind"] in ("Pod", "Namespace"):
                if error.reason == "AlreadyExists" and document["kind"] == "Namespace":
                    return
                raise _refused(error, document) from error
            self._replace(f"{path}/{metadata['name']}", document)

    def _replace(self, path: str, document: Object) -> None:
        """Change an object that is there into this one; what the apiserver chose, such as the cluster IP, stays unless it says otherwise."""
        patch = {field: value for field, value in document.items() if field != "status"}
        try:
            self.cluster.api.request("PATCH", path, patch, content_type="application/merge-patch+json")
        except ApiError as error:
            raise _refused(error, document) from error

    def _await(self, pods: Sequence[tuple[str, str]], deployments: dict[tuple[str, str], int]) -> None:
        """Wait until these pods, and so many of these deployments, are ready."""
        deadline = time.monotonic() + READY_TIMEOUT
        known: dict[str, Object] = {}
        for known in self._watched(deadline):
            missing = list(_missing(list(known.values()), pods, deployments))
            if not missing:
                return
            for item in known.values():
                _refuse_hopeless(item)
        absent = ", ".join(_missing(list(known.values()), pods, deployments))
        raise BootError(f"not ready after {READY_TIMEOUT:g} s: {absent}{_why(known.values())}")

    def _watched(self, deadline: float) -> Iterator[dict[str, Object]]:
        """All pods by their uid, again after each change, until the deadline."""
        client = self.cluster.api
        listed = client.list("pods")
        known = {item["metadata"]["uid"]: item for item in listed["items"]}
        yield known
        changes = client.watch("pods", listed["metadata"]["resourceVersion"], silence=max(0.1, deadline - time.monotonic()))
        try:
            for what, item in changes:
                if what == "DELETED":
                    known.pop(item["metadata"]["uid"], None)
                elif what != "BOOKMARK":
                    known[item["metadata"]["uid"]] = item
                yield known
                if time.monotonic() > deadline:
                    return
        except Unreachable:
            return
        finally:
            changes.close()


def _refuse_hopeless(item: Object) -> None:
    found = item.get("status", {})
    for status in (*(found.get("initContainerStatuses") or ()), *(found.get("containerStatuses") or ())):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            name = item["metadata"]["name"]
            raise BootError(f"pod {name}: container {status['name']}: {waiting['reason']}: {waiting.get('message', '')}")


def _why(items: Iterable[Object]) -> str:
    """What the scheduler says of the pods that have no node, a line each. While a cluster boots that may still change."""
    lines = []
    for item in items:
        for condition in item.get("status", {}).get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
                lines.append(f"\n    pod {item['metadata']['name']} cannot be scheduled: {condition.get('message', '')}")
    return "".join(lines)


def is_ready(item: Object) -> bool:
    """Whether a pod, or a node, is ready and not about to go."""
    conditions: list[dict[str, Any]] = item.get("status", {}).get("conditions") or []
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and "deletionTimestamp" not in item["metadata"]


def _missing(items: Sequence[Object], pods: Sequence[tuple[str, str]], deployments: dict[tuple[str, str], int]) -> Iterator[str]:
    ready = [item for item in items if is_ready(item)]
    done = [item for item in items if item.get("status", {}).get("phase") == "Succeeded"]
    names = {(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in (*ready, *done)}
    for place in pods:
        if place not in names:
            yield f"pod {place[1]}"
    for (namespace, name), wanted in deployments.items():
        count = sum(_belongs(item, namespace, name) for item in ready)
        if count < wanted:
            yield f"deployment {name} ({count} of {wanted})"


def _belongs(item: Object, namespace: str, deployment: str) -> bool:
    """Whether a ReplicaSet of the deployment made the pod: those are called DEPLOYMENT-HASH."""
    owners = [one["name"] for one in item["metadata"].get("ownerReferences") or () if one.get("controller")]
    return item["metadata"].get("namespace") == namespace and any(one.rpartition("-")[0] == deployment for one in owners)


def _refused(error: ApiError, document: Object) -> UsageError:
    return UsageError(f"{document['kind']} {document['metadata']['name']}: {error}")
