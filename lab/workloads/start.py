"""Starts what a pod runs, in the pod's namespaces, and waits until it answers."""

from __future__ import annotations

import os
import socket
from functools import partial

from lab.errors import BootError
from lab.fabric import daemon, kernel
from lab.fabric.namespace import Namespace
from lab.model.objects import Pod
from lab.workloads import echo, images

READY_TIMEOUT = 10.0


def start(namespace: Namespace, pod: Pod) -> list[daemon.Daemon]:
    """Start every container of a pod. Raises CommandError for a program that cannot be executed."""
    return [_start_container(namespace, pod, container.name, images.workload(pod, container)) for container in pod.containers]


def _start_container(namespace: Namespace, pod: Pod, name: str, workload: images.Workload) -> daemon.Daemon:
    for path, text in workload.files:
        namespace.write_text(path, text)
    if workload.argv[:1] == ("nginx",):
        _private_directory(namespace, images.NGINX_LOGS)
    if workload.echo:
        return daemon.fork(namespace, name, partial(echo.serve, pod.name, workload.echo))
    return daemon.execute(namespace, name, workload.argv or ("sleep", "infinity"))


def _private_directory(namespace: Namespace, path: str) -> None:
    """Cover a directory of the machine by an empty one of the pod's own."""
    with namespace.entered():
        own = f"/run/lab/{path.strip('/').replace('/', '-')}"
        os.makedirs(own, exist_ok=True)
        if not os.path.isdir(path):
            raise BootError(f"{namespace.name}: this machine has no {path}: is nginx installed? `lab doctor` tells how to get it")
        kernel.mount(own, path, flags=kernel.MS_BIND)


def is_ready(namespace: Namespace, pod: Pod) -> bool:
    """Whether every container of the pod that serves a port accepts connections on it."""
    ports = [workload.port for workload in (images.workload(pod, container) for container in pod.containers) if workload.port]
    return all(_listens(namespace, port) for port in ports)


def _listens(namespace: Namespace, port: int) -> bool:
    with namespace.entered():
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


