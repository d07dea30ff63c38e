"""log, exec, attach and port-forward, passed on to the kubelet of the pod's node."""

from __future__ import annotations

from aiohttp import web

from lab.master.api import status
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.registry import Registry


class Relay:
    """Finds a pod's kubelet, and passes on what it and the client say."""

    def __init__(self, registry: Registry, port: int) -> None:
        self._registry, self._port = registry, port

    async def serve(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request for a subresource that the kubelet serves. Raises Refused."""
        raise Refused(status.unavailable("the kubelet cannot be reached"))
