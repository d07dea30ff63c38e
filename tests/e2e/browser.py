"""A real Chromium without a screen, driven over the DevTools protocol on a pair of pipes: no port that others could reach, no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.fabric import requirements
from tests.waiting import PATIENCE, POLLING, until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "F6": 117,
}  # fmt: skip
TEXTS = {"Enter": "\r", " ": " "}
_SHIFT = 8


class Page:
    """One page of the browser, with cookies and storage that no other page of the tests sees."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command."""
        return self._browser.call(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self.do("Page.enable")
        self.do("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth; a promise's result."""
        said = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, expression: str, patience: float = PATIENCE) -> None:
        """Wait until an expression is true."""
        until(lambda: self.value(f"!!({expression})"), expression, patience)

    def press(self, key: str, shift: bool = False) -> None:
        """Press and let go of a key."""
        text = TEXTS.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
        about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": _SHIFT if shift else 0}
        self.do("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **about)
        self.do("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type."""
        for character in text:
            self.press("Enter" if character == "\n" else character)

    def look(self, width: int, height: int, **features: str) -> None:
        """The window's size, and media features such as prefers_color_scheme."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.do("Emulation.setEmulatedMedia", features=named)

    def screenshot(self, path: Path) -> None:
        """A picture of the window."""
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"]))

    def troubles(self) -> list[str]:
        """What the page has complained about: exceptions, and errors on the console."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"])[:2000])
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(f"{event['params']['entry']['text']} {event['params']['entry'].get('url', '')}")
        return found

    def metrics(self) -> Mapping[str, float]:
        """Chromium's figures of the page after a garbage collection: Nodes, JSHeapUsedSize, JSEventListeners …"""
        self.do("HeapProfiler.collectGarbage")
        self.do("Performance.enable")
        return {one["name"]: one["value"] for one in self.do("Performance.getMetrics")["metrics"]}


class Browser:
    """A running Chromium. One call at a time."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def page(self) -> Page:
        """A new page in a profile of its own."""
        context = self.call("Target.createBrowserContext", {})["browserContextId"]
        target = self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})["targetId"]
        page = Page(self, self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])
        page.do("Runtime.enable")
        page.do("Log.enable")
        return page

    def call(self, method: str, parameters: Mapping[str, Any], session: str = "") -> dict[str, Any]:
        """Send a command, and wait for its result; what Chromium tells meanwhile goes to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 16)
            assert data, "Chromium has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(text)
        return said


def _await_crash_handlers(folder: Path) -> None:
    """Chromium starts two, apart from itself and in its own time: they are to be there before a test notes what runs. A build without any is fine."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        found = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                command = path.read_bytes()
                found += b"crashpad" in command and str(folder).encode() in command
        if found >= 2:
            return
        time.sleep(POLLING)


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A Chromium whose profile is in `folder`. A machine without one fails, with the way to get it."""
    program = next((found for found in map(shutil.which, PROGRAMS) if found), None)
    wanted = next(one for one in requirements.programs() if one.name == "chromium")
    assert program, f"no {wanted.name} ({wanted.why.en}): {requirements.how_to_get(wanted)}; `./lab.sh test` does it where apt-get is"
    to_read, write = os.pipe()
    read, to_write = os.pipe()
    argv = [
        program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--no-proxy-server",
        "--disable-breakpad", "about:blank",
    ]  # fmt: skip

    # Chromium reads its commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
    process = subprocess.Popen(
        ["bash", "-c", script, "chromium", *argv], pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    os.close(to_read)
    os.close(to_write)
    try:
        _await_crash_handlers(folder)
        yield Browser(write, read)
    finally:
        os.close(write)  # it ends when nobody commands it any more
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(read)
