"""exec and attach: a process's streams over a WebSocket, as kubectl speaks it (v5.channel.k8s.io and v4). Imports aiohttp.

Every message begins with the number of its channel: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 4 the terminal's new size as JSON,
and with v5 255, whose next byte names a channel that the client has closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from lab.errors import CommandError, LabError
from lab.fabric import process
from lab.kubelet import podspec, variables
from lab.kubelet.life import Json
from lab.kubelet.protocol import RuntimeTrouble
from lab.kubelet.server import Back
from lab.kubelet.worker import Worker

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

LAST_WORDS, LONGEST_WORDS = 0.3, 10.0
"""Seconds that a process's output is waited for after its end, since the last of it came and in all: one that it left behind may hold its
streams open, and even write to them."""

NOT_FOUND = 127

_CHUNK = 1 << 15
_pool = ThreadPoolExecutor(64, "session")


def is_true(text: str) -> bool:
    """A truth value in a query, as kubectl and kubelet write it."""
    return text.lower() in ("1", "t", "true")


def success() -> Json:
    """The Status of a command that ended with 0."""
    return {"metadata": {}, "status": "Success"}


def failure(status: int) -> Json:
    """The Status of a command that ended otherwise; a signal counts as a shell counts it."""
    code = status if status >= 0 else 128 - status
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def trouble(text: str) -> Json:
    """The Status of a command that could not be run."""
    return {"metadata": {}, "status": "Failure", "message": text, "reason": "InternalError", "code": 500}


@dataclass
class Streams:
    """Our ends of the process's streams. Descriptors; -1: none. `said`: by channel what can be read. `at_end`: when input has ended.

    carried   bytes that the client has taken; sending: pieces that it is about to take
    """

    said: dict[int, int]
    stdin: int = -1
    terminal: int = -1
    at_end: Callable[[], None] = lambda: None
    carried: int = 0
    sending: int = 0

    def close(self) -> None:
        """Let go of them."""
        for descriptor in {*self.said.values(), self.stdin, self.terminal} - {-1}:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.said, self.stdin, self.terminal = {}, -1, -1


async def execute(request: web.Request, back: Back, worker: Worker, name: str) -> web.StreamResponse:
    """Run a command in a container and be its terminal."""
    command = request.query.getall("command", [])
    if not command:
        raise web.HTTPBadRequest(text="you must specify at least 1 command for the container\n")
    run = worker.run_of(name)
    if run is None or run.finished:
        raise web.HTTPBadRequest(text=f"container {name} of pod {worker.key[1]} does not run\n")
    require_websocket(request, "exec", *REMOTE_COMMAND)
    wanted = {one: is_true(request.query.get(one) or request.query.get(old, "")) for one, old in _OLD_NAMES.items()}
    ws = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, heartbeat=None)
    await ws.prepare(request)
    loop = asyncio.get_running_loop()
    try:
        child, streams = await loop.run_in_executor(_pool, lambda: _spawn(back, worker, name, command, wanted))
    except (LabError, OSError, ValueError) as error:
        await _finish(ws, trouble(str(error)))
        return ws
    try:
        await _converse(ws, child, streams)
    finally:
        streams.close()
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGHUP if wanted["tty"] else signal.SIGKILL)
            loop.run_in_executor(_pool, child.wait)
    return ws


REMOTE_COMMAND = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "1.29")
"""The variable that has an older kubectl stream over WebSockets, and the first version that heeds it."""


def require_websocket(request: web.Request, what: str, variable: str, version: str) -> None:
    """Raises HTTPBadRequest, with what to do, for a request over plain SPDY, or over nothing that streams."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        instead = f"use kubectl 1.31 or later, or set {variable}=true (kubectl {version} and later)"
        raise web.HTTPBadRequest(text=f"the lab has {what} over WebSockets only, not over plain SPDY: {instead}\n")


_OLD_NAMES = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""The kubelet's own names for what the API calls stdin, stdout and stderr."""


def _spawn(back: Back, worker: Worker, name: str, command: list[str], wanted: dict[str, bool]) -> tuple[subprocess.Popen[bytes], Streams]:
    life = worker.lives[name]
    try:
        links = back.loop.tools.links(worker.item)
        values = variables.of_container(worker.item, life.spec, back.network(), worker.address, worker.lookup, links)
    except LabError:
        values = {}
    environment = process.container_environment(podspec.surroundings(worker.item, back.network(), values, wanted["tty"]))
    if shutil.which(command[0], path=environment["PATH"]) is None:
        raise CommandError(f'exec: "{command[0]}": executable file not found in $PATH')
    _, namespace = back.loop.tools.runtime.enter(worker.key[1], worker.key[0])
    theirs, streams = _open(wanted)
    argv = ["setsid", "--ctty", *command] if wanted["tty"] else command
    try:
        child = process.spawn(
            namespace,
            argv,
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[2],
            env=environment,
            cwd=life.spec.get("workingDir") or "/",
            start_new_session=not wanted["tty"],
        )
    except BaseException:
        streams.close()
        raise
    finally:
        namespace.close()
        for descriptor in set(theirs):
            os.close(descriptor)
    return child, streams


def _open(wanted: dict[str, bool]) -> tuple[tuple[int, int, int], Streams]:
    """The process's ends and ours."""
    if wanted["tty"]:
        master, slave = pty.openpty()
        return (slave, slave, slave), Streams({STDOUT: os.dup(master)}, os.dup(master) if wanted["stdin"] else -1, master)
    out, err = os.pipe(), os.pipe()
    streams = Streams({STDOUT: out[0], STDERR: err[0]})
    if not wanted["stdin"]:
        return (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), out[1], err[1]), streams
    reader, streams.stdin = os.pipe()
    return (reader, out[1], err[1]), streams


