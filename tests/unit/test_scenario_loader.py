"""A scenario's folder, right and wrong: what is wrong becomes one InputError with file, line and field."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.cli.run import recipe
from lab.cli.up import recipe as up_recipe
from lab.errors import InputError
from lab.model.text import Text
from lab.scenario.loader import load_scenario

HEAD = "from lab.scenario import Pin, Scenario, Text\n"
STEP = "@scenario.step(en='e', zh='z')\ndef first(lab):\n    pass\n"


def write(folder: Path, script: str, **others: str) -> Path:
    """A scenario's folder with this script and other files, named without suffix."""
    home = folder / "demo"
    home.mkdir()
    (home / "scenario.py").write_text(script, encoding="utf-8")
    for name, text in others.items():
        (home / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return home


def test_what_a_script_declares(tmp_path: Path) -> None:
    script = (
        HEAD
        + "scenario = Scenario(title=Text('t', '题'), topology='flat', manifests=['a.yaml'], pins=[Pin('p', address='10.0.0.1')])\n"
        + "@scenario.step(en='one', zh='一', why_en='''first\n     second\n\n  third''', why_zh='''甲\n   乙；\n  kube\n  proxy''')\n"
        + "def one(lab): ...\n"
        + "@scenario.step(en='two', zh='二', needs=['one'])\ndef two(lab): ...\n"
    )
    scenario = load_scenario(write(tmp_path, script, a__yaml=""))
    assert (scenario.name, scenario.topology, scenario.title) == ("demo", "flat", Text("t", "题"))
    assert scenario.manifest_paths == (tmp_path / "demo" / "a.yaml",)
    assert str(scenario.pins[0].pod_ip) == "10.0.0.1"
    assert [(step.key, step.needs) for step in scenario.steps] == [("one", ()), ("two", ("one",))]
    assert scenario.steps[0].why == Text("first second\n\nthird", "甲乙；kube proxy")


def test_a_scenario_may_choose_its_backend_and_the_command_line_wins(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, HEAD + "scenario = Scenario(backend='vxlan')\n" + STEP))
    chosen = [recipe(scenario, backend=wish).topology.flannel.backend.type for wish in (None, "gce")]
    assert chosen == ["vxlan", "gce"]
    assert up_recipe(str(scenario.folder))[1].topology.flannel.backend.type == "vxlan"


def test_a_script_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    script = HEAD + "from .words import TITLE\nscenario = Scenario(title=Text(TITLE, TITLE))\n" + STEP
    folder, before = write(tmp_path, script, words__py="TITLE = 'first'\n"), sys.dont_write_bytecode
    assert load_scenario(folder).title.en == "first"
    (folder / "words.py").write_text("TITLE = 'second'\n")
    assert load_scenario(folder).title.en == "second"
    assert not (folder / "__pycache__").exists()
    assert sys.dont_write_bytecode is before


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ("scenario = (\n", 1, "not valid Python: '(' was never closed"),
        ("\nscenario = Scenario()\n", 2, "NameError while reading it: name 'Scenario' is not defined"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit while reading it: 3"),
        ("def broken():\n    return 1 / 0\n\nbroken()\n", 2, "ZeroDivisionError while reading it: division by zero"),
        ("x = 1\n", 0, "scenario: it must set `scenario = Scenario(...)` at its top level"),
        (HEAD + "scenario = Scenario(titel=1)\n", 2, "unexpected keyword argument 'titel'"),
        (HEAD + "\nscenario = Scenario()\n", 3, "scenario: it has no steps"),
        (HEAD + "scenario = Scenario()\n" + STEP + STEP, 6, "first: a second step has this name"),
        (
            HEAD + "scenario = Scenario()\n" + STEP.replace("zh='z'", "zh='z', needs=['rules']"),
            3,
            "first.needs: no earlier step is named",
        ),
        (HEAD + "scenario = Scenario(manifests=['gone.yaml'])\n" + STEP, 2, "manifests[0]: there is no file 'gone.yaml'"),
        (
            '"""About a backend."""\n' + HEAD + "scenario = Scenario(\n    backend='udpp',\n)\n" + STEP,
            4,
            "backend: flannel has no backend 'udpp'; there are udp, vxlan, host-gw, alloc, aws-vpc, gce",
        ),
        (
            HEAD + "scenario = Scenario(pins=[Pin('p', address='10.0.0.256')])\n" + STEP,
            2,
            "pins[0]: pin p: '10.0.0.256' is no IPv4",
        ),
        (HEAD + "scenario = Scenario(\n    backend='vxlam')\n" + STEP, 3, "backend: flannel has no backend 'vxlam'; there are udp, vxlan, host-gw"),
        (HEAD + "scenario = Scenario(\n    backends=['udp', 'vxlam'])\n" + STEP, 3, "backends[1]: flannel has no backend 'vxlam'"),
        (
            HEAD + "scenario = Scenario(\n    backend='udp',\n    backends=['vxlan'])\n" + STEP,
            4,
            "backends: the scenario's own backend 'udp' is not among them",
        ),
        (HEAD + "from .gone import x\n", 2, "ModuleNotFoundError while reading it"),
        (HEAD + "from .other import x\n", 2, "SyntaxError while reading it"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, script: str, line: int, words: str) -> None:
    folder = write(tmp_path, script, other__py="x = (\n")
    with pytest.raises(InputError) as caught:
        load_scenario(folder)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(folder / "scenario.py"), line)
    assert words in str(problem)


def test_everything_wrong_with_the_whole_is_told_at_once(tmp_path: Path) -> None:
    script = HEAD + "scenario = Scenario(manifests=['gone.yaml'])\n" + STEP + STEP.replace("zh='z'", "zh='z', needs=['later']")
    with pytest.raises(InputError) as caught:
        load_scenario(write(tmp_path, script))
    assert [problem.field for problem in caught.value.problems] == ["first", "first.needs", "manifests[0]"]


def test_no_script(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scenario.py: cannot read it: No such file or directory"):
        load_scenario(tmp_path)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "scenario.py").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_scenario(tmp_path)
