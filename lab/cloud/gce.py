"""Google's cloud as far as flannel sees it: the routes of the Compute Engine API, the metadata service, and a router that follows them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence

from lab.cloud import web
from lab.cloud.project import NETWORK, PROJECT, ZONE, Json, Project, Refused, address_of
from lab.cloud.router import Router
from lab.cloud.routes import Machine
from lab.cloud.web import Answer, Request
from lab.flannel.metadata import HOST

CHAIN = "CAN-IP-FORWARD"
API = "/compute/v1"
ABOUT = "/computeMetadata/v1/"
_NUMBER = "424242424242"
"""The project's number, which stands in the metadata where others have its name."""


class Gce:
    """The application behind the cloud's one address: the API below /compute/v1, what an instance asks about itself in its place."""

    def __init__(self, machines: Sequence[Machine], router: Router) -> None:
        self._router = router
        self._project = Project(machines, f"http://{HOST}{API}")
        self._work = threading.Event()
        self._lock = threading.Lock()
        self._router.follow(self._project.rows(), self._project.forwarding())
        threading.Thread(target=self._operate, name="operations", daemon=True).start()

    def __call__(self, request: Request) -> Answer:
        """Answer one request. A change is only begun when the caller gets its answer; the operation's status tells when it is in force."""
        try:
            with self._lock:
                if request.path.startswith(ABOUT):
                    return self._metadata(request)
                return web.as_json(self._api(request))
        except Refused as error:
            told = {"code": error.status, "message": error.text, "errors": [{"reason": error.reason, "message": error.text}]}
            return web.as_json({"error": told}, error.status)
        finally:
            if request.method != "GET":
                self._work.set()

    def _operate(self) -> None:
        """Do what has been begun, in order."""
        while True:
            self._work.wait()
            self._work.clear()
            with self._lock:
                if self._project.work():
                    self._router.follow(self._project.rows(), self._project.forwarding())

    def _api(self, request: Request) -> Json:
        found = re.fullmatch(rf"{API}/projects/([^/]+)/(global|zones/{ZONE})/([a-z]+)(?:/([^/]+))?", request.path)
        if found is None or found[1] != PROJECT:
            raise Refused(404, "notFound", f"{request.path} was not found; the project is {PROJECT}, its zone {ZONE}")
        name = found[4] or ""
        kind = found[3] if found[2] == "global" or found[3] != "routes" else ""
        body = _body(request) if request.method in ("POST", "PUT") else {}
        project = self._project
        verbs: dict[tuple[str, str, bool], Callable[[], Json]] = {
            ("GET", "routes", False): lambda: _list("routeList", project.routes),
            ("GET", "routes", True): lambda: _one(project.routes, name),
            ("POST", "routes", False): lambda: project.insert_route(body),
            ("DELETE", "routes", True): lambda: project.delete_route(name),
            ("GET", "instances", False): lambda: _list("instanceList", project.instances),
            ("GET", "instances", True): lambda: _one(project.instances, name),
            ("POST", "instances", False): lambda: project.insert_instance(body),
            ("PUT", "instances", True): lambda: project.update_instance(name, body),
            ("DELETE", "instances", True): lambda: project.delete_instance(name),
            ("GET", "operations", True): lambda: _one(project.operations, name),
            ("GET", "networks", True): lambda: _one({NETWORK: project.network()}, name),
        }
        verb = verbs.get((request.method, kind, bool(name)))
        if verb is None:
            raise Refused(405, "httpMethodNotAllowed", f"{request.method} {request.path} is not part of the lab's cloud")
        return verb()

    def _metadata(self, request: Request) -> Answer:
        """What the instance with the caller's address is told. As with Google, only to those who say that they mean it."""
        if request.headers.get("metadata-flavor") != "Google":
            return web.text("403 - Forbidden: missing Metadata-Flavor:Google header\n", 403)
        instance = next((one for one in self._project.instances.values() if address_of(one) == request.source), None)
        found = None if instance is None else _about(instance).get(request.path.removeprefix(ABOUT))
        return web.text("404 - Not Found\n", 404) if found is None else web.text(found)


def _about(instance: Json) -> dict[str, str]:
    """Path -> text below /computeMetadata/v1 for one instance."""
    return {
        "project/project-id": PROJECT,
        "instance/id": instance["id"],
        "instance/name": instance["name"],
        "instance/zone": f"projects/{_NUMBER}/zones/{ZONE}",
        "instance/network-interfaces/0/ip": str(address_of(instance)),
        "instance/network-interfaces/0/network": f"projects/{_NUMBER}/networks/{NETWORK}",
    }


def _body(request: Request) -> Json:
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "parseError", "the request's body is not a JSON object")
    return body


def _list(kind: str, things: dict[str, Json]) -> Json:
    return {"kind": f"compute#{kind}", "items": list(things.values())}


def _one(things: dict[str, Json], name: str) -> Json:
    if name not in things:
        raise Refused(404, "notFound", f"The resource {name!r} was not found")
    return things[name]
