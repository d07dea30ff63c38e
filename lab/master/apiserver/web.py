"""Every request comes through here: discovery, health and OpenAPI are answered, the rest is passed on; refusals become Status objects."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

from aiohttp import web

from lab.master.api import discovery, status
from lab.master.apiserver import answers, openapi, paths
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.registry import Registry
from lab.master.apiserver.relay import Relay
from lab.master.apiserver.requests import Requests
from lab.master.apiserver.watchers import Object

_HEALTH = ("healthz", "livez", "readyz")
_RELAYED = ("log", "exec", "attach", "portforward")


class Site:
    """The server behind every socket.

    ready     whether the copy of etcd's data is there yet
    version   what /version says
    """

    def __init__(
        self, requests: Requests, relay: Relay, ready: Callable[[], bool], version: str, address: str, log: Callable[[str], None], registry: Registry
    ) -> None:
        self._registry = registry
        self._requests, self._relay, self._ready, self._log = requests, relay, ready, log
        self._version, self._address = version, address

    def server(self) -> web.Server:
        """What makes a protocol for every connection."""
        # aiohttp writes a traceback for a request that is no HTTP; it has its answer, and nobody needs more.
        quiet = logging.getLogger("lab.apiserver")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        return web.Server(self.handle, logger=quiet, access_log=None, keepalive_timeout=120.0, lingering_time=2.0)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            self._authenticate(request)
            return await self._served(request)
        except Refused as refused:
            return _refusal(refused.status)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
            self._log(f"{request.method} {request.raw_path[:200]!a}: {type(error).__name__}: {str(error)[:200]!a} at {place}")
            return _refusal(status.internal_error(type(error).__name__))

    def _authenticate(self, request: web.BaseRequest) -> None:
        """Over HTTPS a token has to be a good one; who shows none is anonymous, and everybody may do everything. Raises Refused."""
        said = request.headers.get("Authorization", "")
        if not said or not request.secure:
            return
        how, _, token = said.partition(" ")
        tokens = self._registry.tokens
        if how.lower() != "bearer" or tokens is None or not tokens.user(token.strip()):
            raise Refused(status.unauthorized())

    async def _served(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = paths.segments(request.raw_path)
        if parts is None:
            raise Refused(status.path_not_found())
        if parts and parts[0] in _HEALTH:
            return self._health(parts, request)
        found = self._document(request, parts)
        if found is not None:
            return found
        target = paths.target(parts)
        if target is None:
            raise Refused(status.path_not_found())
        if not self._ready():
            raise Refused(status.unavailable("etcd has not answered yet"))
        if target.subresource in _RELAYED:
            return await self._relay.serve(request, target)
        return await self._requests.serve(request, target)

    def _health(self, parts: tuple[str, ...], request: web.BaseRequest) -> web.Response:
        ready = self._ready()
        checks = [("ping", True), ("etcd", ready)]
        if len(parts) > 1:
            checks = [one for one in checks if one[0] == parts[1]]
            if not checks or len(parts) > 2:
                raise Refused(status.path_not_found())
        fine = all(good for _, good in checks) or parts[0] == "livez"
        if "verbose" in request.query or not fine:
            lines = [f"[{'+' if good else '-'}]{name} {'ok' if good else 'failed: reason withheld'}" for name, good in checks]
            text = "\n".join([*lines, f"{parts[0]} check {'passed' if fine else 'failed'}", ""])
        else:
            text = "ok"
        return web.Response(status=200 if fine else 500, text=text)

    def _document(self, request: web.BaseRequest, parts: tuple[str, ...]) -> web.Response | None:
        """Discovery, OpenAPI and the version; None for other paths."""
        media = answers.accepted(request.headers.get("Accept", ""))
        made: Object | None = None
        headers: dict[str, str] = {}
        kind = answers.JSON
        if parts in (("api",), ("apis",)):
            core = parts == ("api",)
            asked = [one.get("v", "") for _, one in media if one.get("as") == "APIGroupDiscoveryList"]
            version = next((one for one in asked if one in discovery.AGGREGATED), "")
            if version:
                tag = discovery.etag(core, version)
                headers = {"ETag": tag, "Vary": "Accept"}
                if request.headers.get("If-None-Match") == tag:
                    return web.Response(status=304, headers=headers)
                made = discovery.aggregated(core, version)
                kind = f"{answers.JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            else:
                made = discovery.api_versions(self._address) if core else discovery.group_list()
        elif parts[:1] == ("api",) and len(parts) == 2:
            made = discovery.resource_list(parts[1])
        elif parts[:1] == ("apis",) and len(parts) in (2, 3):
            made = discovery.group(parts[1]) if len(parts) == 2 else discovery.resource_list(f"{parts[1]}/{parts[2]}")
        elif parts == ("version",):
            made = discovery.version(self._version)
        elif not parts:
            made = discovery.paths()
        elif parts[0] == "openapi":
            made = openapi.document(parts[1:])
        if made is None:
            return None
        if request.method not in ("GET", "HEAD"):
            raise Refused(status.method_not_allowed())
        pretty = request.headers.get("User-Agent", "").startswith(answers.BROWSERS)
        return web.Response(body=answers.document(made, pretty), headers=headers | {"Content-Type": kind})


def _refusal(said: Object) -> web.Response:
    headers = {"Retry-After": "1"} if said["code"] in (429, 503) else {}
    return web.Response(status=said["code"], body=answers.document(said), content_type=answers.JSON, headers=headers)


def log(line: str) -> None:
    """One line to stderr, in one write."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


