"""A lab that is up with its live page, and requests to the page's server, for the tests of it."""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.lab import lab, lab_up

POD = "ubuntu-zenlinnode1"


@dataclass(frozen=True)
class Up:
    """A lab with a page."""

    name: str
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def link(self) -> str:
        """Another link."""
        return link_in(lab("web", "-n", self.name).stdout)

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, dict[str, str], str]:
        """A request with just these headers (`_` for `-`): status, headers in small letters, and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, ""
        text = "" if answer.status == 101 else answer.read().decode("utf-8", "replace")
        connection.close()
        return found[0], found[1], text

    def session(self) -> dict[str, str]:
        """The headers of a page that has opened a link."""
        status, headers, text = self.ask("GET", self.link().removeprefix(self.origin))
        assert status == 200
        key = re.search(r'name="lab-key" content="([^"]+)"', text)
        assert key
        return {"Cookie": headers["set-cookie"].partition(";")[0], "X_Lab_Key": key[1]}


def link_in(text: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]+", text)
    assert found, text
    return found[0]


@contextmanager
def lab_with_page() -> Iterator[Up]:
    """The walkthrough's lab, up with its page."""
    name = f"test-{os.getpid()}-web"
    with lab_up(name, "nginx-service", "--web") as said:
        yield Up(name, int(link_in(said).split(":")[2].partition("/")[0]))
