"""Asks a probe's question once, from the node."""

from __future__ import annotations

import http.client
import shlex
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

from lab.errors import CommandError
from lab.fabric import process
from lab.kubelet.probes import Probe, port_number
from lab.kubelet.protocol import RuntimeTrouble
from lab.kubelet.runtimeclient import RuntimeClient

Answer = tuple[bool, str]
"""Whether the container passed, and what there is to say about it."""

MOST_BODY = 10240


def ask(probe: Probe, container: Mapping[str, Any], address: str, pod: tuple[str, str], runtime: RuntimeClient) -> Answer:
    """One look. `pod`: namespace and name. Never raises for what the container does."""
    if probe.action == "exec":
        return _exec(list(probe.detail.get("command") or ()), probe.timeout, pod, str(container.get("name")), runtime)
    host = str(probe.detail.get("host") or address)
    port = port_number(probe.detail.get("port"), container)
    if probe.action == "tcpSocket":
        trouble = refuses(host, port, probe.timeout)
        return not trouble, trouble
    return _http(probe.detail, host, port, probe.timeout)


def hook(
    detail: Mapping[str, Any], timeout: float, container: Mapping[str, Any], address: str, pod: tuple[str, str], runtime: RuntimeClient
) -> Answer:
    """Run a postStart or preStop hook; `timeout` in seconds. Never raises for what the container does."""
    action = next((name for name in ("exec", "httpGet", "tcpSocket", "sleep") if detail.get(name)), "")
    if action == "sleep":
        time.sleep(min(timeout, float(detail["sleep"].get("seconds") or 0)))
    if action in ("", "sleep"):
        return True, ""
    return ask(Probe("startup", action, detail[action], timeout=timeout), container, address, pod, runtime)


def refuses(host: str, port: int, timeout: float) -> str:
    """Why no connection to a TCP port comes about; empty when one does."""
    try:
        with socket.create_connection((host, port), timeout):
            return ""
    except (OSError, OverflowError) as error:
        return f"dial tcp {host}:{port}: {getattr(error, 'strerror', None) or error}"


def _http(detail: Mapping[str, Any], host: str, port: int, timeout: float) -> Answer:
    scheme, path = str(detail.get("scheme") or "HTTP").lower(), str(detail.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{host}:{port}{path}"
    headers = {"User-Agent": "kube-probe/1.7", "Connection": "close"}
    headers |= {str(one["name"]): str(one.get("value", "")) for one in detail.get("httpHeaders") or () if one.get("name")}
    try:
        connection = _connection(scheme, host, port, timeout)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read(MOST_BODY)
        finally:
            connection.close()
    except (OSError, ValueError, OverflowError, http.client.HTTPException) as error:
        return False, f"Get {url}: {error}"
    if 200 <= answer.status < 400:
        return True, ""
    return False, f"HTTP probe failed with statuscode: {answer.status}"


def _connection(scheme: str, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a kubelet does not check a pod's certificate
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _exec(command: list[str], timeout: float, pod: tuple[str, str], container: str, runtime: RuntimeClient) -> Answer:
    if not command:
        return False, "the probe's command is empty"
    try:
        _, namespace = runtime.enter(pod[1], pod[0], container)
    except RuntimeTrouble as error:
        return False, str(error)
    try:
        ran = process.run(namespace, command, timeout)
    except CommandError as error:
        return False, str(error)
    finally:
        namespace.close()
    said = (ran.stdout + ran.stderr).strip()
    return ran.status == 0, said or f"`{shlex.join(command)}` ended with status {ran.status}"
