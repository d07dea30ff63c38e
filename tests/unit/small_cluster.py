"""A cluster without processes: the controllers' world, to which their actions are applied as an apiserver would, and a kubelet of sorts."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

from lab.master.controllers import deployment, replicaset
from lab.master.controllers.actions import Again, Bind, Create, Delete, Finalize, Patch, Tell
from lab.master.controllers.objects import is_active, is_true, stamp, with_condition
from lab.master.controllers.world import Controller, World
from lab.master.informer import Key, key_of
from lab.master.resources import by_kind

Object = dict[str, Any]
ROLLING = (deployment.CONTROLLER, replicaset.CONTROLLER)
START = 1_500_000_000.0


class SmallCluster:
    def __init__(self, controllers: Sequence[Controller] = ROLLING, seed: int = 0) -> None:
        self.controllers = list(controllers)
        self.dice = random.Random(seed)
        self.world = World(now=START, dice=self.dice)
        self.version = 0
        self.wanted: dict[tuple[int, Key], None] = {}
        self.told: list[str] = []
        self.again: list[float] = []
        self.watch: Callable[[], None] = lambda: None

    def put(self, item: Object) -> Object:
        """Write an object: a new one gets a uid, a changed one a version, and a changed spec a generation."""
        self.version += 1
        plural = by_kind(item["kind"]).plural
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        before = self.world.get(plural, metadata["name"], metadata.get("namespace", ""))
        metadata["resourceVersion"] = str(self.version)
        metadata.setdefault("uid", f"uid-{self.version}")
        metadata.setdefault("creationTimestamp", stamp(self.world.now))
        if before is None or before.get("spec") != item.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        assert self.world.put(plural, item)
        for state in filter(None, (before, item)):
            self._wake(plural, state)
        return item

    def change(self, plural: str, name: str, patch: Object, namespace: str = "default") -> Object:
        found = self.world.get(plural, name, namespace)
        assert found is not None
        return self.put(merged(found, patch))

    def delete(self, plural: str, name: str, namespace: str = "default") -> None:
        found = self.world.get(plural, name, namespace)
        assert found is not None
        self.world.remove(plural, found)
        self._wake(plural, found)

    def _wake(self, plural: str, item: Object) -> None:
        for number, controller in enumerate(self.controllers):
            if plural in controller.watches:
                for key in controller.watches[plural](self.world, item):
                    self.wanted.setdefault((number, key))

    def step(self) -> bool:
        """Reconcile one object, by chance; False when there is nothing to do."""
        if not self.wanted:
            return False
        number, key = self.dice.choice(list(self.wanted))
        del self.wanted[number, key]
        for action in self.controllers[number].reconcile(key, self.world):
            self.perform(action)
            self.watch()
        return True

    def settle(self, limit: int = 2000) -> None:
        """Until nobody wants anything: a controller that never is content fails here."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError(f"not settled after {limit} steps: {list(self.wanted)}")

    def perform(self, action: object) -> None:
        if isinstance(action, Create):
            metadata = action.item["metadata"]
            assert self.world.get(by_kind(action.item["kind"]).plural, metadata["name"], metadata.get("namespace", "")) is None
            self.put(action.item)
        elif isinstance(action, Patch):
            found = self.change(action.plural, action.name, action.patch, action.namespace)
            if found["metadata"].get("deletionTimestamp") and not found["metadata"].get("finalizers") and action.plural != "pods":
                self.delete(action.plural, action.name, action.namespace)
        elif isinstance(action, Delete):
            if action.policy == "Foreground":
                mark = {"metadata": {"deletionTimestamp": stamp(self.world.now), "finalizers": ["foregroundDeletion"]}}
                self.change(action.plural, action.name, mark, action.namespace)
            elif not any(self.world.has(uid) for _, _, _, uid in action.owners):
                self.delete(action.plural, action.name, action.namespace)
        elif isinstance(action, Bind):
            self.change("pods", action.name, {"spec": {"nodeName": action.node}}, action.namespace)
        elif isinstance(action, Finalize):
            self.delete("namespaces", action.name, "")
        elif isinstance(action, Tell):
            self.told.append(f"{action.reason}: {action.message}")
        elif isinstance(action, Again):
            self.again.append(action.seconds)

    def pods(self) -> list[Object]:
        return [pod for pod in self.world.all("pods") if is_active(pod)]

    def available(self) -> int:
        return sum(is_true(pod, "Ready") for pod in self.pods())

    def make_ready(self, pod: Object, ready: bool = True) -> None:
        """What a kubelet says of a pod."""
        status = {"phase": "Running", "podIP": pod.get("status", {}).get("podIP") or f"10.244.0.{self.version % 250 + 1}"}
        conditions = with_condition(pod, {"type": "Ready", "status": "True" if ready else "False"}, self.world.now)
        self.change("pods", pod["metadata"]["name"], {"status": status | {"conditions": conditions}}, key_of(pod)[0])

    def live(self, limit: int = 3000) -> None:
        """Controllers and kubelets, in an order of chance, until all pods are ready and nobody wants anything."""
        for _ in range(limit):
            idle = [pod for pod in self.pods() if not is_true(pod, "Ready")]
            if idle and (not self.wanted or self.dice.random() < 0.3):
                self.make_ready(self.dice.choice(idle))
                self.watch()
            elif not self.step():
                return
        raise AssertionError(f"not settled after {limit} steps: {list(self.wanted)}")


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value)
    return new


def a_deployment(name: str = "web", replicas: int = 3, image: str = "nginx:1.8", annotations: Object | None = None, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    metadata = {"name": name, "namespace": "default"} | ({"annotations": annotations} if annotations else {})
    selector = {"matchLabels": {"app": name}}
    body = {"replicas": replicas, "selector": selector, "template": template, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body | spec}


def a_pod(name: str, labels: Object | None = None, node: str = "", ip: str = "", ready: bool = True, **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "conditions": conditions} | ({"podIP": ip} if ip else {})
    body = {"containers": [{"name": "c", "image": "nginx"}]} | ({"nodeName": node} if node else {}) | spec
    metadata = {"name": name, "namespace": "default", "labels": labels or {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": status}


def a_service(name: str = "web", port: Object | None = None, **spec: Any) -> Object:
    body = {"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ports": [port or {"port": 80, "targetPort": 80, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": body | spec}


def a_node(name: str, ready: str = "True", beat: str = "t0", **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat, "reason": "KubeletReady"}]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}
