"""What a cluster is told by its operator: objects go to the apiserver, and this waits until the cluster has made them real."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterable, Iterator, Sequence

from lab.cluster.facade import Cluster
from lab.cluster.readiness import Readiness
from lab.errors import BootError, CommandError, LabError, UsageError
from lab.master.client import ApiError, Object, Unreachable
from lab.master.resources import by_kind
from lab.model import toapi
from lab.model.manifests import Objects
from lab.model.objects import Pod
from lab.model.pins import Pin
from lab.workloads import images

READY_TIMEOUT = 30.0
"""Seconds until the next pod is ready; it takes less than one on an idle machine."""

KUBELET_PORT = 10250

_HOPELESS = frozenset({"ErrImagePull", "ImagePullBackOff", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
"""Why a container waits when waiting longer would change nothing that a learner wants to see at boot."""


class Pods:
    """Applies and deletes objects."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def apply(self, objects: Objects, pins: Sequence[Pin] = ()) -> None:
        """Create what the objects declare, or replace what is there, and wait until every pod of theirs is ready.

        Raises UsageError for what the apiserver refuses, BootError when it or etcd does not answer, or a pod does not become ready.
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
        """Wait until these pods, and so many of these deployments, are ready: for as long as one pod after another gets ready."""
        waiting = Readiness(pods, deployments)
        if waiting.is_complete:
            return
        deadline = time.monotonic() + READY_TIMEOUT
        for what, item in self._changes():
            if waiting.see(what, item):
                deadline = time.monotonic() + READY_TIMEOUT
            if waiting.is_complete:
                return
            _refuse_hopeless(item)
            if time.monotonic() > deadline:
                break
        raise BootError(f"not ready after {READY_TIMEOUT:g} s: {', '.join(waiting.missing())}{_why(waiting.items.values())}")

    def _changes(self) -> Iterator[tuple[str, Object]]:
        """All pods, and then their changes, until nothing has happened for READY_TIMEOUT."""
        client = self.cluster.api
        listed = client.list("pods")
        yield from (("ADDED", item) for item in listed["items"])
        watch = client.watch("pods", listed["metadata"]["resourceVersion"], silence=READY_TIMEOUT)
        with contextlib.closing(watch) as changes, contextlib.suppress(Unreachable):
            yield from ((what, item) for what, item in changes if what != "BOOKMARK")


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


def _refused(error: ApiError, document: Object) -> LabError:
    """The trouble with an object: of whoever wrote it, or of an apiserver or etcd that does not answer."""
    kind = UsageError if 400 <= error.code < 500 else BootError
    return kind(f"{document['kind']} {document['metadata']['name']}: {error}")
