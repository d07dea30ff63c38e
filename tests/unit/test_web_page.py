"""The page's files: others' are as they shipped them, every text is there in both languages, requests are checked, journeys keep their hops."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab.errors import UsageError
from lab.model import catalog, load
from lab.observe import graph as model
from lab.observe.drawing import cluster
from lab.observe.trace import recording
from lab.observe.trace.correlate import correlate
from lab.web import journeys, requests

STATIC = Path(__file__).resolve().parents[2] / "lab" / "web" / "static"
RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.json"))


def scripts() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js") if path.name != "words.js")


def texts() -> dict[str, tuple[str, str]]:
    """Key -> the English and the Chinese text of words.js."""
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    found = re.findall(r'(?:^|\s)"?([\w-]+)"?: \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\]', text)
    return {key: (english, chinese) for key, english, chinese in found}


def test_files_of_others_are_as_they_shipped_them() -> None:
    vendor = STATIC / "vendor"
    rows = re.findall(r"^\| (\S+) \| @xterm/\S+ \| [\d.]+ \| MIT \| ([0-9a-f]{64}) \|$", (vendor / "README.md").read_text(encoding="utf-8"), re.M)
    assert {name for name, _ in rows} == {path.name for path in vendor.iterdir()} - {"README.md"}
    for name, wanted in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == wanted, name


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in STATIC.glob("*.*"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?://[^$\s\"'`]|['\"(]//", text), path.name


def test_every_text_is_there_in_both_languages() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'\bsay\("([\w-]+)"', scripts())) | set(re.findall(r'data-(?:text|label)="([\w-]+)"', page))
    used |= set(re.findall(r'"(key[A-Z]\w+)"', scripts()))
    known = texts()
    assert len(used) > 50 and used <= set(known), used - set(known)
    for key, (english, chinese) in known.items():
        assert english and chinese, key
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), key


def test_the_page_makes_no_markup_of_texts() -> None:
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", scripts())


def test_a_packet_to_send() -> None:
    assert requests.trace({"source": "a", "target": "b", "port": 80}) == {"source": "a", "target": "b:80", "protocol": None}
    assert requests.trace({"source": " a ", "target": "b:81", "port": 80, "protocol": "udp"})["target"] == "b:81"
    assert requests.trace({"source": "a", "target": "b", "port": 80, "protocol": "icmp"})["target"] == "b"


BAD: tuple[Any, ...] = (
    None, [], "x", {}, {"source": "a"}, {"source": "a", "target": ""}, {"source": 1, "target": "b"}, {"source": "a\n", "target": "b"},
    {"source": "a", "target": "b" * 254}, {"source": "a", "target": "b", "port": 0}, {"source": "a", "target": "b", "port": 65536},
    {"source": "a", "target": "b", "port": "80"}, {"source": "a", "target": "b", "port": True}, {"source": "a", "target": "b", "protocol": "sctp"},
)  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=repr)
def test_a_request_that_makes_no_sense_is_refused(data: Any) -> None:
    with pytest.raises(UsageError):
        requests.trace(data)


def test_a_step_to_run() -> None:
    assert requests.step({"step": "3"}) == ("3", False)
    assert requests.step({"step": "nodes", "again": True}) == ("nodes", True)
    for data in (None, {}, {"step": 3}, {"step": ""}):
        with pytest.raises(UsageError):
            requests.step(data)


def test_a_terminal_has_a_size_within_reason() -> None:
    assert requests.size(120, 40) == (120, 40)
    assert requests.size(10**9, -5) == (500, 1)
    for pair in ((None, 1), ("80", 24), (True, 24), (80.5, 24)):
        with pytest.raises(UsageError):
            requests.size(*pair)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_walk_keeps_every_hop_of_its_journey(path: Path) -> None:
    journey = correlate(recording.from_json(json.loads(path.read_text(encoding="utf-8")))).to_json()
    graph = model.from_topology(load.read_topology(catalog.find_topology("zenlin")))
    walk = journeys.walk(graph, cluster.picture(graph), journey)
    hops = [(hop["leg"], hop["machine"], hop["interface"], hop["microseconds"]) for stop in walk["stops"] for hop in stop["hops"]]
    assert hops == [(leg["kind"], hop["machine"], hop["interface"], hop["microseconds"]) for leg in journey["legs"] for hop in leg["hops"]]
    assert walk["stops"] and "legs" not in walk and walk["loss"] == journey["loss"]
    assert json.loads(json.dumps(walk)) is not None
