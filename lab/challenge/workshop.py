"""The lab in the hands of whoever breaks it, and of the checks: the running cluster with what the seed has given it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lab.challenge.given import Given
from lab.cluster import services
from lab.cluster.readiness import is_ready
from lab.errors import BootError
from lab.fabric.process import Result, must
from lab.model.toapi import PINS

TIMEOUT = 15.0
"""Seconds in which a cluster that is only a little broken must follow a change."""

_PAUSE = 0.01


class Workshop:
    """Whatever the cluster offers (node, pod, api, daemon, units, …) passes through."""

    def __init__(self, cluster: Any, given: Given) -> None:
        self.cluster = cluster
        self.given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)

    def do(self, machine: str, command: str) -> str:
        """Run a command in a machine and return its output; ${names} are replaced. Raises CommandError when it fails."""
        return must(self.cluster.host(machine).run(self.given.fill(command)))

    def settle(self) -> None:
        """Wait until endpoints and every node's rules have followed. Raises BootError."""
        services.settle(self.cluster)

    def freeze(self, machine: str, daemon: str) -> None:
        """Stop a daemon as SIGSTOP does: it is there, and does nothing."""
        os.kill(self.cluster.daemon(machine, daemon).pid, signal.SIGSTOP)

    def set_flags(self, machine: str, daemon: str, flags: str) -> None:
        """Give a daemon more flags, and restart it with them."""
        self.cluster.host(machine).namespace.write_text(f"/run/lab/flags/{daemon}", flags + "\n")
        self.cluster.units.act(machine, daemon, "restart")

    def patch(self, plural: str, name: str, change: dict[str, Any]) -> None:
        """Change an object of the namespace default as `kubectl patch --type merge` does."""
        self.cluster.api.patch(plural, name, "default", change)

    def unpin(self) -> None:
        """Let go of the names and nodes that the application's pods began with: a pod in place of another is to be a new one."""
        no_pins = {"metadata": {"annotations": {PINS: None}}}
        for plural in ("deployments", "replicasets"):
            for item in self.cluster.api.list(plural, "default")["items"]:
                if PINS in item["metadata"].get("annotations", {}):
                    self.patch(plural, item["metadata"]["name"], no_pins)

    def app_pods(self) -> dict[str, Any]:
        """The application's pods by name, as the apiserver has them, without those that are about to go."""
        items = self.cluster.api.list("pods")["items"]
        return {
            item["metadata"]["name"]: item
            for item in items
            if item["metadata"].get("labels", {}).get("app") == self.given.app and "deletionTimestamp" not in item["metadata"]
        }

    def pod_on(self, node: str) -> str:
        """The name of the application's pod on a node. Raises BootError when there is none."""
        for name, item in self.app_pods().items():
            if item["spec"].get("nodeName") == node:
                return name
        raise BootError(f"no pod of {self.given.app} is on {node}")

    def replace_pod(self, name: str, ready: bool = True) -> str:
        """Delete one of the application's pods and wait for the one that takes its place there, by default until it is ready; the new one's name."""
        before = self.app_pods()
        node = before[name]["spec"]["nodeName"]
        known = {item["metadata"]["uid"] for item in before.values()}
        others = [one for one in self.given.workers if one != node]

        def successor() -> str:
            for other, item in self.app_pods().items():
                has_address = bool(item.get("status", {}).get("podIP"))
                if item["metadata"]["uid"] not in known and item["spec"].get("nodeName") == node and has_address and (is_ready(item) or not ready):
                    return other
            return ""

        self._cordon(others, True)
        try:
            self.cluster.api.delete("pods", name, "default")
            return str(self.until(successor, f"a pod in place of {name} on {node}"))
        finally:
            self._cordon(others, None)

    def _cordon(self, nodes: Iterable[str], unschedulable: bool | None) -> None:
        for node in nodes:
            self.cluster.api.patch("nodes", node, "", {"spec": {"unschedulable": unschedulable}})

    def until(self, probe: Callable[[], Any], what: str) -> Any:
        """Call until it returns something true; that. Raises BootError after TIMEOUT seconds."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := probe()):
            if time.monotonic() > deadline:
                raise BootError(f"after {TIMEOUT:g} s there is still not: {what}")
            time.sleep(_PAUSE)
        return found

    def await_node(self, name: str) -> None:
        """Wait until the scheduler may use a node: its kubelet has said that it is ready."""
        self.until(lambda: is_ready(self.cluster.api.find("nodes", name) or {}), f"ready node {name}")

    def await_running(self, count: int) -> None:
        """Wait until the application has so many pods, whose containers all run."""

        def running() -> bool:
            found = [item.get("status", {}) for item in self.app_pods().values()]
            states = [[one.get("state") or {} for one in status.get("containerStatuses") or ()] for status in found]
            return len(found) == count and all(those and all("running" in state for state in those) for those in states)

        self.until(running, f"{count} running pods of {self.given.app}")

    def await_endpoints(self, count: int) -> None:
        """Wait until the application's service has so many ready addresses."""

        def there() -> bool:
            found = self.cluster.api.find("endpoints", self.given.app, "default") or {}
            return sum(len(subset.get("addresses") or ()) for subset in found.get("subsets") or ()) == count

        self.until(there, f"{count} endpoints of {self.given.app}")

    def evidence(self, name: str) -> Iterator[Result]:
        """Nothing: finding out what is wrong is the learner's part."""
        return iter(())
