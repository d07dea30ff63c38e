"""A cluster's API as a run uses it: JSON objects of one namespace, and commands in its pods, all by the Python client."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

from lab.errors import ClusterError, CommandError
from lab.fabric.process import Result
from lab.model.aliases import NONE
from lab.remote.connect import ANSWER_SECONDS, CONNECT_SECONDS, Connection, Refused, speaking

Json = dict[str, Any]

_KINDS = {
    "pods": ("CoreV1Api", "pod", True),
    "services": ("CoreV1Api", "service", True),
    "endpoints": ("CoreV1Api", "endpoints", True),
    "configmaps": ("CoreV1Api", "config_map", True),
    "events": ("CoreV1Api", "event", True),
    "deployments": ("AppsV1Api", "deployment", True),
    "replicasets": ("AppsV1Api", "replica_set", True),
    "namespaces": ("CoreV1Api", "namespace", False),
    "nodes": ("CoreV1Api", "node", False),
}
"""Plural -> the client's class, its word for the kind, whether it lives in a namespace."""

PLURALS = {"Pod": "pods", "Service": "services", "Deployment": "deployments", "Namespace": "namespaces", "ConfigMap": "configmaps"}


class Api:
    """What `lab.api` is on a cluster elsewhere. `default`, the namespace that scenarios know, is the run's own.

    list, get and find answer in the scenario's words (`aliases`); everything else is the cluster's.
    """

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self.aliases = NONE

    def list(self, plural: str, namespace: str = "", labels: str = "", fields: str = "") -> Json:
        """A list object; always of one namespace, but for nodes and namespaces."""
        found = self.raw_list(plural, namespace, labels, fields)
        return {**found, "items": self.aliases.written_data(found["items"])}

    def get(self, plural: str, name: str, namespace: str = "") -> Json:
        """One object; Refused with code 404 when there is none."""
        found: Json = self.aliases.written_data(self.raw_get(plural, self.aliases.real(name), namespace))
        return found

    def find(self, plural: str, name: str, namespace: str = "") -> Json | None:
        """One object, or None when there is none."""
        try:
            return self.get(plural, name, namespace)
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def raw_list(self, plural: str, namespace: str = "", labels: str = "", fields: str = "") -> Json:
        """A list object in the cluster's words."""
        selectors = {name: value for name, value in (("label_selector", labels), ("field_selector", fields)) if value}
        found = self._call("list", plural, (), namespace, **selectors)
        return {**found, "items": found.get("items") or []}

    def raw_get(self, plural: str, name: str, namespace: str = "") -> Json:
        """One object in the cluster's words."""
        return self._call("read", plural, (name,), namespace)

    def create(self, item: Json) -> Json:
        """Create an object, in the run's namespace where its kind lives in one."""
        return self._call("create", PLURALS[item["kind"]], (), body=item)

    def patch(self, plural: str, name: str, namespace: str, patch: Any) -> Json:
        """Change an object by a strategic merge patch."""
        return self._call("patch", plural, (self.aliases.real(name),), namespace, body=patch)

    def delete(self, plural: str, name: str, uid: str = "") -> None:
        """Delete an object of the run. uid: only if it is still that one; one that is gone already is as good."""
        body: Json = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._call("delete", plural, (name,), body=body)
        except Refused as error:
            if error.code not in (404, 409):
                raise

    def _call(self, verb: str, plural: str, place: Sequence[str], namespace: str = "", **more: Any) -> Json:
        from kubernetes import client

        where, kind, namespaced = _KINDS[plural]
        inner = namespace if namespace and namespace != "default" else self.namespace
        method: Callable[..., Any] = getattr(getattr(client, where)(self.connection.client), f"{verb}_{'namespaced_' if namespaced else ''}{kind}")
        arguments = [*place, *([inner] if namespaced else [])]
        name = f" {place[0]}" if place else ""
        with speaking(self.connection, f"cannot {verb} {plural}{name}" + (f" in the namespace {inner}" if namespaced else "")):
            answer = method(*arguments, _preload_content=False, _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS), **more)
        found: Json = json.loads(answer.data)
        return found

    def execute(self, pod: str, container: str, command: str | Sequence[str], timeout: float, where: str) -> Result:
        """Run a command in a pod, a str by its bash or, without one, its sh. Raises CommandError when it cannot be run or takes too long."""
        from kubernetes import client
        from kubernetes.stream import stream

        typed = command if isinstance(command, str) else shlex.join(command)
        words = _shell(command) if isinstance(command, str) else list(command)
        begun = time.monotonic()
        core = client.CoreV1Api(client.ApiClient(self.connection.client.configuration))  # `stream` changes its client for the time being
        options: Json = {"container": container, "command": words, "stdout": True, "stderr": True, "stdin": False, "tty": False, "binary": True}
        try:
            with speaking(self.connection, f"cannot run a command in the pod {pod}"):
                channel = stream(core.connect_get_namespaced_pod_exec, pod, self.namespace, **options, _preload_content=False)
        except ClusterError as error:
            raise CommandError(str(error)) from error
        try:
            with speaking(self.connection, f"while a command ran in the pod {pod}"):
                out, err, end = _collect(channel, begun + timeout)
        except ClusterError as error:
            raise CommandError(str(error)) from error
        finally:
            channel.close()
        if end is None:
            raise CommandError(f"{where}: `{typed}` did not end within {timeout:g} s")
        return Result(where, typed, _status(end, where), out, err, time.monotonic() - begun)


def _shell(command: str) -> list[str]:
    """The command in the best shell of the image."""
    choose = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; else exec sh -c "$1"; fi'
    return ["sh", "-c", choose, "sh", command]


def _collect(channel: Any, deadline: float) -> tuple[str, str, str | None]:
    """What the command wrote, and the Status object that tells its end, as text; None when the time was over first."""
    streams: dict[int, list[bytes]] = {1: [], 2: [], 3: []}
    while (going := channel.is_open()) and time.monotonic() < deadline:
        channel.update(timeout=min(max(deadline - time.monotonic(), 0.0), 1.0))
        if channel.is_open():
            _drain(channel, streams)
    _drain(channel, streams)
    out, err, end = (b"".join(streams[number]).decode("utf-8", "replace") for number in (1, 2, 3))
    return out, err, None if going and channel.is_open() else end


def _drain(channel: Any, streams: dict[int, list[bytes]]) -> None:
    for number, parts in streams.items():
        parts.append(channel.read_channel(number) or b"")


def _status(end: str, where: str) -> int:
    """The exit status in a command's last words (metav1.Status); CommandError when there is none: then it was not started, or was cut off."""
    try:
        said = json.loads(end)
        if said.get("status") == "Success":
            return 0
        codes = [one["message"] for one in (said.get("details") or {}).get("causes") or () if one.get("reason") == "ExitCode"]
        return int(codes[0])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        with contextlib.suppress(ValueError, AttributeError):
            end = str(json.loads(end).get("message") or end)
        raise CommandError(f"{where}: {end.strip() or 'the connection to the pod ended before the command did'}") from error
