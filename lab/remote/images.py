"""What the lab's image names stand for on a cluster that pulls images. Pure.

nginx stays nginx, with a configuration whose page names the pod. The servers that the lab has written itself run in a Python image, from
sources that travel in the pod's command. ubuntu becomes an image that has curl, ping and bash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.remote import bundle
from lab.workloads.images import BOOKINFO_PORT, BOOKINFO_ROLES, WEB, base_name

Json = dict[str, Any]

NGINX, NGINX_NEXT = "docker.io/library/nginx:1.27", "docker.io/library/nginx:1.28"
PYTHON = "docker.io/library/python:3.12-slim"
TOOLS = "docker.io/nicolaka/netshoot:v0.13"
PAUSE = "registry.k8s.io/pause:3.10"

ECHO_PORT = 8080
POD_VARIABLE, IP_VARIABLE, NODE_VARIABLE = "LAB_POD", "LAB_ADDRESS", "LAB_NODE"
LOG = "/run/lab-access.log"
"""Where nginx writes its access log: in the image, /var/log/nginx/access.log leads to the container's output, which cannot be read back."""

_BOOKINFO = "examples-bookinfo-"
_TAGS = {"nginx:1.8": NGINX, "nginx:1.9": NGINX_NEXT}
"""The article's images are older than what today's runtimes can pull."""

TABLE: dict[str, tuple[str, str]] = {
    "nginx": (NGINX, "the image's nginx, with a page that names the pod; `nginx:1.9` becomes the next version, for rolling updates"),
    "echo": (PYTHON, "the lab's echo server, TCP and UDP"),
    "ubuntu": (TOOLS, "a shell that waits"),
    "busybox": (TOOLS, "a shell that waits"),
    "pause": (PAUSE, "nothing: an address that answers ping"),
    "proxyv2": (PAUSE, "a sidecar that waits"),
    "proxy_debug": (PAUSE, "a sidecar that waits"),
    **{f"{_BOOKINFO}{role}": (PYTHON, "the lab's bookinfo services") for role in BOOKINFO_ROLES},
    **{name: (PYTHON, "a page that names the pod") for name in WEB},
}
"""The lab's image name -> the image there, and what it runs. A scenario's `images`, and --image, put others in their place."""


def image_of(image: str, own: Mapping[str, str]) -> str:
    """The image to pull. own: from a scenario or the command line; it is looked for by the whole name first, then without registry and tag."""
    name = base_name(image)
    for key in (image, name):
        if key in own:
            return own[key]
    return _TAGS.get(image) or TABLE.get(name, (image, ""))[0]


def words(own: Mapping[str, str]) -> list[tuple[str, str]]:
    """The image names that steps write into commands, and what they are there."""
    return [(image, image_of(image, own)) for image in _TAGS]


def container(item: Json, own: Mapping[str, str]) -> Json:
    """A container of a manifest as the cluster is to run it. An image that the lab does not know stays as it is."""
    name, changed = base_name(str(item.get("image", ""))), dict(item)
    changed["image"] = image_of(str(item.get("image", "")), own)
    program = _PROGRAMS.get(name) or (_bookinfo if name.startswith(_BOOKINFO) else _web if name in WEB else None)
    if program is None or item.get("command") or name not in TABLE:
        return changed
    changed.pop("args", None)
    command, port = program(item)
    if not command:
        return changed
    changed["command"] = command
    changed["env"] = [*_variables(), *(item.get("env") or ())]
    if port and "readinessProbe" not in changed:
        changed["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    return changed


def _variables() -> Iterable[Json]:
    fields = {POD_VARIABLE: "metadata.name", IP_VARIABLE: "status.podIP", NODE_VARIABLE: "spec.nodeName"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _nginx(item: Json) -> tuple[list[str], int]:
    port = _port(item, 80)
    page = f"Welcome to nginx!\\npod: $({POD_VARIABLE})\\naddress: $({IP_VARIABLE})\\nnode: $({NODE_VARIABLE})\\n"
    text = (
        "worker_processes 1; pid /run/nginx.pid; error_log stderr; events { worker_connections 512; } "
        f"http {{ access_log {LOG}; default_type text/plain; client_body_temp_path /run/lab-body; proxy_temp_path /run/lab-proxy; "
        "fastcgi_temp_path /run/lab-fastcgi; uwsgi_temp_path /run/lab-uwsgi; scgi_temp_path /run/lab-scgi; "
        f'server {{ listen {port}; location / {{ return 200 "{page}"; }} }} }}'
    )
    script = "printf '%s' \"$1\" > /run/lab-nginx.conf && exec nginx -c /run/lab-nginx.conf -g 'daemon off;'"
    return ["sh", "-c", script, "nginx", text], port


def _echo(item: Json) -> tuple[list[str], int]:
    ports = [(str(one.get("protocol") or "TCP"), int(one["containerPort"])) for one in item.get("ports") or ()]
    ports = ports or [("TCP", ECHO_PORT), ("UDP", ECHO_PORT)]
    first = next((number for protocol, number in ports if protocol == "TCP"), 0)
    return bundle.command("echo", f"$({POD_VARIABLE})", *(f"{number}/{protocol}" for protocol, number in ports)), first


def _bookinfo(item: Json) -> tuple[list[str], int]:
    port, role = _port(item, BOOKINFO_PORT), base_name(item["image"]).removeprefix(_BOOKINFO)
    return bundle.command("bookinfo", role, "--pod", f"$({POD_VARIABLE})", "--port", str(port)), port


def _web(item: Json) -> tuple[list[str], int]:
    default, title = WEB[base_name(item["image"])]
    port = _port(item, default)
    text = f"{title}\npod: $({POD_VARIABLE})\naddress: $({IP_VARIABLE})\nnode: $({NODE_VARIABLE})\n"
    return bundle.command("web", "--pod", f"$({POD_VARIABLE})", "--port", str(port), "--text", text), port


def _waits(item: Json) -> tuple[list[str], int]:
    return ["sleep", "infinity"], 0


def _pauses(item: Json) -> tuple[list[str], int]:
    return [], 0


def _port(item: Json, default: int) -> int:
    ports = item.get("ports") or ()
    return int(ports[0]["containerPort"]) if ports else default


_PROGRAMS: dict[str, Callable[[Json], tuple[list[str], int]]] = {
    "nginx": _nginx,
    "echo": _echo,
    "ubuntu": _waits,
    "busybox": _waits,
    **dict.fromkeys(("pause", "proxyv2", "proxy_debug"), _pauses),
}
