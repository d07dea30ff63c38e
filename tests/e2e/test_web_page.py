"""The live page of a lab that is up, as its user meets it in a real Chromium."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.fabric import registry
from tests.e2e.browser import Browser, Page, chromium
from tests.e2e.lab import lab, start
from tests.e2e.webpage import POD, Up, lab_with_page, link_in
from tests.waiting import until

pytestmark = pytest.mark.e2e

NAME = "docker-overlap"
LIVE = "document.documentElement.dataset.ready === 'yes' && document.querySelector('#pill').textContent === 'live'"
SILENT = "10.105.211.16:9999"


@pytest.fixture(name="up", scope="module")
def _up() -> Iterator[Up]:
    with lab_with_page() as up:
        yield up


@pytest.fixture(name="browser", scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(name="page", scope="module")
def _page(up: Up, browser: Browser) -> Page:
    """A page that has opened a link, shared by the tests below."""
    page = browser.page()
    page.look(1280, 720, prefers_color_scheme="light")
    page.open(up.link())
    page.until("document.documentElement.dataset.ready === 'yes'")
    return page


def test_the_page_shows_the_cluster_alive(up: Up, page: Page) -> None:
    page.until(LIVE)
    assert page.value("document.querySelectorAll('#picture .box.pod').length") == 5
    page.until("document.querySelector('#g-rules-zenlin .rate')?.textContent.endsWith(' rules')")
    ping = start("exec", "-n", up.name, POD, "--", "ping", "-q", "-i", "0.05", "10.244.2.246")
    try:
        page.until(f"document.querySelector('#g-pod-{POD} .rate')?.textContent.endsWith('B/s')")
        page.until("document.querySelector('.link.tunnel[data-b=daemon-zenlinnode1]').dataset.level > 0")
    finally:
        lab("exec", "-n", up.name, POD, "--", "pkill", "-x", "ping")
        ping.communicate(timeout=60)
    page.until(f"document.querySelector('#g-pod-{POD} .rate').textContent === ''")
    assert page.value("location.href") == f"{up.origin}/"
    assert page.troubles() == []


def test_a_reload_keeps_the_session_and_another_browser_has_none(up: Up, page: Page, browser: Browser) -> None:
    page.open(f"{up.origin}/?reload")
    page.until("document.documentElement.dataset.ready === 'yes'")
    other = browser.page()
    other.open(up.origin)
    assert "lab web" in other.value("document.body.textContent") and "zenlin" not in other.value("document.body.textContent")


def test_a_terminal_in_a_pod(page: Page) -> None:
    page.value(f"document.querySelector('#g-pod-{POD}').focus()")
    page.press("Enter")
    page.until("document.querySelector('#topic-routes')")
    assert "default via 10.244.1.1" in page.value("document.querySelector('#panel-machine').textContent")
    page.press("t")
    page.until(screen_has(f"root@{POD}"))
    page.type("echo $((6*7)) $(hostname) $COLUMNS\n")
    page.until(screen_has(f"42 {POD}"))
    page.press("F6")
    assert not page.value("!!document.activeElement.closest('#terminals')")


def screen_has(text: str) -> str:
    return f"document.querySelector('.xterm-rows')?.textContent.includes({json.dumps(text)})"


def test_a_packet_is_followed_step_by_step(page: Page) -> None:
    page.press("p")
    page.value("document.querySelector('#source').focus()")
    until(lambda: answered(page, "nginx-service:8000"), "a packet is answered in time")
    seen = [page.value("document.querySelector('#told').textContent")]
    while not page.value("document.querySelector('#walk-next').disabled"):
        page.press("ArrowRight")
        seen.append(page.value("document.querySelector('#told').textContent"))
    assert len(seen) == page.value("Number(document.querySelector('#walk-place').textContent.match(/^(\\d+)\\/\\1 /)[1])") > 5
    whole = "\n".join(seen)
    assert "KUBE-SVC-" in whole and "destination translated" in whole and "10.105.211.16" in whole
    page.press("ArrowLeft")
    assert page.value(f"document.querySelector('#walk-place').textContent.startsWith('{len(seen) - 1}/')")
    assert page.value("document.querySelectorAll('.walk .dot').length") == 1


def answered(page: Page, target: str) -> bool:
    """Send a packet by keyboard; whether the answer came in time, which a machine with a lot to do may miss."""
    set_field(page, "target", target)
    page.press("Enter")
    page.until("document.querySelector('#told .verdict') && document.activeElement.id === 'walk-next'")
    return bool(page.value("!!document.querySelector('#told .verdict.good')"))


def free(page: Page) -> None:
    """Take the focus away from fields and terminals: there keys are letters."""
    page.value("document.activeElement.blur()")


def set_field(page: Page, name: str, text: str) -> None:
    page.value(f"document.querySelector('#{name}').focus(), document.querySelector('#{name}').select?.()")
    page.do("Input.insertText", text=text)


def test_a_lost_packet_has_its_reason(page: Page) -> None:
    assert not answered(page, SILENT)
    assert "no rule rewrites" in page.value("document.querySelector('#told .verdict.bad').textContent")


def test_a_step_is_run_and_judged_by_keyboard_alone(page: Page) -> None:
    free(page)
    page.press("s")
    page.until("document.activeElement.id === 'next-step'")
    page.press("Enter")
    page.until("document.querySelector('.step[data-step=nodes]').dataset.status === 'passed'")
    page.until("document.querySelectorAll('.step[data-step=nodes] .check.good').length > 4")
    assert page.value("document.querySelectorAll('.check.bad').length") == 0
    assert "route -n" in page.value("document.querySelector('.step[data-step=nodes]').textContent")


def test_every_page_shows_steps_that_another_or_a_terminal_has_run(up: Up, page: Page, browser: Browser) -> None:
    other = browser.page()
    other.open(up.link())
    other.until("document.querySelector('.step[data-step=nodes]')?.dataset.status === 'passed'")
    other.value("document.querySelector('#step-nodes').click()")
    assert "route -n" in other.value("document.querySelector('.step[data-step=nodes]').textContent")
    assert lab("goto", "-n", up.name, "leases").returncode == 0
    for one in (page, other):
        one.until("document.querySelector('.step[data-step=leases]').dataset.status === 'passed'")


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    free(page)
    page.press("g")
    page.until("document.activeElement.closest('#picture')")
    first = page.value("document.activeElement.id")
    page.press("ArrowUp")
    assert page.value("document.activeElement.id") != first
    assert page.value("getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth") == "4px"
    seen = set()
    for _ in range(60):
        page.press("F6" if page.value("!!document.activeElement.closest('.screen')") else "Tab")
        seen.add(page.value("document.activeElement.id || document.activeElement.className"))
    assert {"tab-scenario", "next-step", "step-pods", "language", "text-size", "theme", "zoom-in", "help"} <= seen
    panes = []
    for _ in range(4):
        page.press("F6")
        panes.append(page.value("document.activeElement.closest('#bar, #graph, #side, #terminals')?.id"))
    assert sorted(panes) == ["bar", "graph", "side", "terminals"]


def test_both_languages_and_large_text(page: Page) -> None:
    page.value("document.querySelector('#language').click()")
    page.until("document.querySelector('#tab-scenario').textContent === '场景'")
    page.until("document.querySelector('#g-rules-zenlin').textContent.includes('规则')")
    page.value("document.querySelector('#text-size').click()")
    page.look(1920, 1080, prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    assert page.value("parseFloat(getComputedStyle(document.documentElement).fontSize)") >= 24
    assert page.value("document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight")
    page.until("document.documentElement.dataset.theme === 'dark'")
    page.value("document.querySelector('#text-size').click(), document.querySelector('#language').click()")
    page.until("document.querySelector('#tab-scenario').textContent === 'Scenario'")
    assert page.troubles() == []


def test_a_page_that_stays_open_does_not_grow(page: Page, up: Up) -> None:
    update = """import('/static/picture.js').then(({ state }) => { for (let n = 0; n < 3600; n++) state({
        traffic: { 'zenlin eth0': [n, 1, n * 3, 2], 'ubuntu-zenlin eth0': n % 2 ? [n, 1, 1, 1] : null }, rules: { zenlin: 20 + n % 50 } }) })"""
    page.value(update)
    before = page.metrics()
    for _ in range(3):  # three hours of a busy lab
        page.value(update)
    after = page.metrics()
    assert after["Nodes"] <= before["Nodes"] + 20 and after["JSEventListeners"] <= before["JSEventListeners"] + 5
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + 2e6


def test_a_flood_in_a_terminal_fills_nothing(page: Page, up: Up) -> None:
    server = json.loads((registry.root() / up.name / "web.json").read_text())["pid"]
    free(page)
    page.press("t")
    page.until("document.querySelectorAll('[role=tab][id^=terminal-]').length === 2")
    page.until("[...document.querySelectorAll('.screen:not([hidden]) .xterm-rows')].some((one) => one.textContent.includes('root@'))")
    heap, memory = page.metrics()["JSHeapUsedSize"], resident(server)
    page.type("yes 0123456789abcdef | head -c 4000000; echo do''ne\n")
    page.until("[...document.querySelectorAll('.screen:not([hidden]) .xterm-rows')].some((one) => one.textContent.includes('done'))")
    assert resident(server) < memory + 20e6
    assert page.metrics()["JSHeapUsedSize"] < heap + 20e6
    page.value("document.querySelectorAll('#terminal-tabs .close')[1].click()")
    page.until("document.querySelectorAll('[role=tab][id^=terminal-]').length === 1")


def resident(pid: int) -> float:
    """Bytes of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return float(found[1]) * 1024


