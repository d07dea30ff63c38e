"""The page's HTTP server: files, JSON and WebSockets, for those who have a session, and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Literal

from aiohttp import hdrs, web

from lab.errors import LabError, UsageError
from lab.fabric.registry import Entry
from lab.observe import graph as model
from lab.observe.drawing import cluster, svg
from lab.observe.drawing.picture import Picture
from lab.observe.drawing.style import DARK, EMBEDDED, LIGHT
from lab.web import access, journeys, requests
from lab.web.hub import Hub
from lab.web.lablink import LabLink
from lab.web.terminals import Terminals

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TYPES = {
    "html": "text/html", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript", "svg": "image/svg+xml",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Inline styles are xterm's: it makes a style sheet for its colours."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "lab",
}
STRANGER = (
    "This page needs the link that `lab web` prints; each link opens it once.\n"
    "打开此页面需要 `lab web` 打印的链接；每个链接只能打开一次。\n"
)
KEY_PLACE = 'name="lab-key" content=""'
BEAT = 20.0
"""Seconds between pings of a WebSocket: a page that has vanished without a word is noticed."""
ACCESS: web.AppKey[access.Access] = web.AppKey("access", access.Access)


def application(entry: Entry, who: access.Access, hub: Hub, lab: LabLink, terminals: Terminals, language: str) -> web.Application:
    """The server of one lab's page."""
    page = _Page(entry, hub, lab, terminals, language)
    app = web.Application(middlewares=[_guard], client_max_size=requests.SIZE)
    app[ACCESS] = who
    app.on_response_prepare.append(_headers)
    app.add_routes(
        [
            web.get("/", page.index),
            web.get("/static/picture.css", page.style),
            web.get("/static/{name:.+}", page.file),
            web.get("/api/lab", page.lab),
            web.get("/api/picture", page.picture),
            web.get("/api/details", page.details),
            web.get("/api/steps", page.steps),
            web.get("/api/story", page.story),
            web.post("/api/step", page.step),
            web.post("/api/trace", page.trace),
            web.get("/api/live", page.live),
            web.get("/api/terminal", page.terminal),
        ]
    )
    return app


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing gets past this that is not from a page of this server, in a browser that has opened a link."""
    who, headers = request.app[ACCESS], request.headers
    upgrade = headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    if not who.known_host(headers.get(hdrs.HOST)):
        return web.Response(status=403, text="this server has another name\n")
    origin, command = headers.get(hdrs.ORIGIN), upgrade or request.method not in (hdrs.METH_GET, hdrs.METH_HEAD)
    if (command or origin is not None) and not who.own_origin(origin, headers.get("Sec-Fetch-Site")):
        return web.Response(status=403, text="commands from pages of other origins are refused\n")
    cookie = request.cookies.get(who.cookie_name)
    opens = request.method == hdrs.METH_GET and request.path == "/" and "token" in request.query
    if not who.may_load(cookie) and not opens:
        return web.Response(status=401, text=STRANGER)
    if request.path.startswith("/api/"):
        key = access.key_of(headers.get("Sec-WebSocket-Protocol")) if upgrade else headers.get(access.KEY_HEADER)
        if not who.may_ask(cookie, key):
            return web.Response(status=401, text=STRANGER)
    try:
        return await handler(request)
    except LabError as error:
        return web.json_response({"error": str(error)}, status=422 if isinstance(error, UsageError) else 503)


class _Page:
    """What is behind the addresses."""

    def __init__(self, entry: Entry, hub: Hub, lab: LabLink, terminals: Terminals, language: str) -> None:
        self._entry, self._hub, self._lab, self._language = entry, hub, lab, language
        self._files = {name: item for name, item in _files()}
        self._terminals = terminals

    async def index(self, request: web.Request) -> web.Response:
        """The page. With a token that is good, a session begins with it."""
        who = request.app[ACCESS]
        text = self._files["index.html"].decode()
        session = who.redeem(request.query["token"]) if "token" in request.query else None
        if session is None:
            if not who.may_load(request.cookies.get(who.cookie_name)):
                return web.Response(status=401, text=STRANGER)
            return web.Response(text=text, content_type="text/html")
        answer = web.Response(text=text.replace(KEY_PLACE, f'name="lab-key" content="{session.key}"'), content_type="text/html")
        answer.set_cookie(who.cookie_name, session.cookie, httponly=True, samesite="Strict", path="/")
        return answer

    async def style(self, request: web.Request) -> web.Response:
        """The colours and shapes of pictures."""
        text = f":root{{{LIGHT}}}:root[data-theme=dark]{{{DARK}}}{EMBEDDED}"
        return web.Response(text=text, content_type="text/css")

    async def file(self, request: web.Request) -> web.Response:
        """A file of the page."""
        name = request.match_info["name"]
        kind = TYPES.get(name.rpartition(".")[2])
        if name not in self._files or kind is None:
            return web.Response(status=404, text="no such file\n")
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def lab(self, request: web.Request) -> web.Response:
        """What lab this is, and whether it has steps."""
        try:
            scenario = (await self._lab.steps())["scenario"]
        except UsageError:
            scenario = ""
        about = {"name": self._entry.name, "source": self._entry.source, "language": self._language, "scenario": scenario, "busy": self._lab.busy}
        return web.json_response(about)

    async def picture(self, request: web.Request) -> web.Response:
        """The graph, and its picture as SVG."""
        if not self._hub.revision:
            await self._hub.look_at_graph()
        graph = model.from_data(self._hub.graph)
        text = svg.render(self._drawn(request)[1], "g-", standalone=False)
        return web.json_response({"revision": self._hub.revision, "graph": model.to_data(graph), "svg": text})

    def _drawn(self, request: web.Request) -> tuple[model.Graph, Picture]:
        graph = model.from_data(self._hub.graph)
        language: Literal["en", "zh"] = "zh" if request.query.get("lang") == "zh" else "en"
        return graph, cluster.picture(graph, language)

    async def details(self, request: web.Request) -> web.Response:
        """What a machine looks like."""
        return web.json_response(await self._lab.details(requests.word(request.query, "who")))

    async def steps(self, request: web.Request) -> web.Response:
        """The scenario's steps, and what happened in those that were run from a page."""
        return web.json_response(await self._lab.steps() | {"events": self._hub.story.events})

    async def story(self, request: web.Request) -> web.Response:
        """What has happened in a step until now; the lab is not asked, which may be at it."""
        step = requests.word(request.query, "step")
        return web.json_response({"step": step, "events": self._hub.story.events.get(step, [])})

    async def step(self, request: web.Request) -> web.Response:
        """Walk to a step, or repeat it."""
        where, again = requests.step(await _body(request))
        walked = await self._lab.walk(where, again, self._hub.hear)
        await self._hub.look_at_graph()
        graph, picture = self._drawn(request)
        for event in walked["events"]:
            if event["event"] == "Travelled":
                event["walk"] = journeys.walk(graph, picture, event["journey"])
        self._hub.story.keep(walked["events"])
        return web.json_response({"ok": walked["ok"], "revision": self._hub.revision} | await self._hub.look_at_steps())

    async def trace(self, request: web.Request) -> web.Response:
        """Send a packet."""
        journey = await self._lab.trace(requests.trace(await _body(request)))
        await self._hub.look_at_graph()
        return web.json_response({"revision": self._hub.revision, "walk": journeys.walk(*self._drawn(request), journey)})

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        """The state, second by second."""
        page = await _socket(request, 1 << 10)
        await self._hub.serve(page)
        return page

    async def terminal(self, request: web.Request) -> web.WebSocketResponse:
        """A shell in a machine."""
        machine = requests.word(request.query, "who")
        self._terminals.check()
        page = await _socket(request, 1 << 16)
        await self._terminals.serve(page, machine)
        return page


async def _socket(request: web.Request, most: int) -> web.WebSocketResponse:
    """The request's WebSocket. `most`: bytes of a message of the page's."""
    page = web.WebSocketResponse(heartbeat=BEAT, max_msg_size=most, protocols=("lab",), compress=False)
    await page.prepare(request)
    return page


async def _body(request: web.Request) -> Any:
    """The JSON of a request. Raises UsageError."""
    if request.content_type != "application/json":
        raise UsageError("the request is no JSON")
    try:
        return json.loads(await request.text())
    except ValueError as error:
        raise UsageError(f"the request is no JSON: {error}") from error


def _files() -> list[tuple[str, bytes]]:
    """The page's files, by their paths below static."""
    found, folders = [], [("", resources.files("lab.web") / "static")]
    while folders:
        path, folder = folders.pop()
        for item in folder.iterdir():
            if item.is_dir():
                folders.append((f"{path}{item.name}/", item))
            else:
                found.append((f"{path}{item.name}", item.read_bytes()))
    return found
