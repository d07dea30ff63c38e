"""The writers on one run that has everything in it: long output, diffs, control characters, a skipped and a broken step.

LAB_UPDATE_GOLDEN=1 writes the terminal transcripts under tests/golden/report/ anew; read the difference before you keep it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.errors import UsageError
from lab.model.text import Text
from lab.observe.snapshot import Change
from lab.report.jsonout import JsonWriter
from lab.report.junit import JUnitWriter
from lab.report.terminal import TerminalWriter, wants_colour
from lab.report.words import WORDS, Language
from lab.scenario import checks
from lab.scenario.events import (
    Booted,
    BootProgress,
    Checked,
    CommandRan,
    CommandStarted,
    Counts,
    Event,
    Noted,
    RunEnded,
    RunStarted,
    Shown,
    StageChanged,
    StepEnded,
    StepInfo,
    StepStarted,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "report"
PROMPT = "root@zenlinnode1:~#"
NETWORKS, RULES, BROKEN, CHILD = (
    Text("The networks", "三个网络"),
    Text("Eight rules", "八条规则"),
    Text("A step that breaks", "出错的步骤"),
    Text("A step that needs it", "依赖它的步骤"),
)
STARTED = RunStarted(
    "demo",
    "/scenarios/demo",
    Text("everything once", "各来一次"),
    Text(
        "An introduction that is longer than one line, so that it has to be broken.",
        "一段介绍，长度超过一行，因此必须折行，标点不能放在行首。",
    ),
    "zenlin",
    (StepInfo("networks", NETWORKS), StepInfo("rules", RULES), StepInfo("broken", BROKEN), StepInfo("child", CHILD)),
)


def command(number: int, typed: str, status: int = 0, stdout: str = "", stderr: str = "", attempts: int = 1) -> list[Event]:
    ran = CommandRan(number, "zenlinnode1", PROMPT, typed, status, stdout, stderr, 0.01, attempts)
    return [CommandStarted(number, "zenlinnode1", PROMPT, typed), ran]


def everything() -> list[Event]:
    """The run."""
    numbers = "".join(f"{number}\n" for number in range(1, 41))
    return [
        STARTED,
        BootProgress("etcd"),
        BootProgress("flanneld on zenlin"),
        BootProgress("flanneld on zenlin", 0.25),
        BootProgress("etcd", 0.5),
        Booted(1.25),
        StepStarted("networks", NETWORKS, Text("Look at the routes.", "请看路由。"), 1, 4),
        *command(1, "hostname", stdout="zenlinnode1\n"),
        Checked(checks.equal(None, "zenlinnode1")("zenlinnode1"), 1),
        Noted(Text("the article says flannel.1; udp makes flannel0.", "文章写的是 flannel.1；udp 后端创建的是 flannel0。"), 1),
        Shown(Text("The packet at two places", "两处看到的包"), ("zenlinnode1 eth0, out, 0 µs", "    10.229.53.146 > \x1b[2J"), 1),
        *command(2, "seq 40", stdout=numbers, attempts=3),
        StepEnded("networks", "passed", 0.02, 1, 0),
        StepStarted("rules", RULES, Text("", ""), 2, 4),
        *command(1, "iptables-save | grep nginx", 1, stdout="one\n\x1b[2Jtwo\nthree\n", stderr="a warning\n"),
        Checked(checks.lines(Text("the article's lines", "与文章一致"), ["one", "two", "three"])("one\n\x1b[2Jtwo\nthree\n"), 1),
        Checked(checks.status(None, 0)(1), 1),
        Checked(checks.lacks(None, "warning")("a warning\n"), 1),
        Checked(checks.contains(Text("it says <pod> & more", "写着 <pod> & 更多"), "<pod>")(""), 1),
        Checked(checks.even_split(None, ["a", "b"])({"a": 300})),
        StepEnded("rules", "failed", 1.5, 5, 5),
        StepStarted("broken", BROKEN, Text("", ""), 3, 4),
        CommandStarted(1, "zenlinnode1", PROMPT, "sleep 99"),
        StepEnded("broken", "error", 10.0, 0, 0, Text("scenario.py:7: `sleep 99` did not end within 10 s", "scenario.py:7：超时")),
        StepStarted("child", CHILD, Text("", ""), 4, 4),
        StepEnded("child", "skipped", 0.0, 0, 0, Text("it needs broken, which did not pass", "它依赖的步骤 broken 没有通过")),
        RunEnded(Counts(passed=1, failed=1, skipped=1, error=1), 6, 5, 12.9, 1.25),
    ]


def good() -> list[Event]:
    """A run without a fault."""
    return [*everything()[:15], RunEnded(Counts(passed=1), 1, 0, 1.3, 1.25)]


def cut_short() -> list[Event]:
    """A run that ends in its second step, repeated by the learner."""
    again = StepStarted("networks", NETWORKS, Text("", ""), 1, 4, repeat=1)
    rest: list[Event] = [again, *command(1, "hostname"), StepEnded("networks", "passed", 0.1, 0, 0), *everything()[15:18]]
    return [*everything()[:15], *rest, RunEnded(Counts(passed=1), 0, 0, 2.0, 1.25, Text("interrupted", "被中断"))]


def stepped() -> list[Event]:
    """A run in step mode, quit before its first step: what the stages of the boot changed."""
    routes = Change("routes", ("zenlinnode1", "zenlinnode2"), ("- default via <gone>", "+ 10.244.0.0/16 dev flannel0"))
    etcd = Change("etcd", (), tuple(f"+ /registry/pods/default/nginx-{number}" for number in range(30)))
    quit_it = [StepEnded(step.key, "skipped", 0.0, 0, 0, Text("you quit", "你退出了")) for step in STARTED.steps]
    stages: list[Event] = [
        *[BootProgress("etcd"), BootProgress("etcd", 0.5), StageChanged("etcd", ())],
        *[BootProgress("pods"), BootProgress("pods", 0.25), StageChanged("pods", (routes, etcd))],
    ]
    return [STARTED, *stages, *quit_it, RunEnded(Counts(skipped=4), 0, 0, 2.0, 0.0)]


RUNS = {"everything": everything, "good": good, "cut-short": cut_short, "stepped": stepped}


def shown(events: Sequence[Event], language: Language = "en", **options: Any) -> str:
    stream = io.StringIO()
    writer = TerminalWriter(stream, language, 60, **options)
    for event in events:
        writer(event)
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("run", sorted(RUNS))
def test_terminal(run: str, language: Language) -> None:
    text = shown(RUNS[run](), language)
    golden = GOLDEN / f"{run}.{language}.txt"
    if os.environ.get("LAB_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_colour_is_only_ever_added() -> None:
    import re

    coloured = shown(everything(), colour=True)
    assert "\x1b[31m✗\x1b[0m" in coloured
    plain = re.sub(r" +$", "", re.sub(r"\x1b\[\d+m", "", coloured), flags=re.MULTILINE)
    assert plain == shown(everything())


def test_checks_that_held_are_not_called_all_when_a_step_broke() -> None:
    text = shown([STARTED, RunEnded(Counts(passed=1, error=1), 4, 0, 2.0, 1.0)])
    assert "1 passed, 1 error\nThe 4 checks that were made held." in text


def test_verbose_shows_every_line() -> None:
    text = shown(everything(), verbose=True)
    assert "more lines" not in text
    assert "\n20\n21\n22\n" in text


def test_a_terminal_shows_what_is_being_started() -> None:
    text = shown(everything()[:6], live=True)
    assert "\r\x1b[K  … etcd, flanneld on zenlin" in text
    assert "0.25 s\n  … etcd\r\x1b[K  etcd " in text


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_when_there_is_colour(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert wants_colour(stream, environ) is wanted


def test_every_word_exists_in_both_languages() -> None:
    import re

    for key, word in WORDS.items():
        assert sorted(re.findall(r"{\w+}", word.en)) == sorted(re.findall(r"{\w+}", word.zh)), key


def document(events: Sequence[Event]) -> dict[str, Any]:
    stream = io.StringIO()
    writer = JsonWriter(stream)
    for event in events:
        writer(event)
        assert stream.getvalue() == ""
    writer.close()
    parsed: dict[str, Any] = json.loads(stream.getvalue())
    return parsed


def test_json_has_the_whole_run() -> None:
    parsed = document(everything())
    assert parsed["schema"] == 1
    (run,) = parsed["runs"]
    assert (run["scenario"], run["topology"], run["boot_seconds"]) == ("demo", "zenlin", 1.25)
    assert run["boot"] == [{"what": "flanneld on zenlin", "seconds": 0.25}, {"what": "etcd", "seconds": 0.5}]
    assert [(step["key"], step["status"]) for step in run["steps"]] == [
        ("networks", "passed"),
        ("rules", "failed"),
        ("broken", "error"),
        ("child", "skipped"),
    ]
    networks, rules, broken, _ = run["steps"]
    assert run["intro"]["en"].startswith("An introduction") and networks["journeys"] == []
    assert networks["notes"] == [{"after": 1, "text": {"en": "the article says flannel.1; udp makes flannel0.", "zh": networks_note()}}]
    lines = ["zenlinnode1 eth0, out, 0 µs", "    10.229.53.146 > \x1b[2J"]
    assert networks["shown"] == [{"after": 1, "title": {"en": "The packet at two places", "zh": "两处看到的包"}, "lines": lines}]
    assert networks["commands"][1]["attempts"] == 3
    assert rules["commands"][0]["stdout"] == "one\n\x1b[2Jtwo\nthree\n"
    assert [check["ok"] for check in rules["checks"]] == [False] * 5
    assert (rules["checks"][0]["kind"], rules["checks"][0]["command"], rules["checks"][4]["command"]) == ("lines", 1, 0)
    assert broken["commands"][0]["status"] is None
    assert broken["reason"]["en"].startswith("scenario.py:7")
    assert run["summary"] == {
        "ok": False,
        "passed": 1,
        "failed": 1,
        "skipped": 1,
        "error": 1,
        "left_out": 0,
        "checks": 6,
        "failed_checks": 5,
        "seconds": 12.9,
        "aborted": None,
    }


def test_json_has_what_the_stages_changed_in_step_mode() -> None:
    etcd, pods = document(stepped())["runs"][0]["boot"]
    assert etcd == {"what": "etcd", "seconds": 0.5, "changes": []}
    assert [(one["part"], one["where"]) for one in pods["changes"]] == [("routes", ["zenlinnode1", "zenlinnode2"]), ("etcd", [])]
    assert pods["changes"][0]["lines"] == ["- default via <gone>", "+ 10.244.0.0/16 dev flannel0"]


def networks_note() -> str:
    note = next(event for event in everything() if isinstance(event, Noted))
    return note.text.zh


def test_json_keeps_the_last_of_repeated_steps_and_says_what_cut_the_run_short() -> None:
    (run,) = document(cut_short())["runs"]
    assert [(step["key"], step["status"], step["repeat"]) for step in run["steps"]] == [
        ("networks", "passed", 1),
        ("rules", None, 0),
    ]
    assert run["summary"]["aborted"] == {"en": "interrupted", "zh": "被中断"}


def test_json_without_a_last_event_is_not_ok() -> None:
    (run,) = document(everything()[:-1])["runs"]
    assert run["summary"]["ok"] is False
    assert run["summary"]["aborted"]["en"] == "the run ended without its last event"


def test_json_of_several_runs() -> None:
    assert [run["summary"]["ok"] for run in document([*good(), *everything()])["runs"]] == [True, False]


def cases(path: Path) -> dict[str, tuple[str, str]]:
    """Name -> (outcome, message) of every test case in the file."""
    found = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        bad = next((child for child in case if child.tag != "system-out"), None)
        found[case.attrib["name"]] = ("passed", "") if bad is None else (bad.tag, bad.attrib["message"])
    return found


def junit(path: Path, events: Sequence[Event]) -> dict[str, tuple[str, str]]:
    writer = JUnitWriter(path)
    for event in events:
        writer(event)
    writer.close()
    return cases(path)


def test_junit_has_one_case_a_step(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    found = junit(path, everything())
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "networks": "passed",
        "rules": "failure",
        "broken": "error",
        "child": "skipped",
    }
    assert "the article's lines; the exit status is 0" in found["rules"][1]
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    text = path.read_text(encoding="utf-8")
    assert "root@zenlinnode1:~# iptables-save | grep nginx" in text
    assert "\x1b" not in text
    assert "\n-two\n" in text
    assert "zenlinnode1\nThe packet at two places\nzenlinnode1 eth0, out, 0 µs\n" in text, "between the commands that it came between"
    assert os.listdir(tmp_path) == ["report.xml"]


def test_junit_is_never_green_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text("<testsuites/>")
    writer = JUnitWriter(path)
    assert cases(path) == {"aborted": ("failure", "the run ended without its last event")}
    for event in good()[:-1]:
        writer(event)
        assert cases(path)["aborted"][0] == "failure"
    assert cases(path)["networks"][0] == "passed"
    writer(good()[-1])
    assert cases(path) == {"networks": ("passed", "")}


def test_junit_of_a_run_that_was_cut_short(tmp_path: Path) -> None:
    assert junit(tmp_path / "r.xml", cut_short())["aborted"] == ("failure", "interrupted")
    boot_failed: list[Event] = [STARTED, RunEnded(Counts(), 0, 0, 1.0, 0.0, Text("etcd did not answer", ""))]
    assert junit(tmp_path / "r.xml", boot_failed) == {"aborted": ("failure", "etcd did not answer")}
    assert junit(tmp_path / "r.xml", [STARTED, RunEnded(Counts(), 0, 0, 1.0, 0.0)]) == {"aborted": ("failure", "no step ran")}


def test_junit_of_several_runs_where_the_second_is_cut_short(tmp_path: Path) -> None:
    found = junit(tmp_path / "r.xml", [*good(), STARTED])
    assert found == {"networks": ("passed", ""), "aborted": ("failure", "the run ended without its last event")}


def test_junit_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write the JUnit file .*: No such file or directory"):
        JUnitWriter(tmp_path / "gone" / "r.xml")


def test_every_stage_of_a_boot_has_a_chinese_name() -> None:
    import re
    from pathlib import Path

    from lab.report.words import REMOTE_STAGES, STAGES

    lab = Path(__file__).parents[2] / "lab"
    boot = "".join((lab / "cluster" / name).read_text() for name in ("boot.py", "stages.py"))
    assert set(re.findall(r'with stage\("([^"]+)"\)', boot)) == set(STAGES)
    assert set(re.findall(r'with self._stage\("([^"]+)"\)', (lab / "remote/start.py").read_text())) == set(REMOTE_STAGES)
