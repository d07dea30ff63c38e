"""The live page's server, as a stranger on the same machine meets it over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.fabric import registry
from tests.e2e.webpage import POD, Up, lab_with_page

pytestmark = pytest.mark.e2e

PATHS = ("/", "/static/main.js", "/static/vendor/xterm.mjs", "/api/lab", "/api/picture", "/api/details?who=zenlin", "/api/steps", "/nowhere")
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}


@pytest.fixture(name="up", scope="module")
def _up() -> Iterator[Up]:
    with lab_with_page() as up:
        yield up


def test_nothing_is_told_without_a_session(up: Up) -> None:
    for path in PATHS:
        status, headers, text = up.ask("GET", path)
        assert (status, "zenlin" in text, "script" in text) == (401, False, False), path
        assert "set-cookie" not in headers and headers["cache-control"] == "no-store"
    assert up.ask("GET", "/?token=guessed")[0] == 401
    assert up.ask("POST", "/api/trace", "{}", Origin=up.origin)[0] == 401


def test_a_link_opens_the_page_once(up: Up) -> None:
    path = up.link().removeprefix(up.origin)
    assert up.ask("HEAD", path)[0] == 401  # a look without opening does not use it up
    status, headers, _ = up.ask("GET", path)
    assert status == 200
    assert {"HttpOnly", "SameSite=Strict"} <= set(headers["set-cookie"].split("; "))
    assert up.ask("GET", path)[0] == 401


def test_data_needs_the_key_beside_the_cookie(up: Up) -> None:
    session = up.session()
    assert up.ask("GET", "/api/lab", **session)[0] == 200
    assert up.ask("GET", "/", Cookie=session["Cookie"])[0] == 200
    assert up.ask("GET", "/api/lab", Cookie=session["Cookie"])[0] == 401
    assert up.ask("GET", "/api/lab", X_Lab_Key=session["X_Lab_Key"])[0] == 401
    assert session["X_Lab_Key"] not in up.ask("GET", "/", Cookie=session["Cookie"])[2]


def test_pages_of_other_origins_get_and_command_nothing(up: Up) -> None:
    session = up.session()
    body = json.dumps({"source": POD, "target": "nginx-service:8000"})
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{up.port + 1}"):
        assert up.ask("POST", "/api/trace", body, **session, Origin=origin, Content_Type="application/json")[0] == 403
        assert up.ask("GET", "/api/lab", **session, Origin=origin)[0] == 403
    assert up.ask("POST", "/api/trace", body, **session, Content_Type="application/json")[0] == 403
    assert up.ask("POST", "/api/trace", body, **session, Origin=up.origin, Sec_Fetch_Site="same-site")[0] == 403
    assert up.ask("POST", "/api/trace", body, **session, Origin=up.origin, Content_Type="text/plain")[0] == 422
    assert not [name for name in up.ask("GET", "/api/lab", **session, Origin=up.origin)[1] if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/api/live", f"/api/terminal?who={POD}"])
def test_no_websocket_from_elsewhere(up: Up, path: str) -> None:
    session = up.session()
    words = {name.replace("-", "_"): value for name, value in HANDSHAKE.items()} | {"Cookie": session["Cookie"]}
    key = {"Sec_WebSocket_Protocol": f"lab, lab.key.{session['X_Lab_Key']}"}
    assert up.ask("GET", path, **words, **key, Origin="http://evil.example")[0] == 403
    assert up.ask("GET", path, **words, **key)[0] == 403
    assert up.ask("GET", path, **words, Origin=up.origin)[0] == 401
    assert up.ask("GET", path, **words, **key, Origin=up.origin)[0] == 101


def test_another_name_for_the_server_is_refused(up: Up) -> None:
    session = up.session()
    for host in ("evil.example", f"evil.example:{up.port}", f"localhost:{up.port}", "127.0.0.1"):
        assert up.ask("GET", "/api/lab", **session, Host=host)[0] == 403
    assert up.ask("GET", up.link().removeprefix(up.origin), Host="evil.example")[0] == 403


def test_every_answer_forbids_frames_scripts_of_others_and_storing(up: Up) -> None:
    for _, headers, _ in (up.ask("GET", "/"), up.ask("GET", "/", Host="evil.example"), up.ask("GET", "/api/lab", **up.session())):
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store" and headers["server"] == "lab"
        assert "script-src 'self';" in headers["content-security-policy"] and "frame-ancestors 'none'" in headers["content-security-policy"]


def test_it_listens_on_loopback_alone(up: Up) -> None:
    number = f":{up.port:04X} "
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    found = [line.split()[1] for line in lines if number in line and " 0A " in line]
    assert found == [f"0100007F:{up.port:04X}"]


def test_nonsense_is_refused_in_words(up: Up) -> None:
    session = up.session() | {"Origin": up.origin, "Content_Type": "application/json"}
    nobody = json.dumps({"source": "nobody", "target": "x"})
    bodies = (("trace", "{"), ("trace", "[]"), ("step", '{"step": 1}'), ("step", '{"step": "nowhere"}'), ("trace", nobody))
    for path, body in bodies:
        status, _, text = up.ask("POST", f"/api/{path}", body, **session)
        assert status == 422 and json.loads(text)["error"]
    assert up.ask("POST", "/api/trace", json.dumps({"source": "x" * 20000}), **session)[0] == 413
    assert up.ask("GET", "/api/details?who=nobody", **session)[0] == 422
    assert up.ask("GET", "/static/../server.py", **session)[0] == up.ask("GET", "/static/%2e%2e/server.py", **session)[0] == 404


def test_the_files_of_the_server_are_its_owners(up: Up) -> None:
    directory = registry.root() / up.name
    assert directory.stat().st_mode & 0o077 == 0
    assert (directory / "web.sock").stat().st_mode & 0o077 == (directory / "web.log").stat().st_mode & 0o077 == 0
