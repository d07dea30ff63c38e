"""The documents tell the truth about what can be checked: commands, links, examples, and that both languages say the same."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from lab.cli import main
from lab.cli import run as run_verb
from lab.cluster.facade import Cluster
from lab.model import catalog, load, schema, topology
from lab.scenario import loader
from lab.scenario.model import Scenario
from lab.scenario.view import Machine, Outcome, View

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LAUNCHER_WORDS = ("setup", "test", "lint")
SHELL_OPERATORS = {">", ">>", "|", "&&", ";"}


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def fences(document: str, language: str) -> list[str]:
    """The contents of a document's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    """The headings outside fenced blocks, with their marks."""
    return re.findall(r"^#+ .*$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def shell_commands() -> list[tuple[str, str]]:
    """(document, line) for every line of a shell block that runs the lab."""
    return [
        (document, line)
        for document in DOCUMENTS
        for block in fences(document, "sh")
        for line in block.splitlines()
        if re.match(r"(sudo )?(\./lab\.sh|lab) ", line)
    ]


def words_after_lab(line: str) -> list[str]:
    """`sudo ./lab.sh run x > file  # why` -> ["run", "x"]."""
    words = shlex.split(line, comments=True)
    words = words[2:] if words[0] == "sudo" else words[1:]
    end = next((place for place, word in enumerate(words) if word in SHELL_OPERATORS), len(words))
    return words[:end]


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Verb -> its real parser."""
    whole = main._parser(["--help"])
    action = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


def test_there_are_documents_and_commands() -> None:
    assert {*READMES, "docs/tutorial.md", "docs/reference/cli.md"} <= set(DOCUMENTS)
    assert len(shell_commands()) > 40


@pytest.mark.parametrize(("document", "line"), shell_commands())
def test_a_shell_command_uses_words_that_the_lab_knows(document: str, line: str) -> None:
    words = words_after_lab(line)
    if words[0] in LAUNCHER_WORDS:
        return
    args = main._parser(words).parse_args(words)  # SystemExit, with argparse's message, for what it does not know
    for name in getattr(args, "scenarios", ()):
        if "/" not in name:
            catalog.find_scenario(name)
    if getattr(args, "what", None) and "/" not in args.what:
        known = [path.stem for path in catalog.list_topologies()] + [path.name for path in catalog.list_scenarios()]
        assert args.what in known
    if words[0] == "plan" and "/" not in args.topology:
        catalog.find_topology(args.topology)
    if words[0] == "exec":
        assert words[words.index(args.who) + 1] == "--", "an example of exec shows the two dashes"
        assert args.command


@pytest.mark.parametrize("word", LAUNCHER_WORDS)
def test_the_launcher_has_its_own_words(word: str) -> None:
    assert re.search(rf"^ +{word}\)$", text_of("lab.sh"), re.MULTILINE)
    assert f"`{word}`" in text_of("docs/reference/cli.md")


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower())
    return words.replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_somewhere(document: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        anchors = {"", *map(slug, headings(target.read_text(encoding="utf-8")))} if target.suffix == ".md" else {""}
        if not target.exists() or anchor not in anchors:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("chinese", [document for document in DOCUMENTS if document.endswith(".zh-CN.md")])
def test_both_languages_have_the_same_outline(chinese: str) -> None:
    english = chinese.replace(".zh-CN.md", ".md")
    assert [line.split()[0] for line in headings(text_of(chinese))] == [line.split()[0] for line in headings(text_of(english))]


@pytest.mark.parametrize("chinese", [document for document in DOCUMENTS if document.endswith(".zh-CN.md")])
def test_both_languages_have_the_same_examples(chinese: str) -> None:
    english = chinese.replace(".zh-CN.md", ".md")
    for language in ("python", "yaml"):
        assert fences(chinese, language) == fences(english, language)
    commands = [[shlex.split(line, comments=True) for block in fences(one, "sh") for line in block.splitlines()] for one in (chinese, english)]
    swapped = [[{"en": "zh", "zh": "en"}.get(word, word) if "--lang" in words else word for word in words] for words in commands[0]]
    assert commands[1] in (commands[0], swapped)


@pytest.mark.parametrize("document", READMES)
def test_the_readme_example_is_a_scenario_that_can_boot(document: str, tmp_path: Path) -> None:
    (script,), (manifest,) = fences(document, "python"), fences(document, "yaml")
    folder = tmp_path / "three-webs"
    folder.mkdir()
    (folder / "scenario.py").write_text(script, encoding="utf-8")
    (folder / "web.yaml").write_text(manifest, encoding="utf-8")
    scenario = loader.load_scenario(folder)
    assert [step.key for step in scenario.steps] == ["addresses", "service"]
    wanted = run_verb.recipe(scenario, None)
    assert wanted.topology.name == "flat"
    assert [one.replicas for one in wanted.objects.deployments] == [3]
    assert [one.name for one in wanted.objects.services] == ["web"]


@pytest.fixture(scope="module")
def walkthrough() -> Scenario:
    return loader.load_scenario(catalog.find_scenario("nginx-service"))


@pytest.mark.parametrize("document", READMES)
def test_the_transcript_is_of_the_walkthrough_as_it_is(document: str, walkthrough: Scenario) -> None:
    transcript = fences(document, "text")[0]
    titles = [step.title.zh if "zh" in document else step.title.en for step in walkthrough.steps]
    shown = re.findall(r"^(\S.*?) +✓ (?:passed|通过) +(\d+)/(\d+) ", transcript, re.MULTILINE)
    assert [title for title, _, _ in shown] == titles
    held = sum(int(held) for _, held, _ in shown)
    assert sum(int(all_) for _, _, all_ in shown) == held
    assert re.search(rf"(All {held} checks held|{held} 项检查全部成立)", transcript)
    rules = sys.modules["lab_scenario_nginx_service.article"].RULES
    assert [line for line in transcript.splitlines() if line.startswith("-A ")] == rules


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_in_python_and_json_are_well_formed(document: str) -> None:
    for script in fences(document, "python"):
        compile(script, document, "exec")
    for text in fences(document, "json"):
        json.loads(text)


@pytest.mark.parametrize("document", ["docs/how-to/write-a-scenario.md", "docs/how-to/write-a-scenario.zh-CN.md"])
def test_what_the_author_is_offered_exists(document: str) -> None:
    text = text_of(document)
    offered = {
        (Outcome,): re.findall(r"`\.(\w+)", text),
        (View, Cluster): re.findall(r"\blab\.(\w+)\(", text),
        (Machine,): re.findall(r"\bmachine\.(\w+)\(", text),
    }
    for owners, names in offered.items():
        assert names
        known = {name for owner in owners for name in dir(owner)} | {"stdout", "stderr", "status", "seconds"}
        assert set(names) <= known


def test_the_topology_of_the_how_to_is_right() -> None:
    whole = [text for text in fences("docs/how-to/write-a-topology.md", "yaml") if text.startswith("name:")]
    assert [load.load_topology(text, "example.yaml").name for text in whole] == ["two-sites"]


def test_the_how_to_names_every_key_of_a_topology() -> None:
    text = text_of("docs/how-to/write-a-topology.md")
    kinds: list[type[schema.Declared]] = [topology.Topology, topology.Networks, topology.Node, topology.Flannel]
    kinds += [topology.Backend, topology.KubeProxy]
    keys = {key for kind in kinds for key in schema.keys(kind)}
    assert {key for key in keys if not re.search(rf"[`.\]]{key}\b", text)} == set()


def test_the_manual_has_every_verb_and_option() -> None:
    manual = text_of("docs/reference/cli.md")
    sections = dict(re.findall(r"^## lab (\w+)\n(.*?)(?=^## |\Z)", manual, re.MULTILINE | re.DOTALL))
    known = parsers()
    assert set(sections) == set(known)
    for verb, parser in known.items():
        options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        assert {option for option in options if f"`{option}" not in sections[verb]} == set(), verb
        told = set(re.findall(r"^\| `(--?[\w-]+)", sections[verb], re.MULTILINE))
        assert told <= options, verb


def test_every_promise_of_the_threat_model_has_a_test_that_is_there() -> None:
    rows = [line for line in text_of("docs/threat-model.md").splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) > 20
    for row in rows:
        for file, function in re.findall(r"`([\w/]+\.py)::(\w+)`", row):
            assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), row
