"""log, exec, attach and port-forward, passed on to the kubelet of the pod's node.

What is wrong with the request is said here, as the real apiserver does; everything else is the kubelet's. Of a connection that becomes a
WebSocket the apiserver reads nothing: bytes go both ways until either end closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from lab.master.api import status
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.registry import Registry
from lab.master.apiserver.watchers import Object
from lab.master.resources import by_plural

if TYPE_CHECKING:
    from aiohttp import ClientResponse

PATIENCE = 5.0
"""Seconds that a kubelet may take to accept a connection, and to answer a request for an upgrade."""

LOOK = 1.0
"""Seconds between looks whether the reader of a quiet log is still there."""

HEAD = 1 << 16
"""The longest head of an answer, and how much of a refusal is passed on."""

_CHUNK = 1 << 16
_PATHS = {"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}
_UPGRADED = ("upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions")
_HOP = ("host", "connection", "upgrade", "content-length", "transfer-encoding", "authorization", "cookie")


class Relay:
    """Finds a pod's kubelet, and passes on what it and the client say. port: the kubelets', where a node names none."""

    def __init__(self, registry: Registry, port: int) -> None:
        self._registry, self._port = registry, port

    async def serve(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request for a subresource that the kubelet serves. Raises Refused."""
        if request.method not in (("GET",) if target.subresource == "log" else ("GET", "POST")):
            raise Refused(status.method_not_allowed())
        pod = self._registry.get(target.resource, target.name, target.namespace)
        words = [_PATHS[target.subresource], target.namespace, target.name]
        if target.subresource != "portforward":
            words.append(container_of(pod, request.query.get("container", "")))
        if target.subresource in ("exec", "attach") and not _streams(request):
            raise Refused(status.bad_request("you must specify at least one of stdin, stdout, stderr"))
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            if target.subresource == "log":
                return web.Response(text="")
            raise Refused(status.bad_request(f"pod {target.name} does not have a host assigned"))
        host, port = endpoint(self._registry.get(by_plural("nodes"), node, ""), self._port)
        path = "/" + "/".join(quote(word, safe="") for word in words)
        if request.rel_url.raw_query_string:
            path += f"?{request.rel_url.raw_query_string}"
        if request.headers.get("Upgrade", "").lower() == "websocket" and target.subresource != "log":
            return await _upgrade(request, target, host, port, path)
        return await _fetch(request, target, host, port, path)


