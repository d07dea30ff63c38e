"""Istio's example application bookinfo, of the article's cluster, as four small HTTP services that call each other.

    productpage -> details
                -> reviews v1 | v2 | v3 -> ratings      (v1 shows no stars, v2 black ones, v3 red ones)

Each finds its callees by the variables that the kubelet gives every container, REVIEWS_SERVICE_HOST and REVIEWS_SERVICE_PORT, and
without them by DNS. Every answer says which pod gave it. A callee that is away costs its part of the page and no more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.workloads import bookpage
from lab.workloads.images import BOOKINFO_PORT, BOOKINFO_ROLES
from lab.workloads.web import Page, serve

TIMEOUTS = {"ratings": 1.5, "details": 3.0, "reviews": 3.0}
"""Seconds for an answer of each callee. The reviews wait for ratings in theirs."""

TRIES = {"reviews": 2}
"""productpage asks for reviews twice before it gives up, as the original does."""

_LIMIT = 1 << 20
_CARRIED = ("end-user", "user-agent", "x-request-id")
"""Headers that go on to the callees, and those of the tracer beside them: so a trace hangs together."""

Json = dict[str, Any]
Headers = Mapping[str, str]
Call = Callable[[str, str, Headers], "Json | None"]
"""From a service's name, a path and the caller's headers to the JSON object, None when the service does not give one in time."""

STARS = {"reviews-v2": "black", "reviews-v3": "red"}


def address_of(service: str, environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of a callee. A wrong variable is as good as none."""
    name = service.upper().replace("-", "_")
    host, port = environ.get(f"{name}_SERVICE_HOST", ""), environ.get(f"{name}_SERVICE_PORT", "")
    return (host, int(port)) if host and port.isascii() and port.isdigit() and int(port[:6]) < 65536 else (service, BOOKINFO_PORT)


def carried(headers: Headers) -> dict[str, str]:
    """Those of a request's headers that its callees get too."""
    return {name: value for name, value in headers.items() if name in _CARRIED or name.startswith("x-b3-")}


def answer(role: str, pod: str, path: str, headers: Headers, call: Call) -> Page:
    """What a service answers to a GET. Pure, but for `call`."""
    if path == "/health":
        return _json({"status": f"{role.split('-')[0].capitalize()} is healthy"})
    if role == "productpage-v1":
        return _product(pod, path, headers, call)
    service = role.partition("-")[0]
    parts = path.strip("/").split("/")
    if len(parts) != 2 or parts[0] != service:
        return _json({"error": f"there is nothing at {path[:100]}; try /{service}/0"}, 404)
    if not (parts[1].isascii() and parts[1].isdigit()):
        return _json({"error": "please provide numeric product ID"}, 400)
    product = int(parts[1][:9])
    if service == "details":
        return _json(bookpage.details(product) | {"podname": pod})
    if service == "ratings":
        return _json(bookpage.ratings(product) | {"podname": pod})
    return _json(_reviews(role, pod, product, headers, call))


def _reviews(role: str, pod: str, product: int, headers: Headers, call: Call) -> Json:
    if role not in STARS:
        return bookpage.reviews(product, pod, None, "")
    return bookpage.reviews(product, pod, call("ratings", f"/ratings/{product}", headers) or {}, STARS[role])


def _product(pod: str, path: str, headers: Headers, call: Call) -> Page:
    if path in ("/", "/index.html"):
        return Page(bookpage.index(pod), kind="text/html")
    if path == "/api/v1/products":
        return _json([bookpage.PRODUCT])
    wanted = path.removeprefix("/api/v1/products/0")
    if path != "/productpage" and (wanted == path or wanted not in ("", "/reviews", "/ratings")):
        return _json({"error": f"there is nothing at {path[:100]}; try /productpage or /api/v1/products/0"}, 404)
    if wanted == "/ratings":
        ratings = call("ratings", "/ratings/0", headers)
        return _json(ratings or {"error": bookpage.sorry("ratings")}, 200 if ratings else 503)
    reviews = call("reviews", "/reviews/0", headers)
    if wanted == "/reviews":
        return _json(reviews or {"error": bookpage.sorry("reviews")}, 200 if reviews else 503)
    details = call("details", "/details/0", headers)
    if path == "/productpage":
        return Page(bookpage.page(pod, details, reviews), kind="text/html")
    return _json(bookpage.product(pod, details, reviews))


def _json(data: object, status: int = 200) -> Page:
    return Page(json.dumps(data) + "\n", status, "application/json")


def fetch(host: str, port: int, path: str, headers: Headers, timeout: float) -> Json | None:
    """The JSON object at a URL; None when it does not come, whole, within `timeout` seconds, the lookup of the name included."""
    found: list[Json] = []
    worker = threading.Thread(target=_fetch, args=(host, port, path, headers, timeout, found), daemon=True)
    worker.start()
    worker.join(timeout)
    return found[0] if found else None


def _fetch(host: str, port: int, path: str, headers: Headers, timeout: float, found: list[Json]) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        data = json.loads(response.read(_LIMIT))
        if response.status == 200 and isinstance(data, dict):
            found.append(data)
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        print(f"http://{host}:{port}{path}: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the container's log)
    finally:
        connection.close()


def caller(environ: Mapping[str, str]) -> Call:
    """Calls services at their real addresses."""

    def call(service: str, path: str, headers: Headers) -> Json | None:
        for _ in range(TRIES.get(service, 1)):
            found = fetch(*address_of(service, environ), path, carried(headers), TIMEOUTS[service])
            if found is not None:
                return found
        return None

    return call


def main(argv: Sequence[str]) -> int:
    """Be one of the services until killed."""
    parser = argparse.ArgumentParser(prog="bookinfo", allow_abbrev=False)
    parser.add_argument("role", choices=BOOKINFO_ROLES)
    parser.add_argument("--pod", default="", help="name of the pod")
    parser.add_argument("--port", type=int, default=BOOKINFO_PORT)
    args = parser.parse_args(list(argv))
    call = caller(os.environ)
    try:
        return serve(args.pod, args.port, lambda path, headers: answer(args.role, args.pod, path, headers, call))
    except OSError as error:
        print(f"port {args.port}: {error.strerror}", file=sys.stderr)  # noqa: T201 (the container's log)
        return 1
