"""What the kubelet's HTTP server answers. Imports aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from lab.errors import LabError
from lab.kubelet import logs, portforward, session
from lab.kubelet.logs import Reader, Wish
from lab.kubelet.server import Back
from lab.kubelet.worker import Worker

FOLLOW = 0.05
"""Seconds between looks at a log that somebody follows."""

BACK: web.AppKey[Back] = web.AppKey("back", Back)


def serve(listening: socket.socket, back: Back) -> None:
    """Serve for ever."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    asyncio.run(_serve(listening, back))


async def _serve(listening: socket.socket, back: Back) -> None:
    app = web.Application(middlewares=[_plain_errors])
    app[BACK] = back
    app.add_routes(
        [
            web.get("/healthz", _health),
            web.get("/pods", _pods),
            web.get("/containerLogs/{namespace}/{pod}/{container}", _logs),
            web.get("/exec/{namespace}/{pod}/{container}", _exec),
            web.get("/attach/{namespace}/{pod}/{container}", _attach),
            web.get("/portForward/{namespace}/{pod}", _forward),
        ]
    )
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()


@web.middleware
async def _plain_errors(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """What goes wrong is said in one line, as kubelet does."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except LabError as error:
        return web.Response(status=400, text=f"{error}\n")
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        request.app[BACK].log(f"{request.method} {request.path}: {error!r}")
        return web.Response(status=500, text=f"{error}\n")


async def _health(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _pods(request: web.Request) -> web.Response:
    items = [worker.item for worker in list(request.app[BACK].loop.workers.values())]
    return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})


def find(request: web.Request) -> Worker:
    """The pod that a request names. Raises HTTPNotFound."""
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    worker = request.app[BACK].loop.find(namespace, name)
    if worker is None:
        raise web.HTTPNotFound(text=f"pod {name!r} in namespace {namespace!r} does not run on this node\n")
    return worker


def container_of(request: web.Request, worker: Worker) -> str:
    """The container that a request names. Raises HTTPNotFound."""
    name = request.match_info["container"]
    if name not in worker.lives:
        raise web.HTTPNotFound(text=f"container {name!r} not found in pod {worker.key[1]!r}\n")
    return name


async def _logs(request: web.Request) -> web.StreamResponse:
    worker = find(request)
    name = container_of(request, worker)
    path = _log_path(worker, name, session.is_true(request.query.get("previous", "")))
    reader = Reader(path, _wish(request))
    limit = _number(request, "limitBytes", -1)
    try:
        if not session.is_true(request.query.get("follow", "")):
            body = reader.first()
            return web.Response(body=body if limit < 0 else body[:limit], content_type="text/plain")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(reader.first())
        while True:
            alive = _alive(worker, name, path)
            more = reader.more()
            if more:
                await response.write(more)
            elif not alive:
                break
            await asyncio.sleep(FOLLOW)
            if request.transport is None or request.transport.is_closing():
                break
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response
    finally:
        reader.close()


def _log_path(worker: Worker, name: str, previous: bool) -> Path:
    run = worker.run_of(name)
    attempt = -1 if run is None else run.attempt - previous
    path = logs.place(*worker.key, worker.uid, name, attempt)
    if previous and (attempt < 0 or not path.exists()):
        raise web.HTTPBadRequest(text=f'previous terminated container "{name}" in pod "{worker.key[1]}" not found\n')
    if attempt < 0 or not path.exists():
        reason = worker.lives[name].waiting[0] or "ContainerCreating"
        raise web.HTTPBadRequest(text=f'container "{name}" in pod "{worker.key[1]}" is waiting to start: {reason}\n')
    return path


def _alive(worker: Worker, name: str, path: Path) -> bool:
    run = worker.run_of(name)
    return not worker.gone and run is not None and not run.finished and path.name == f"{run.attempt}.log"


def _wish(request: web.Request) -> Wish:
    seconds = _number(request, "sinceSeconds", -1)
    since = time.time() - seconds if seconds >= 0 else _moment(request.query.get("sinceTime", ""))
    return Wish(_number(request, "tailLines", -1), since, session.is_true(request.query.get("timestamps", "")))


def _moment(text: str) -> float:
    from datetime import datetime

    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"sinceTime: {text!r} is no time\n") from error


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise web.HTTPBadRequest(text=f"{name}: {text!r} is no number\n")
    return int(text)


async def _exec(request: web.Request) -> web.StreamResponse:
    worker = find(request)
    name = container_of(request, worker)
    return await session.execute(request, request.app[BACK], worker, name)


async def _attach(request: web.Request) -> web.StreamResponse:
    worker = find(request)
    name = container_of(request, worker)
    return await session.attach(request, request.app[BACK], worker, name)


async def _forward(request: web.Request) -> web.StreamResponse:
    worker = find(request)
    return await portforward.forward(request, worker.address)
