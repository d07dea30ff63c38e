"""Which program an image name stands for. Pure.

There are no images in the lab: the machine's own programs run in the pod's namespaces. A pod's explicit command is always run as it
is; only a container without one needs a known image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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


BOOKINFO_ROLES = ("details-v1", "productpage-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
BOOKINFO_PORT = 9080
DNS_PORT = 53

WEB = {
    "grafana": (3000, "Grafana"),
    "hpa-example": (80, "OK!"),
    "prometheus": (9090, "Prometheus"),
    "servicegraph": (8088, "Servicegraph"),
    "zipkin": (9411, "Zipkin"),
}
"""Images of which only the answer on their port matters: that port, and the first line of the page. hpa-example is php-apache's."""

_DNS = ("kube-dns", "coredns", "k8s-dns-kube-dns-amd64")
_PROXIES = ("proxyv2", "proxy_debug")
_BOOKINFO = "examples-bookinfo-"
_PROGRAM = (sys.executable, str(Path(__file__).resolve().parent / "__main__.py"))

KNOWN_IMAGES = {
    "nginx": "the machine's nginx on port 80, serving a page that names the pod",
    "echo": "a server that says which pod it is and whom it sees, on the container's ports (8080, TCP and UDP)",
    "ubuntu": "a shell that waits, unless the pod has a command of its own",
    "busybox": "as ubuntu",
    "pause": "nothing: an address that answers ping",
    "kube-dns": "the cluster's DNS server on port 53; its argument --kube-master-url names the apiserver",
    "coredns": "as kube-dns",
    "k8s-dns-kube-dns-amd64": "as kube-dns",
    "examples-bookinfo-productpage-v1": "a bookinfo service on port 9080; so are details-v1, ratings-v1, reviews-v1, -v2 and -v3",
    **{f"examples-bookinfo-{role}": "as productpage-v1" for role in BOOKINFO_ROLES if role != "productpage-v1"},
    "proxyv2": "a sidecar that waits; with the argument `egress` a page on port 80",
    "proxy_debug": "as proxyv2",
    **{name: f"a page on port {port} that names the pod" for name, (port, _) in WEB.items()},
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
            known = "\n".join(f"    {name:32} {meaning}" for name, meaning in KNOWN_IMAGES.items())
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
    if image in _DNS:
        return Workload((*_PROGRAM, "dns", *container.args), port=_dns_port(container))
    if image.startswith(_BOOKINFO) and image in KNOWN_IMAGES:
        port = _first_port(container, BOOKINFO_PORT)
        return Workload((*_PROGRAM, "bookinfo", image.removeprefix(_BOOKINFO), "--pod", pod.name, "--port", str(port)), port=port)
    if image in WEB:
        return _web(pod, container, *WEB[image])
    if image in _PROXIES:
        return _web(pod, container, 80, "Istio egress") if "egress" in container.args else Workload(())
    return Workload(container.args)


def _web(pod: Pod, container: Container, default: int, title: str) -> Workload:
    port = _first_port(container, default)
    text = f"{title}\n{_who(pod)}"
    return Workload((*_PROGRAM, "web", "--pod", pod.name, "--port", str(port), "--text", text), port=port)


def _first_port(container: Container, default: int) -> int:
    return container.ports[0].container_port if container.ports else default


def _dns_port(container: Container) -> int:
    """The port that kube-dns is told to serve on; its own help says what is wrong with one that is none."""
    for word, following in zip(container.args, (*container.args, "")[1:], strict=True):
        text = following if word == "--dns-port" else word.removeprefix("--dns-port=") if word.startswith("--dns-port=") else ""
        if text.isascii() and text.isdigit():
            return int(text[:6])
    return DNS_PORT


def _nginx(pod: Pod, container: Container) -> Workload:
    port = _first_port(container, 80)
    return Workload(
        ("nginx", "-g", "daemon off;"),
        (("/etc/nginx/nginx.conf", nginx_configuration(port)), ("/run/nginx/html/index.html", page(pod))),
        port,
    )


def page(pod: Pod) -> str:
    """What the pod's web server answers: lines that name the pod, so that a client sees which back end it reached."""
    return f"Welcome to nginx!\n{_who(pod)}"


def _who(pod: Pod) -> str:
    return f"pod: {pod.name}\naddress: {pod.pod_ip}\nnode: {pod.node_name}\n"


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
