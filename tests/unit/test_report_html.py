"""The HTML report: whole, well-formed, in both languages, safe from what commands print, and true when a run is cut short."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab.cli import up
from lab.errors import UsageError
from lab.model.text import Text
from lab.observe import graph as model
from lab.report.html import HtmlWriter
from lab.report.words import Language
from lab.scenario.events import Counts, Event, Evidence, Pictured, RunEnded, RunStarted, StepStarted, Travelled
from tests.unit.test_report_writers import RUNS, STARTED, cut_short, everything, good, stepped

VOID = {"meta", "input", "br", "link"}


class Page(HTMLParser):
    """Parses a page strictly: every element is closed by its own end tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, wanted: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == wanted]


@functools.cache
def graph() -> model.Graph:
    _, (topology, objects, pins) = up.declared("nginx-service")
    return model.planned(topology, objects, pins)


def hop(machine: str, interface: str, *layers: str, microseconds: float = 0.0) -> dict[str, object]:
    shown = [{"text": layer} for layer in layers]
    return {"machine": machine, "interface": interface, "direction": "out", "microseconds": microseconds, "minor": False, "layers": shown}


INNER, OUTER = "10.244.1.145:9 > 10.244.2.199:80 TCP SYN ttl 64, 60 bytes", "10.229.53.146:8285 > 10.229.45.161:8285 UDP ttl 64, 88 bytes"
JOURNEY = {
    "source": "ubuntu-zenlinnode1",
    "asked": "<b>nginx-service",
    "legs": [
        {
            "kind": "there",
            "hops": [
                hop("ubuntu-zenlinnode1", "eth0", INNER),
                hop("zenlinnode1", "docker0", INNER, microseconds=9.5),
                hop("zenlinnode1", "flannel0", INNER),
                hop("zenlinnode1", "eth0", OUTER, INNER),
                hop("router", "eth1", OUTER, INNER),
            ],
        }
    ],
    "loss": {"text": {"en": "the router has no route", "zh": "路由器没有路由"}},
}


def with_pictures(events: Sequence[Event]) -> list[Event]:
    """A run with a picture of its lab, and a journey and evidence in its second step."""
    place = next(number for number, event in enumerate(events) if isinstance(event, StepStarted) and event.number == 2)
    more = [Travelled(JOURNEY, 0), Evidence("zenlinnode1", "root@zenlinnode1:~#", "ip route", 0, "default via 10.229.52.1\n", "")]
    return [events[0], Pictured(model.to_data(graph())), *events[1 : place + 1], *more, *events[place + 1 :]]


def written(path: Path, events: Sequence[Event], language: Language = "en") -> str:
    writer = HtmlWriter(path, language)
    for event in events:
        writer(event)
    writer.close()
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("run", sorted(RUNS))
def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path, run: str, language: Language) -> None:
    events = RUNS[run]()
    text = written(tmp_path / "r.html", with_pictures(events) if run == "everything" else events, language)
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert not page.values("src") and not [one for one in page.values("href") if not one.startswith("#")]
    assert {one[1:] for one in page.values("href")} <= set(ids), "every link leads somewhere"
    assert {target for target in page.values("for")} <= set(ids)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert "<script" not in text and "@import" not in text
    assert re.findall(r"https?://[^\"' )]*", text) in ([], ["http://www.w3.org/2000/svg"] * text.count("<svg xmlns"))
    assert re.findall(r"url\((?!#)", text) == []
    assert os.listdir(tmp_path) == ["r.html"]


def test_the_policy_lets_only_the_page_s_own_style_in(tmp_path: Path) -> None:
    text = written(tmp_path / "r.html", with_pictures(everything()))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'; style-src 'sha256-")
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert re.findall(r"sha256-([^']+)'", policy[1]) == digests
    assert "@keyframes run0-journey1-en-go" in styles[0], "the journeys' animation is in it"


def test_what_commands_print_is_never_markup(tmp_path: Path) -> None:
    events = everything()
    text = written(tmp_path / "r.html", [*with_pictures(events)[:-1], events[-1]])
    assert "<pod>" not in text and "&lt;pod&gt;" in text
    assert "<b>nginx-service" not in text and "&lt;b&gt;nginx-service" in text
    assert "\x1b" not in text and r"\x1b[2Jtwo" in text


def test_what_the_boot_changed_is_in_it_as_a_difference(tmp_path: Path) -> None:
    text = written(tmp_path / "r.html", stepped())
    assert "<del>- default via &lt;gone&gt;</del>\n<ins>+ 10.244.0.0/16 dev flannel0</ins>" in text
    assert "zenlinnode1, zenlinnode2" in text and "它改变了什么" in text


def test_everything_is_told_in_both_languages(tmp_path: Path) -> None:
    text = written(tmp_path / "r.html", with_pictures(everything()), "zh")
    told = "".join(Page(text).text)
    for part in ("Eight rules", "八条规则", "the article's lines", "与文章一致", "Look at the routes.", "请看路由。", "文章写的是 flannel.1"):
        assert part in told, part
    for part in ("root@zenlinnode1:~#", "iptables-save | grep nginx", "exit status 1", "seq 40", "it needs broken", "- expected, + real:"):
        assert part in told, part
    for part in ("1 of 6 checks held", "12.9 s in all, 1.25 s of it to boot", "What zenlinnode1 looked like then", "16 more lines", "0.25 s"):
        assert part in told, part
    assert "the router has no route" in told and "路由器没有路由" in told and "10 µs" in told
    assert '<html lang="zh-CN">' in text and re.search(r'id="say-zh"[^>]* checked', text) and not re.search(r'id="say-en"[^>]* checked', text)


def test_a_run_that_was_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    writer = HtmlWriter(path)
    assert "The run has not ended." in path.read_text(encoding="utf-8")
    for event in good()[:-1]:
        writer(event)
        assert 'class="verdict good"' not in path.read_text(encoding="utf-8")
    writer.close()
    assert "Cut short: the run ended without its last event" in path.read_text(encoding="utf-8")
    assert "Cut short: interrupted" in written(path, cut_short())
    boot_failed: list[Event] = [STARTED, Pictured(model.to_data(graph())), RunEnded(Counts(), 0, 0, 1.0, 0.0, Text("etcd did not answer", ""))]
    assert "Cut short: etcd did not answer" in written(path, boot_failed)
    assert "The cluster as it was declared; it did not come up" in written(path, boot_failed)


def test_a_good_run_is_called_good(tmp_path: Path) -> None:
    text = written(tmp_path / "r.html", good())
    assert 'class="verdict good"' in text and 'class="verdict bad"' not in text


def test_several_runs_share_a_file(tmp_path: Path) -> None:
    other = RunStarted("other", "/o", Text("the other", "另一个"), Text("", ""), "flat", ())
    text = written(tmp_path / "r.html", [*with_pictures(everything()), *good(), other])
    page = Page(text)
    assert [one for one in page.values("id") if re.fullmatch(r"run\d", one)] == ["run0", "run1", "run2"]
    assert len(page.values("id")) == len(set(page.values("id")))
    assert "1 of 3 scenarios held" in text and "3 个场景中 1 个全部成立" in text
    assert text.count('class="verdict bad"') == 2 and text.count('class="verdict good"') == 1


def test_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write the HTML report .*: No such file or directory"):
        HtmlWriter(tmp_path / "gone" / "r.html")
