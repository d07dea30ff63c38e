"""Which program an image name stands for. Pure.

There are no images in the lab: the machine's own programs run in the pod's namespaces. A pod's explicit command is always run as it
is; only a container without one needs a known image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import UsageError
from lab.model.objects import Container, Pod
from lab.workloads import echo

NGINX_PID = "/run/nginx.pid"
NGINX_LOGS = "/var/log/nginx"


@dataclass(frozen=True)
class Workload:
    """What a container runs.

    argv    the command line; empty: nothing but the pod's namespaces, or the echo server
    files   (path, text), written in the pod before the start
    port    a TCP port that answers when the workload is ready; 0: ready when started
    echo    ports on which the lab's own echo server listens, in place of a program
    """

    argv: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()
    port: int = 0
    echo: tuple[echo.Port, ...] = ()


KNOWN_IMAGES = {
    "nginx": "the machine's nginx on port 80, serving a page that names the pod",
    "echo": "a server that says which pod it is and whom it sees, on the container's ports (8080, TCP and UDP)",
    "ubuntu": "a shell that waits, unless the pod has a command of its own",
    "busybox": "as ubuntu",
    "pause": "nothing: an address that answers ping",
}
"""Image name without registry and tag, and what it means here."""


def base_name(image: str) -> str:
    """`registry:5000/library/nginx:1.8@sha256:…` -> `nginx`."""
    last = image.split("@")[0].rsplit("/", 1)[-1]
    return last.split(":")[0]


def is_known(container: Container) -> bool:
    """Whether the lab can run this container."""
    return bool(container.command) or base_name(container.image) in KNOWN_IMAGES


def require_known(what: str, containers: Iterable[Container]) -> None:
    """Raises UsageError, with the list of the known ones, for an image that the lab cannot run. `what`: whose containers, for the message."""
    for container in containers:
        if not is_known(container):
            known = "\n".join(f"    {name:8} {meaning}" for name, meaning in KNOWN_IMAGES.items())
            raise UsageError(
                f"{what}: the lab does not know the image {container.image!r}. Known are\n{known}\n"
                f"or give container {container.name} a `command`: the lab runs the machine's program of that name."
            )


def workload(pod: Pod, container: Container) -> Workload:
    """What to run for a container that `is_known`."""
    if container.command:
        return Workload((*container.command, *container.args))
    image = base_name(container.image)
    if image == "nginx" and not container.args:
        return _nginx(pod, container)
    if image == "echo":
        ports = tuple((port.protocol, port.container_port) for port in container.ports) or echo.DEFAULT_PORTS
        return Workload((), port=next((number for protocol, number in ports if protocol == "TCP"), 0), echo=ports)
    if container.args:
        return Workload(container.args)
    return Workload(())


def _nginx(pod: Pod, container: Container) -> Workload:
    port = container.ports[0].container_port if container.ports else 80
    return Workload(
        ("nginx", "-g", "daemon off;"),
        (("/etc/nginx/nginx.conf", nginx_configuration(port)), ("/run/nginx/html/index.html", page(pod))),
        port,
    )


def page(pod: Pod) -> str:
    """What the pod's web server answers: lines that name the pod, so that a client sees which back end it reached."""
    return f"Welcome to nginx!\npod: {pod.name}\naddress: {pod.pod_ip}\nnode: {pod.node_name}\n"


def nginx_configuration(port: int) -> str:
    """A configuration for one pod: one worker, no modules of the distribution, every file in places that are the pod's own.

    `user root` because as an ordinary user's lab root is the only user there is.
    """
    return f"""\
user root;
worker_processes 1;
pid {NGINX_PID};
error_log {NGINX_LOGS}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log {NGINX_LOGS}/access.log;
    default_type text/plain;
    client_body_temp_path /run/nginx/body;
    proxy_temp_path /run/nginx/proxy;
    fastcgi_temp_path /run/nginx/fastcgi;
    uwsgi_temp_path /run/nginx/uwsgi;
    scgi_temp_path /run/nginx/scgi;
    server {{
        listen {port};
        root /run/nginx/html;
    }}
}}
"""