def container_of(pod: Object, asked: str) -> str:
    """The container that a request means. Raises Refused for none, and when there are several to choose from."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    plain, initial = ([one.get("name", "") for one in spec.get(field) or []] for field in ("containers", "initContainers"))
    if asked:
        if asked not in (*plain, *initial):
            raise Refused(status.bad_request(f"container {asked} is not valid for pod {name}"))
        return asked
    if len(plain) == 1:
        return str(plain[0])
    said = f"a container name must be specified for pod {name}"
    if plain:
        said += f", choose one of: [{' '.join(plain)}]"
    if initial:
        said += f" or one of the init containers: [{' '.join(initial)}]"
    raise Refused(status.bad_request(said))


def endpoint(node: Object, port: int) -> tuple[str, int]:
    """Where a node's kubelet listens; `port` where the node does not say. Raises Refused."""
    said = node.get("status") or {}
    known = {one.get("type"): one.get("address") for one in said.get("addresses") or []}
    address = next((known[kind] for kind in ("InternalIP", "ExternalIP", "Hostname") if known.get(kind)), None)
    if not address:
        raise Refused(status.status(500, "", f"no preferred addresses found; known addresses: {sorted(map(str, known))}"))
    given = ((said.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    return str(address), given if isinstance(given, int) and 0 < given < 65536 else port


def refusal(code: int, text: str, target: Target) -> Object:
    """The Status for what a kubelet answered instead of what was asked for."""
    text = text.strip()
    if code == 400:
        return status.bad_request(text)
    if code == 404:
        return status.status(404, "NotFound", text, {"name": target.name, "kind": target.resource.plural})
    if code == 500:
        return status.internal_error(text)
    return status.status(code if code >= 400 else 500, "", f"the kubelet answered with status {code}: {text}")


def upgraded(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers, in small letters, of the head of an answer. Raises ValueError for what is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", first)
    if found is None:
        raise ValueError("the kubelet's answer is no HTTP")
    pairs = (line.partition(":") for line in lines if line)
    return int(found[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _streams(request: web.BaseRequest) -> bool:
    names = ("stdin", "stdout", "stderr")
    return any(request.query.get(name, "").lower() in ("1", "t", "true") for name in names)


def _unreachable(host: str, port: int, error: BaseException) -> Refused:
    number = getattr(error, "errno", None) or 0  # below 0 it is a name that cannot be resolved
    why = os.strerror(number).lower() if number > 0 else "i/o timeout" if isinstance(error, asyncio.TimeoutError) else str(error)
    return Refused(status.status(500, "", f"error dialing backend: dial tcp {host}:{port}: connect: {why}"))


async def _fetch(request: web.BaseRequest, target: Target, host: str, port: int, path: str) -> web.StreamResponse:
    """Pass on an answer of ordinary HTTP, as it comes."""
    import aiohttp
    from yarl import URL

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        try:
            answer = await session.get(URL(f"http://{host}:{port}{path}", encoded=True), allow_redirects=False)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise _unreachable(host, port, error) from error
        if answer.status != 200:
            said = await answer.content.read(HEAD)
            raise Refused(refusal(answer.status, said.decode("utf-8", "replace"), target))
        response = web.StreamResponse(headers={"Content-Type": answer.headers.get("Content-Type", "text/plain")})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await _copy(request, answer, response)
        return response


async def _copy(request: web.BaseRequest, answer: ClientResponse, response: web.StreamResponse) -> None:
    """The body, until its end or until the client has gone."""
    reading = asyncio.ensure_future(answer.content.readany())
    try:
        while True:
            await asyncio.wait({reading}, timeout=LOOK)
            if request.transport is None or request.transport.is_closing():
                return
            if not reading.done():
                continue
            data = reading.result()
            if not data:
                return
            await response.write(data)
            reading = asyncio.ensure_future(answer.content.readany())
    finally:
        reading.cancel()


class _Feeder:
    """What aiohttp gives an upgraded connection's bytes to. The reader holds the client back when the kubelet does not take them."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes of the client. Never the end of it."""
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        """The client has gone."""
        self._reader.feed_eof()


async def _upgrade(request: web.BaseRequest, target: Target, host: str, port: int, path: str) -> web.StreamResponse:
    """Ask the kubelet for the upgrade that the client asks for; if it agrees carry bytes until either end closes."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port, limit=HEAD), PATIENCE)
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        raise _unreachable(host, port, error) from error
    try:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        headers += [("Host", f"{host}:{port}"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        try:
            code, said = upgraded(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE))
            if code != 101:
                body = await asyncio.wait_for(_body(reader, said), PATIENCE)
                raise Refused(refusal(code, body.decode("utf-8", "replace"), target))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError) as error:
            why = "no answer" if isinstance(error, (EOFError, asyncio.TimeoutError)) else str(error)
            raise Refused(status.status(500, "", f"error dialing backend: the kubelet at {host}:{port}: {why}")) from error
        response = web.StreamResponse(status=101, headers={name: value for name, value in said.items() if name in _UPGRADED})
        response.force_close()
        await response.prepare(request)
        await _carry(request, response, reader, writer)
        return response
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length", "")
    return await (reader.readexactly(min(int(length), HEAD)) if length.isdecimal() else reader.read(HEAD))


async def _carry(request: web.BaseRequest, response: web.StreamResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    client, protocol = asyncio.StreamReader(), request.protocol
    if request.transport is None:
        return
    client.set_transport(request.transport)
    feeder: Any = _Feeder(client)
    protocol.set_parser(feeder)

    async def there() -> None:
        while data := await client.read(_CHUNK):
            writer.write(data)
            await writer.drain()

    async def back() -> None:
        while data := await reader.read(_CHUNK):
            await response.write(data)

    tasks = {asyncio.create_task(there()), asyncio.create_task(back())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
