"""The master's processes in a throw-away network: etcd, apiserver, controllers, scheduler; and nodes that only say that they are there."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from lab.master.client import ApiClient, ApiError
from lab.master.controllers.objects import going, is_true, stamp, with_condition
from tests.e2e.flannel_sandbox import ETCD, MASTER, Process, Sandbox
from tests.waiting import until

Object = dict[str, Any]
SERVER = f"http://{MASTER}:8080"


class Master:
    """The three daemons beside the sandbox's etcd. `client` speaks to the apiserver from outside, by its unix socket."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.socket = sandbox.directory / "api.sock"
        self.client = ApiClient(f"unix:{self.socket}")
        self.daemons: dict[str, Process] = {}

    def start(self, *flags: str) -> Master:
        """All three; `flags` go to the controllers. Returns itself when they work."""
        self.start_apiserver()
        self.start_daemon("controllers", "--cluster-cidr", "10.244.0.0/16", "--allocate-node-cidrs", *flags)
        self.start_daemon("scheduler")
        for name in ("controllers", "scheduler"):
            until(lambda name=name: self.daemons[name].said("have been listed"), f"the start of the {name}")
        return self

    def start_apiserver(self, *more: str) -> None:
        flags = ["--etcd-servers", ETCD, "--insecure-bind-address", "0.0.0.0", "--advertise-address", MASTER, "--unix-socket", str(self.socket)]
        flags += more
        self.socket.unlink(missing_ok=True)
        self.daemons["apiserver"] = self._launch("apiserver", flags)
        until(self._answers, "the apiserver's start")

    def start_daemon(self, name: str, *flags: str) -> Process:
        self.daemons[name] = self._launch(name, ["--master", SERVER, *flags])
        return self.daemons[name]

    def kill(self, name: str) -> None:
        self.daemons[name].signal(signal.SIGKILL)
        self.daemons[name].wait()

    def kubectl(self, *words: str, given: str = "", check: bool = True) -> str:
        """What kubectl says; `given` is a manifest for -f FILE."""
        argv = ["kubectl", "--server", SERVER, f"--cache-dir={self.sandbox.directory}/kube", *words]
        if given:
            file = self.sandbox.directory / "manifest.json"
            file.write_text(given)
            argv += ["-f", str(file)]
        return self.sandbox.run(argv, check=check)

    def ready_ips(self, service: str) -> list[str]:
        found = self.client.find("endpoints", service, "default") or {}
        return [one["ip"] for subset in found.get("subsets") or [] for one in subset.get("addresses") or []]

    def _launch(self, name: str, flags: Sequence[str]) -> Process:
        module = {"apiserver": "lab.master.apiserver", "controllers": "lab.master.controllers", "scheduler": "lab.master.scheduler"}[name]
        return self.sandbox.start([sys.executable, "-m", module, *flags], f"{name}-{len(list(self.sandbox.directory.glob(f'{name}-*')))}")

    def _answers(self) -> bool:
        try:
            return self.client.find("namespaces", "default") is not None
        except ApiError:  # not there, or without etcd yet
            return False


class Kubelets:
    """Nodes whose pods become ready at once and end at once. `silent` are those that say nothing. A context manager."""

    def __init__(self, master: Master, *names: str) -> None:
        self.client, self.names, self.silent = master.client, names, set[str]()
        self._beat, self._addresses = 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Kubelets:
        for name in self.names:
            self.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self._speak()
            except ApiError:
                continue  # a conflict, or the apiserver is away: next time

    def _speak(self) -> None:
        self._beat += 1
        for name in self.names:
            if name not in self.silent:
                self._say_ready(name)
        for pod in self.client.list("pods")["items"]:
            where = pod["spec"].get("nodeName")
            if where not in self.names or where in self.silent:
                continue
            metadata = pod["metadata"]
            if going(pod):
                self.client.delete("pods", metadata["name"], metadata["namespace"], 0)
            elif not is_true(pod, "Ready"):
                self._start(pod)

    def _say_ready(self, name: str) -> None:
        node = self.client.get("nodes", name)
        beat = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": stamp(1.5e9 + self._beat)}
        self.client.patch("nodes", name, "", {"status": {"conditions": with_condition(node, beat, 1.5e9)}}, subresource="status")

    def _start(self, pod: Object) -> None:
        metadata, known = pod["metadata"], (pod.get("status") or {}).get("podIP")
        self._addresses += not known
        conditions = with_condition(pod, {"type": "Ready", "status": "True"}, 1.5e9)
        status = {"phase": "Running", "podIP": known or f"10.244.1.{self._addresses}", "conditions": conditions}
        self.client.patch("pods", metadata["name"], metadata["namespace"], {"status": status}, subresource="status")


def manifest(*items: Object) -> str:
    """A List of objects for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