@pytest.mark.parametrize("words", [("--step",), ("--keep",), ("three-networks",), ("--format", "json"), ("--web-port", "0"), ("--kubeconfig", "x")])
def test_a_run_with_a_page_refuses_what_does_not_go_with_it(words: tuple[str, ...]) -> None:
    ran = lab("run", NAME, *words, "--web")
    assert ran.returncode == 2 and "--web" in ran.stderr and ran.stdout == ""


def test_run_with_a_page_stays_until_it_is_interrupted(browser: Browser) -> None:
    running = start("run", NAME, "--web")
    try:
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        link = link_in(next(line for line in lines if "token=" in line))
        assert "Ctrl-C" in next(lines)
        page = browser.page()
        page.open(link)
        page.until(LIVE)
        page.press("t")
        page.until(screen_has("root@"))
        port = closed_and_had_again(page)
        running.send_signal(signal.SIGINT)
        page.until("document.querySelector('#pill').textContent === 'the lab has ended'")
    finally:
        running.send_signal(signal.SIGINT)  # once more: it does not mind
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    with pytest.raises(ConnectionRefusedError):
        Up(NAME, port).ask("GET", "/")
    assert not [entry for entry in registry.entries() if entry.name == NAME]


def closed_and_had_again(page: Page) -> int:
    """Close the page of NAME and open it again on the same port, which is returned."""
    port = int(page.value("location.port"))
    machine = page.value("document.querySelector('#terminal-tabs [role=tab]').textContent")
    assert lab("web", "-n", NAME, "--stop").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        Up(NAME, port).ask("GET", "/")
    until(lambda: lab("exec", "-n", NAME, machine, "--", "pgrep", "-x", "bash").stdout == "", "the shells of its terminals are gone")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = lab("web", "-n", NAME, "--web-port", str(taken.getsockname()[1]))
        assert ran.returncode == 1 and "cannot listen" in ran.stderr and "Traceback" not in ran.stderr
    assert lab("web", "-n", NAME, "--web-port", "70000").returncode == 2
    page.open(link_in(lab("web", "-n", NAME, "--web-port", str(port)).stdout))
    page.until(LIVE)
    return port