async def _converse(ws: web.WebSocketResponse, child: subprocess.Popen[bytes], streams: Streams) -> None:
    """Carry everything both ways until the process ends or the client goes."""
    ended = asyncio.Event()
    loop, handle = asyncio.get_running_loop(), os.pidfd_open(child.pid)
    loop.add_reader(handle, ended.set)
    pumps = [asyncio.create_task(_pump(ws, channel, descriptor, streams)) for channel, descriptor in streams.said.items()]
    listening = asyncio.create_task(_listen(ws, streams))
    waiting = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            await _drained(pumps, streams)
            status = child.wait()
            await _finish(ws, success() if status == 0 else failure(status))
    finally:
        loop.remove_reader(handle)
        os.close(handle)
        for task in (*pumps, listening, waiting):
            task.cancel()
        await asyncio.gather(*pumps, listening, waiting, return_exceptions=True)


async def _drained(pumps: list[asyncio.Task[None]], streams: Streams) -> None:
    """Until nothing more comes from a process that has ended. A client on a busy machine takes its time for what has come."""
    loop = asyncio.get_running_loop()
    end, before, pending = loop.time() + LONGEST_WORDS, -1, set(pumps)
    while pending and (streams.sending or streams.carried != before) and loop.time() < end:
        before = streams.carried
        _, pending = await asyncio.wait(pending, timeout=LAST_WORDS)


async def _pump(ws: web.WebSocketResponse, channel: int, descriptor: int, streams: Streams) -> None:
    """What the process says, to the client."""
    async for data in _chunks(descriptor):
        streams.sending += 1
        await ws.send_bytes(bytes([channel]) + data)
        streams.sending -= 1
        streams.carried += len(data)


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    os.set_blocking(descriptor, False)
    while True:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            readable.clear()
            loop.add_reader(descriptor, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(descriptor)
            continue
        except OSError:  # EIO: nobody has the terminal open any more
            return
        if not data:
            return
        yield data


async def _listen(ws: web.WebSocketResponse, streams: Streams) -> None:
    """What the client says, to the process; returns when the client is gone."""
    loop = asyncio.get_running_loop()
    async for message in ws:
        if message.type != WSMsgType.BINARY and message.type != WSMsgType.TEXT:
            continue
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        if not data:
            continue
        channel, rest = data[0], data[1:]
        if channel == STDIN and streams.stdin >= 0 and rest:
            with contextlib.suppress(OSError):
                await loop.run_in_executor(_pool, _write, streams.stdin, rest)
        elif channel == RESIZE and streams.terminal >= 0:
            _resize(streams.terminal, rest)
        elif channel == CLOSE and rest[:1] == bytes([STDIN]) and streams.stdin >= 0:
            await _end_of_input(loop, streams)


async def _end_of_input(loop: asyncio.AbstractEventLoop, streams: Streams) -> None:
    if streams.terminal >= 0:  # a terminal's end of file is a character
        with contextlib.suppress(OSError):
            await loop.run_in_executor(_pool, _write, streams.stdin, b"\x04")
        return
    os.close(streams.stdin)
    streams.stdin = -1
    streams.at_end()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # a terminal shares its flags with the end that is read
            import select

            select.select([], [descriptor], [], 1.0)


def _resize(terminal: int, raw: bytes) -> None:
    """Give the terminal a new size; what makes no sense is ignored."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OSError, struct.error):
        size = json.loads(raw)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))


async def _finish(ws: web.WebSocketResponse, status: Json) -> None:
    with contextlib.suppress(ConnectionError):
        await ws.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        await ws.close()


async def attach(request: web.Request, back: Back, worker: Worker, name: str) -> web.StreamResponse:
    """Be the terminal of a container that runs."""
    runtime = back.loop.tools.runtime
    run = worker.run_of(name)
    if run is not None and not run.finished:  # else the runtime says so
        require_websocket(request, "attach", *REMOTE_COMMAND)
    said, stdin, tty = await asyncio.get_running_loop().run_in_executor(_pool, lambda: runtime.attach(worker.uid, name))
    ws = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
    await ws.prepare(request)
    takes = stdin >= 0 and is_true(request.query.get("stdin") or request.query.get("input", ""))
    streams = Streams({}, os.dup(stdin) if takes else -1, os.dup(stdin) if tty else -1)
    if takes and worker.lives[name].spec.get("stdinOnce"):
        streams.at_end = lambda: _end_input(back, worker.uid, name)
    if stdin >= 0:
        os.close(stdin)
    listening = asyncio.create_task(_listen(ws, streams))
    telling = asyncio.create_task(_tell(ws, said))
    try:
        await asyncio.wait({listening, telling}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await _finish(ws, success())
    finally:
        for task in (listening, telling):
            task.cancel()
        await asyncio.gather(listening, telling, return_exceptions=True)
        streams.close()
        said.close()
        streams.at_end()
    return ws


def _end_input(back: Back, uid: str, name: str) -> None:
    with contextlib.suppress(RuntimeTrouble):  # the container may have gone
        back.loop.tools.runtime.end_input(uid, name)


async def _tell(ws: web.WebSocketResponse, said: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    said.setblocking(False)
    while data := await loop.sock_recv(said, _CHUNK * 4):
        await ws.send_bytes(data)
